"""The projection matrices of tilt images, from the columns of ``tilts/``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike

from ..dataset.images.tilt_images import check_image_size
from ..dataset.reading.row_groups import GroupedTable
from ..errors import Place, UsageError, check_choice
from ..relion.geometry import Floats, TiltAlignment, projection_matrices, stacked_rows

#: The form of projection matrices.
Projections = Literal["4x4", "3x4"]

_ANGLES = ("rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnTomoYShiftAngst")
_X_TILT = "rlnTomoXTilt"
_ROWS = ("rlnTomoProjX", "rlnTomoProjY", "rlnTomoProjZ", "rlnTomoProjW")
_GLOBAL = ("rlnTomoTiltSeriesPixelSize", "rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")


@dataclass(frozen=True, slots=True)
class Matrices:
    """How matrices are worked out.

    Attributes
    ----------
    columns : tuple of str
        Those that they need.
    of : function
        Of tables with these columns: float64[n, 4, 4].
    rows : int
        3 or 4, of each matrix.
    dtype : numpy.dtype
        What they are handed out as.
    """

    columns: tuple[str, ...]
    of: Callable[[Sequence[pa.Table]], Floats]
    rows: int
    dtype: np.dtype[Any]


def plan_matrices(
    table: GroupedTable, form: Projections, image_size: tuple[int, int] | None, dtype: DTypeLike
) -> Matrices:
    """Find out what matrices are made of.

    Raises
    ------
    UsageError
        The tilts have no alignment, no pixel size or no size of their tomogram; or the size of images is none.
    """
    check_choice("projections", form, get_args(Projections))
    if image_size is not None:
        check_image_size(image_size, "(width, height) in pixels")
    rows = int(form[0])
    if all(label in table.schema.names for label in _ROWS):
        return Matrices(_ROWS, _stacked, rows, np.dtype(dtype))
    columns_of = {label: column for column, label in table.stored.labels("global").items()}
    columns = (*_ANGLES, *(columns_of.get(label, label) for label in _GLOBAL))
    missing = [column for column in columns if column not in table.schema.names]
    if missing:
        raise UsageError(
            f"no projection matrices without {', '.join(missing)}",
            place=Place(os.fspath(table.stored.folder)),
            remedy="convert the tomograms.star of a job after alignment and reconstruction, or say projections=None",
        )
    x_tilt = (_X_TILT,) if _X_TILT in table.schema.names else ()
    return Matrices((*columns, *x_tilt), partial(_aligned, columns, image_size), rows, np.dtype(dtype))


def _stacked(tables: Sequence[pa.Table]) -> Floats:
    return stacked_rows(*(_vectors(tables, label) for label in _ROWS))


def _aligned(columns: Sequence[str], image_size: tuple[int, int] | None, tables: Sequence[pa.Table]) -> Floats:
    y_tilt, z_rot, x_shift, y_shift, pixel_size, *sizes = (_numbers(tables, column) for column in columns)
    has_x_tilt = all(_X_TILT in table.column_names for table in tables)
    x_tilt = _numbers(tables, _X_TILT) if has_x_tilt else np.zeros_like(y_tilt)
    return projection_matrices(
        TiltAlignment(x_tilt, y_tilt, z_rot, x_shift, y_shift),
        pixel_size_angst=pixel_size,
        tomogram_size=np.stack(sizes, axis=-1),
        image_size=image_size,
    )


def _numbers(tables: Sequence[pa.Table], column: str) -> Floats:
    """A column of numbers; NaN for null."""
    chunks = [chunk for table in tables for chunk in table.column(column).chunks]
    return np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks]).astype(np.float64)


def _vectors(tables: Sequence[pa.Table], column: str) -> Floats:
    """A column of vectors of 4; NaN where they are none."""
    chunks = [chunk for table in tables for chunk in table.column(column).chunks]
    vectors = np.full((sum(map(len, chunks)), 4), np.nan)
    start = 0
    for chunk in chunks:
        is_whole = (chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)) == 4
        whole = chunk.filter(pa.array(is_whole))
        vectors[start : start + len(chunk)][is_whole] = whole.flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
        start += len(chunk)
    return vectors
