"""What is shown of a tilt: values made of RELION's labels, with their units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import polars as pl

from ..dataset import Dataset

#: How the units of the label table are written in pictures.
_SIGNS = {
    "angstrom": "Å",
    "degree": "°",
    "electron/angstrom^2": "e⁻/Å²",
    "fraction": "",
    "count": "",
    "micrometre": "µm",
    "pixel": "px",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A value of each tilt.

    Attributes
    ----------
    key, title : str
        Its name in tables and filters, and in pictures.
    labels : tuple of str
        The columns it is made of.
    value : callable
        Makes the expression, from one expression a label.
    of_series : "median" or "max"
        What stands for all tilts of a tomogram.
    worse : "high", "low" or "both"
        On which side a tomogram is an outlier.
    """

    key: str
    title: str
    labels: tuple[str, ...]
    value: Callable[..., pl.Expr]
    of_series: Literal["median", "max"] = "median"
    worse: Literal["high", "low", "both"] = "high"

    @property
    def expression(self) -> pl.Expr:
        """The value as float32; null where that is no finite number."""
        value = self.value(*map(_number, self.labels)).cast(pl.Float32)
        return pl.when(value.is_finite()).then(value).alias(self.key)


def _number(label: str) -> pl.Expr:
    return pl.col(label).cast(pl.Float64, strict=False)


def _itself(value: pl.Expr) -> pl.Expr:
    return value


def _length(x: pl.Expr, y: pl.Expr) -> pl.Expr:
    return (x**2 + y**2).sqrt()


METRICS = (
    Metric("defocus", "Defocus", ("rlnDefocusU", "rlnDefocusV"), lambda u, v: (u + v) / 2, worse="both"),
    Metric("astigmatism", "Astigmatism", ("rlnDefocusU", "rlnDefocusV"), lambda u, v: (u - v).abs()),
    Metric("resolution", "CTF resolution", ("rlnCtfMaxResolution",), _itself),
    Metric("fit", "CTF figure of merit", ("rlnCtfFigureOfMerit",), _itself, worse="low"),
    Metric("motion", "Motion", ("rlnAccumMotionTotal",), _itself),
    Metric("shift", "Shift", ("rlnTomoXShiftAngst", "rlnTomoYShiftAngst"), _length),
    Metric("dose", "Dose", ("rlnMicrographPreExposure",), _itself, of_series="max", worse="both"),
)

#: The tilt angle: refined, else as the stage had it.
ANGLES = tuple(
    Metric("angle", "Tilt angle", (label,), _itself) for label in ("rlnTomoYTilt", "rlnTomoNominalStageTiltAngle")
)

#: Where a dataset has no angle, tilts stand in the order of their file.
ORDER = Metric("angle", "Position in the series", ("tilt_index",), _itself)


def present(columns: Collection[str]) -> list[Metric]:
    """The metrics for which a table has the columns."""
    return [metric for metric in METRICS if set(metric.labels) <= set(columns)]


def angle(columns: Collection[str]) -> Metric:
    """What curves are drawn against."""
    return next((metric for metric in ANGLES if set(metric.labels) <= set(columns)), ORDER)


def units(dataset: Dataset, table: str) -> dict[str, str]:
    """The units of a table's columns, as they are written in pictures.

    Parameters
    ----------
    dataset : Dataset
    table : str

    Returns
    -------
    dict
        Of every column: "" where it has no unit.
    """
    columns = dataset.manifest["tables"].get(table, {"columns": []})["columns"]
    known = {column["name"]: _SIGNS.get(column["unit"], column["unit"]) for column in columns}
    return defaultdict(str, known)


def with_unit(title: str, unit: str) -> str:
    """The title of an axis."""
    return f"{title} ({unit})" if unit else title
