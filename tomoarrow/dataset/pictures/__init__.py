"""A dataset in pictures: one page for a browser, and charts for notebooks.

Tables are read and put together with Polars (`metrics`, `gather`, `outliers`), charts are made with Altair
(`charts`): in `page` they become one HTML file that needs no network, in `notebook` they are handed out.
"""

from ...errors import UsageError

try:
    import altair  # noqa: F401
    import vl_convert  # noqa: F401
except ModuleNotFoundError as error:
    raise UsageError(f"pictures need {error.name}", remedy="pip install 'tomoarrow[report]'") from error

from .notebook import plot_distributions, plot_particles, plot_tilts, plot_tomograms
from .page import write_page

__all__ = ["plot_distributions", "plot_particles", "plot_tilts", "plot_tomograms", "write_page"]
