"""Which tomograms are unlike the others."""

from __future__ import annotations

import math
from typing import Literal

import polars as pl

#: A value is an outlier at this robust z-score (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993).
LIMIT = 3.5

#: Of fewer values none is called an outlier.
FEWEST = 8

#: What makes the median, or mean, of absolute deviations equal to the standard deviation of a normal distribution.
_OF_MEDIAN, _OF_MEAN = 1.482602, math.sqrt(math.pi / 2)


def robust_z(values: pl.Series) -> pl.Series:
    """How far each value is from the median, in robust standard deviations.

    Parameters
    ----------
    values : polars.Series
        Numbers; may have nulls.

    Returns
    -------
    polars.Series
        float64, null where the value is. The scale is the median of the absolute deviations from the median times
        1.4826; where that is 0, because more than half of the values are the same, their mean times 1.2533; where
        that is 0 too, all scores are 0. With fewer than 8 values all are 0.
    """
    numbers = values.cast(pl.Float64)
    deviations = numbers - numbers.median()
    sizes = deviations.abs()
    scale = _OF_MEDIAN * (_as_float(sizes.median()) or 0.0) or _OF_MEAN * (_as_float(sizes.mean()) or 0.0)
    if not scale or len(numbers) - numbers.null_count() < FEWEST:
        return deviations * 0.0
    return deviations / scale


def is_outlier(scores: pl.Series, worse: Literal["high", "low", "both"]) -> pl.Series:
    """Which scores are beyond the limit, on the side that matters."""
    side = {"high": scores, "low": -scores, "both": scores.abs()}[worse]
    return (side > LIMIT).fill_null(value=False)


def _as_float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
