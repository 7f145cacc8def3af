"""``report.html``: a dataset on one page that needs no network."""

from __future__ import annotations

import os
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import altair as alt
import numpy as np
import polars as pl
import vl_convert

from ...relion.tomogram_set import NAME
from ...star.sink import open_sink
from ..dataset import Dataset
from . import charts
from .facts import findings, findings_list, made, missing_notes, project_findings, tiles
from .gather import Gathered, bands, gather, histogram, opened, outliers
from .metrics import Metric, units, with_unit
from .outliers import FEWEST, LIMIT
from .packing import packed_floats, script_json

#: Marks that the page's script replaces, in charts, by the colours of its light or dark style.
_COLOURS = charts.Colours(quiet="--quiet", chosen="--chosen", outlier="--outlier", ink="--ink")


def write_page(
    dataset: Dataset | str | os.PathLike[str], out: str | os.PathLike[str] = "report.html", *, checked: bool = False
) -> Path:
    """Write a page about a dataset: overview, distributions, curves of each tomogram, outliers, findings.

    The page is one file with all that it needs, for any browser of today. It opens no connection, and forbids the
    browser to. A tomogram is called an outlier where the median over its tilts (for dose the largest value; also the
    number of its tilts and of its particles) has a robust z-score beyond 3.5; see `outliers.robust_z`.

    Parameters
    ----------
    dataset : Dataset or path
        What `convert` made.
    out : path
        The file to write; one that is there is replaced.
    checked : bool
        Whether to check the STAR files too, with `validate`: they are read again, which takes a while.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    DatasetError
        The folder is no dataset.
    MissingFileError
        The page cannot be written; or the STAR files are to be checked and are not there.
    """
    # Names of files may hold bytes that are no UTF-8, which Python has as lone surrogates.
    text = page(opened(dataset), checked=checked).encode("utf-8", "backslashreplace")
    with open_sink(out) as write:
        write(text)
    return Path(out)


def page(dataset: Dataset, *, checked: bool) -> str:
    """The page as HTML."""
    found = [*findings(dataset), *(project_findings(dataset) if checked else [])]
    gathered = gather(dataset)
    unusual = outliers(gathered)
    name = dataset.path.resolve().name if isinstance(dataset.path, Path) else dataset.path.name
    return Template(_resource("page.html")).substitute(
        title=escape(f"{name} · tomoarrow report"),
        name=escape(name),
        made=made(dataset),
        hint=escape(_hint(gathered)),
        tiles=tiles(dataset, gathered, _unusual_rows(unusual)),
        findings=findings_list(found),
        body=_body(dataset, gathered),
        footer=_footer(),
        css=_resource("page.css"),
        data=script_json(_data(dataset, gathered, unusual)),
        values=packed_floats([gathered.tilts[column].to_numpy() for column in _curve_columns(gathered)]),
        library=_library(),
        script=_resource("page.js"),
    )


def _resource(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _library() -> str:
    """Vega, Vega-Lite and vega-embed, of the version that Altair writes for, as one script."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    # Its types ask for a snippet of one's own, it does not.
    library = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    return library.replace("</script", "<\\/script")


def _curve_columns(gathered: Gathered) -> list[str]:
    return ["angle", *(metric.key for metric in gathered.metrics)]


def _unusual_rows(unusual: dict[str, pl.DataFrame]) -> int:
    return pl.concat([frame["tomogram"] for frame in unusual.values()]).n_unique() if unusual else 0


def _data(dataset: Dataset, gathered: Gathered, unusual: dict[str, pl.DataFrame]) -> dict[str, Any]:
    """What the page's script reads."""
    of_tilts = units(dataset, "tilts")
    metrics = {metric.key: metric for metric in gathered.metrics}
    sizes = gathered.tilts["tomogram"].value_counts() if gathered.tilts.height else None
    counts = np.zeros(gathered.tomograms.height, np.int64)
    if sizes is not None:
        counts[sizes["tomogram"].to_numpy()] = sizes["count"].to_numpy()
    band, particles = bands(gathered), charts.particles(gathered.tomograms, _COLOURS)
    return {
        "names": gathered.tomograms[NAME].to_list(),
        "columns": [
            _column(gathered.tomograms[key], metrics.get(key), of_tilts)
            for key in gathered.tomograms.columns
            if key != NAME
        ],
        "outliers": {key: frame.with_columns(pl.col("z").round(1)).rows() for key, frame in unusual.items()},
        "ends": np.cumsum(counts).tolist(),
        "curves": _curve_columns(gathered),
        "distributions": {
            metric.key: spec
            for metric in gathered.metrics
            if (spec := _distribution(metric, of_tilts, gathered)) is not None
        },
        "series": {metric.key: _curve(metric, of_tilts, gathered, band) for metric in gathered.metrics},
        "scatter": charts.scatter("", [], _COLOURS).to_dict(),
        "particles": None if particles is None else particles.to_dict(),
    }


def _column(values: pl.Series, metric: Metric | None, of_tilts: dict[str, str]) -> dict[str, Any]:
    """A column of the table of tomograms, with six digits."""
    digits = [None if value is None else float(f"{value:.6g}") for value in values.to_list()]
    if metric is None:
        return {"key": values.name, "title": values.name.capitalize(), "unit": "", "of": "", "values": digits}
    unit = of_tilts[metric.labels[0]]
    return {"key": values.name, "title": metric.title, "unit": unit, "of": metric.of_series, "values": digits}


def _distribution(metric: Metric, of_tilts: dict[str, str], gathered: Gathered) -> dict[str, Any] | None:
    counted = histogram(gathered.tilts[metric.key])
    if counted is None:
        return None
    title = with_unit(metric.title, of_tilts[metric.labels[0]])
    chart = charts.distribution(title, "Tilts", counted, _COLOURS, linked=True)
    return {
        "begin": counted.begin,
        "width": counted.width,
        "counts": counted.counts,
        "beyond": counted.beyond,
        "spec": chart.properties(description=f"Histogram of {title} over all tilts").to_dict(),
    }


def _curve(metric: Metric, of_tilts: dict[str, str], gathered: Gathered, band: pl.DataFrame) -> dict[str, Any]:
    angle = (gathered.angle.title, of_tilts.get(gathered.angle.labels[0], ""))
    unit = of_tilts[metric.labels[0]]
    chart = charts.curve(metric, unit, angle, [], band, _COLOURS)
    return chart.properties(description=f"{metric.title} against {angle[0].lower()} of the selected tomogram").to_dict()


def _hint(gathered: Gathered) -> str:
    """An example of a filter that this dataset has the columns for."""
    term = next(
        (f"{metric.key}>10" for metric in gathered.metrics if metric.key in ("resolution", "motion")), "tilts<41"
    )
    return f"part of a name, or conditions such as {term}"


def _body(dataset: Dataset, gathered: Gathered) -> str:
    """The sections that the script fills, and notes on what a dataset has no columns for."""
    notes = missing_notes(dataset, gathered)
    if gathered.tomograms.is_empty():
        return notes
    return Template(_resource("sections.html")).substitute(
        limit=LIMIT,
        fewest=FEWEST,
        filters=", ".join(f"<code>{escape(key)}</code>" for key in gathered.tomograms.columns if key != NAME),
        notes=notes,
    )


def _footer() -> str:
    return (
        f"Made by tomoarrow with Vega-Altair {escape(alt.__version__)}. "
        "This page holds all it shows and opens no connection."
    )


__all__ = ["page", "write_page"]
