"""What the pictures show, put together from the tables of a dataset."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from ...relion.tomogram_set import NAME
from ..dataset import Dataset
from ..projects import PROJECT
from ..reading.scanning import tables_read
from .metrics import Metric, angle, present
from .outliers import is_outlier, robust_z

#: Bins of a histogram, about.
_BINS = 40

#: Up to so many different values each has a bin of its own: doses, or angles, go in steps.
_MOST_STEPS = 80

#: The part of the values at either end that may lie beyond a histogram: one bad fit must not hide all others.
_BEYOND = 0.001

#: Steps of the tilt angle, in degrees, in which the curves of all tomograms are taken together.
_BAND_DEG = 3.0


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values in bins of equal width.

    Attributes
    ----------
    begin, width : float
        Of the first bin.
    counts : list of int
    beyond : int
        How many values lie in no bin.
    """

    begin: float
    width: float
    counts: list[int]
    beyond: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """The tomograms and tilts of a dataset.

    Attributes
    ----------
    metrics : list of Metric
        Those that the dataset has the labels for.
    angle : Metric
        What curves are drawn against.
    tilts : polars.DataFrame
        One row a tilt, by tomogram and angle: the columns `tomogram` (int64, row of `tomograms`), `angle`, and one
        float32 column a metric.
    tomograms : polars.DataFrame
        One row a tomogram, in the order of the set: `rlnTomoName`, `tilts`, one float64 column a metric with what
        stands for the series, and `particles` where there are any.
    """

    metrics: list[Metric]
    angle: Metric
    tilts: pl.DataFrame
    tomograms: pl.DataFrame


def opened(dataset: Dataset | str | os.PathLike[str]) -> Dataset:
    """A dataset that may be given by its folder."""
    return dataset if isinstance(dataset, Dataset) else Dataset(dataset)


def gather(dataset: Dataset) -> Gathered:
    """Read what the pictures show: a value a tilt for each metric, and what stands for each tomogram.

    Raises
    ------
    DatasetError
        The tables cannot be read.
    """
    with tables_read(dataset.path):
        return _gather(dataset)


def _gather(dataset: Dataset) -> Gathered:
    tables = _with_names(dataset)
    names = _tomogram_names(tables)
    columns = tables["tilts"].collect_schema().names() if "tilts" in tables else []
    metrics, against = present(columns), angle(columns)
    if "tilts" in tables:
        values = [against.expression, *(metric.expression for metric in metrics)]
        tilts = tables["tilts"].select(NAME, *values).join(names.lazy(), on=NAME, maintain_order="left").drop(NAME)
        found = tilts.sort("tomogram", "angle", maintain_order=True).collect()
    else:
        found = pl.DataFrame(schema={"angle": pl.Float32, "tomogram": pl.Int64})
    series = found.group_by("tomogram").agg(
        pl.len().alias("tilts"), *(getattr(pl.col(m.key).cast(pl.Float64), m.of_series)() for m in metrics)
    )
    tomograms = names.join(series, on="tomogram", how="left", maintain_order="left").drop("tomogram")
    tomograms = tomograms.with_columns(pl.col("tilts").fill_null(0).cast(pl.Int64))
    if "particles" in tables:
        counted = tables["particles"].group_by(NAME).len("particles").collect()
        tomograms = tomograms.join(counted, on=NAME, how="left", maintain_order="left")
        tomograms = tomograms.with_columns(pl.col("particles").fill_null(0).cast(pl.Int64))
    return Gathered(metrics, against, found, tomograms)


def _with_names(dataset: Dataset) -> dict[str, pl.LazyFrame]:
    """The tables that tell of tomograms; names as text, of several projects behind that of the project."""
    tables = dataset.tables
    there = [name for name in ("tomograms", "tilts", "particles") if name in tables]
    named = [name for name in there if NAME in tables[name].collect_schema().names()]
    own = pl.col(NAME).cast(pl.String)
    shown = pl.format("{}/{}", PROJECT, own).alias(NAME) if dataset.projects else own
    return {name: tables[name].with_columns(shown) for name in named}


def _tomogram_names(tables: dict[str, pl.LazyFrame]) -> pl.DataFrame:
    """Every tomogram once, with its row: those of the set, else those that tilts or particles name."""
    frame = next(iter(tables.values()), pl.LazyFrame(schema={NAME: pl.String}))
    names = frame.select(NAME).drop_nulls().unique(maintain_order=True).with_row_index("tomogram")
    return names.with_columns(pl.col("tomogram").cast(pl.Int64)).collect()


def histogram(values: pl.Series) -> Histogram | None:
    """Count values in about 40 bins with round bounds, or in one bin a step where values go in steps.

    Parameters
    ----------
    values : polars.Series
        Numbers; nulls are left out.

    Returns
    -------
    Histogram or None
        None where there is no value.
    """
    numbers = values.drop_nulls().cast(pl.Float64).sort()
    if numbers.is_empty():
        return None
    low, high = _as_float(numbers.quantile(_BEYOND, "lower")), _as_float(numbers.quantile(1 - _BEYOND, "higher"))
    begin, width = _bounds(numbers, low, high, whole=values.dtype.is_integer())
    size = math.floor((high - begin) / width) + 1
    if size == 1:
        # One bar, with room on either side.
        begin, size = begin - 3 * width, 7
    bins = ((numbers - begin) / width).floor().cast(pl.Int64)
    inside = bins.filter((bins >= 0) & (bins < size))
    counts = dict(inside.value_counts().iter_rows())
    return Histogram(begin, width, [counts.get(i, 0) for i in range(size)], len(numbers) - len(inside))


def _bounds(numbers: pl.Series, low: float, high: float, *, whole: bool) -> tuple[float, float]:
    """Where the first bin begins, and the width of all."""
    if step := _step(numbers):
        return low - step / 2, step
    width = _round_width((high - low) / _BINS) or abs(low) / 10 or 1.0
    if whole:
        width = float(math.ceil(width)) if high > low else 1.0
        return math.floor(low / width) * width - 0.5, width
    return (math.floor(low / width) * width if high > low else low - width / 2), width


def _step(numbers: pl.Series) -> float:
    """The smallest step between sorted values that go in few steps; else 0."""
    different = numbers.unique(maintain_order=True)
    if not 1 < len(different) <= _MOST_STEPS:
        return 0.0
    step = min(b - a for a, b in pairwise(different.to_list()))
    return step if (different[-1] - different[0]) / step <= _MOST_STEPS else 0.0


def _round_width(width: float) -> float:
    """The next larger of 1, 2, 2.5, 5 and 10 times a power of ten."""
    if not width > 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(width))
    return next(power * round_ for round_ in (1.0, 2.0, 2.5, 5.0, 10.0, 20.0) if power * round_ >= width)


def bands(gathered: Gathered) -> pl.DataFrame:
    """How all tomograms spread at each angle.

    Returns
    -------
    polars.DataFrame
        One row a step of 3 degrees (a position, where there are no angles): `angle`, and for each metric
        `<key>_low`, `<key>_mid` and `<key>_high`, the 5th, 50th and 95th of 100 parts.
    """
    step = 1.0 if gathered.angle.labels == ("tilt_index",) else _BAND_DEG
    at = (pl.col("angle").cast(pl.Float64) / step).round() * step
    parts = {"low": 0.05, "mid": 0.5, "high": 0.95}
    spread = [
        pl.col(metric.key).cast(pl.Float64).quantile(part, "linear").alias(f"{metric.key}_{name}")
        for metric in gathered.metrics
        for name, part in parts.items()
    ]
    return gathered.tilts.drop_nulls("angle").group_by(at.alias("angle")).agg(spread).sort("angle")


def outliers(gathered: Gathered) -> dict[str, pl.DataFrame]:
    """The tomograms that are unlike the others in a metric, or in how many tilts or particles they have.

    Returns
    -------
    dict
        For each column of `tomograms` a frame of `tomogram` (its row) and `z`.
    """
    sides = {metric.key: metric.worse for metric in gathered.metrics}
    found = {}
    for column in gathered.tomograms.columns:
        if column == NAME:
            continue
        scores = robust_z(gathered.tomograms[column])
        flagged = is_outlier(scores, sides.get(column, "low" if column == "tilts" else "both"))
        rows = pl.int_range(len(scores), dtype=pl.Int64, eager=True)
        found[column] = pl.DataFrame({"tomogram": rows, "z": scores}).filter(flagged)
    return found


def spread(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The smallest and largest value of those columns that have one."""
    ends = {column: (frame[column].min(), frame[column].max()) for column in columns if column in frame.columns}
    return {column: (_as_float(low), _as_float(high)) for column, (low, high) in ends.items() if low is not None}


def _as_float(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
