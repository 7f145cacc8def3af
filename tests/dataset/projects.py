"""Small projects, written by hand for one test each."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def loop(block: str, labels: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A block with one loop."""
    header = "".join(f"_{label}\n" for label in labels)
    return f"data_{block}\n\nloop_\n{header}" + "".join(" ".join(map(str, row)) + "\n" for row in rows) + "\n"


def write_project(
    folder: Path,
    series: Mapping[str, str],
    *,
    more_labels: Sequence[str] = (),
    more_values: Mapping[str, Sequence[object]] | None = None,
    extra: str = "",
) -> Path:
    """A project: the text of each tilt-series file by tomogram, and further columns of the global table."""
    (folder / "tilt_series").mkdir(parents=True)
    rows = []
    for number, (name, text) in enumerate(series.items()):
        path = f"tilt_series/{number}.star"
        (folder / path).write_text(text)
        rows.append([name, path, *(more_values or {}).get(name, ())])
    star = folder / "tomograms.star"
    star.write_text(loop("global", ["rlnTomoName", "rlnTomoTiltSeriesStarFile", *more_labels], rows) + extra)
    return star


def tilts(name: str, n: int, label: str = "rlnMicrographPreExposure") -> str:
    """A tilt-series file of one column, counting up."""
    return loop(name, [label], [[float(i)] for i in range(n)])
