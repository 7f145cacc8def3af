"""Charts of a dataset for notebooks."""

from __future__ import annotations

import os
from collections.abc import Sequence

import altair as alt
import polars as pl

from ...errors import UsageError, check_choice
from ...relion.tomogram_set import NAME
from ..dataset import Dataset
from . import charts
from .gather import Gathered, bands, gather, histogram, opened, outliers
from .metrics import METRICS, Metric, units, with_unit

#: A dataset, or its folder.
Given = Dataset | str | os.PathLike[str]

_COLOURS = charts.Colours()

#: The width of one of several charts, and of a chart alone.
_SMALL_PX, _WIDE_PX = 300, 640


def plot_tilts(dataset: Given, name: str, metrics: Sequence[str] | None = None) -> alt.ConcatChart:
    """Draw one tomogram's values against the tilt angle, in front of a band that shows the spread of all tomograms.

    Parameters
    ----------
    dataset : Dataset or path
        What `convert` made.
    name : str
        A tomogram; in a dataset of several projects ``PROJECT/TOMOGRAM``.
    metrics : sequence of str, optional
        Some of "defocus", "astigmatism", "resolution", "fit", "motion", "shift" and "dose". By default all for which
        the dataset has the labels.

    Returns
    -------
    altair.ConcatChart
        One chart a metric. Units are in the titles of axes; the band holds the middle 90 % of all tomograms.

    Raises
    ------
    DatasetError
        The folder is no dataset.
    UsageError
        There is no such tomogram or metric, or the dataset lacks its labels.
    """
    dataset = opened(dataset)
    gathered = gather(dataset)
    chosen = _chosen(gathered, metrics)
    names = gathered.tomograms[NAME].to_list()
    if name not in names:
        raise UsageError(f"the dataset has no tomogram {name!r}", expected=f"one of {len(names)}, such as {names[:3]}")
    of_tilts = units(dataset, "tilts")
    angle = (gathered.angle.title, of_tilts.get(gathered.angle.labels[0], ""))
    own = gathered.tilts.filter(pl.col("tomogram") == names.index(name)).drop_nulls("angle")
    dose = pl.col("dose") if "dose" in own.columns else pl.lit(None).alias("dose")
    band = bands(gathered)
    drawn = []
    for metric in chosen:
        rows = own.select("angle", pl.col(metric.key).alias("value"), dose).drop_nulls("value").to_dicts()
        chart = charts.curve(metric, of_tilts[metric.labels[0]], angle, rows, band, _COLOURS)
        drawn.append(chart.properties(width=_SMALL_PX))
    return alt.concat(*drawn, columns=2, title=name)


def plot_distributions(dataset: Given, metrics: Sequence[str] | None = None) -> alt.ConcatChart:
    """Draw a histogram over all tilts for each metric; parameters and errors are those of `plot_tilts`."""
    dataset = opened(dataset)
    gathered = gather(dataset)
    of_tilts = units(dataset, "tilts")
    drawn = []
    for metric in _chosen(gathered, metrics):
        counted = histogram(gathered.tilts[metric.key])
        if counted is not None:
            title = with_unit(metric.title, of_tilts[metric.labels[0]])
            drawn.append(charts.distribution(title, "Tilts", counted, _COLOURS).properties(width=_SMALL_PX))
    return alt.concat(*drawn, columns=2)


def plot_tomograms(dataset: Given, metric: str = "defocus") -> alt.Chart:
    """Draw a point for each tomogram, at the median of its tilts; for dose, at the largest value.

    Outliers are marked. Parameters and errors are those of `plot_tilts`.
    """
    dataset = opened(dataset)
    gathered = gather(dataset)
    (shown,) = _chosen(gathered, [metric])
    unlike = outliers(gathered)[metric]["tomogram"]
    position = pl.int_range(pl.len(), dtype=pl.Int64)
    state = pl.when(position.is_in(unlike.implode())).then(pl.lit("outlier")).otherwise(pl.lit("chosen"))
    points = gathered.tomograms.select(
        (position + 1).alias("tomogram"),
        pl.col(NAME).alias("name"),
        pl.col(metric).alias("value"),
        state.alias("state"),
    )
    title = f"{with_unit(shown.title, units(dataset, 'tilts')[shown.labels[0]])}, {shown.of_series}"
    return charts.scatter(title, points.drop_nulls("value").to_dicts(), _COLOURS).properties(width=_WIDE_PX)


def plot_particles(dataset: Given) -> alt.Chart | alt.LayerChart:
    """Draw how many particles tomograms have: a bar each for up to 40, else a histogram.

    Raises
    ------
    DatasetError
        The folder is no dataset.
    UsageError
        It has no particles.
    """
    chart = charts.particles(gather(opened(dataset)).tomograms, _COLOURS)
    if chart is None:
        raise UsageError("the dataset has no particles", expected="one that was converted from an optimisation set")
    return chart.properties(width=_WIDE_PX)


def _chosen(gathered: Gathered, keys: Sequence[str] | None) -> list[Metric]:
    """The metrics of some keys, which the dataset must have the labels for."""
    if keys is None:
        return gathered.metrics
    there = {metric.key: metric for metric in gathered.metrics}
    for key in keys:
        check_choice("metric", key, [metric.key for metric in METRICS])
        if key not in there:
            labels = next(metric.labels for metric in METRICS if metric.key == key)
            raise UsageError(f"the dataset has no {key}", expected=f"a table tilts with {' and '.join(labels)}")
    return [there[key] for key in keys]
