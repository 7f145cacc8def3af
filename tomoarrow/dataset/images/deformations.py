"""Which tilt images of a dataset are bent, and how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...errors import SchemaError, UsageError
from ...relion.deformation import KINDS, DeformationKind, coefficient_count, deformed
from ...relion.geometry import Floats
from ...relion.tomogram_set import NAME

Ints = NDArray[np.int64]

COEFFICIENTS = "rlnTomoDeformationCoefficients"
_GRID_X, _GRID_Y, _KIND = "rlnTomoDeformationGridSizeX", "rlnTomoDeformationGridSizeY", "rlnTomoDeformationType"
OF_GLOBAL = (_GRID_X, _GRID_Y, _KIND)


@dataclass(frozen=True, slots=True)
class Deformation:
    """Tilt images that are bent in one way, and are of one size.

    Attributes
    ----------
    kind : "linear", "spline" or "Fourier"
    grid, image_size : (int, int)
    coefficients : float64[bent tilts, coefficients]
    row_of : int64[tilts]
        For each tilt of the dataset its row there; -1 where it is not bent, or otherwise.
    """

    kind: DeformationKind
    grid: tuple[int, int]
    image_size: tuple[int, int]
    coefficients: Floats
    row_of: Ints


def find_deformations(
    tilts: pl.DataFrame, globals_: pl.DataFrame, of_tilt: Ints, image_sizes: Floats | None
) -> tuple[Deformation, ...]:
    """Find the tilt images that are bent.

    As in RELION, these are the ones with coefficients, of tomograms with a grid
    (``src/jaz/tomography/tomogram_set.cpp``: TomogramSet::loadTomogram).

    Parameters
    ----------
    tilts, globals_ : polars.DataFrame
        A row a tilt image, and a row a tomogram; columns by their labels.
    of_tilt : int64[tilts]
        The row of each one's tomogram.
    image_sizes : float64[tomograms, 2] or None

    Raises
    ------
    SchemaError
        There is no such kind of deformation, or a tilt has another number of coefficients than its kind and grid want.
    UsageError
        The size of the images is not known.
    """
    if COEFFICIENTS not in tilts.columns or not {*OF_GLOBAL} <= {*globals_.columns}:
        return ()
    is_bent = (
        (tilts[COEFFICIENTS].list.len() > 0).fill_null(False) & globals_[_GRID_X].gather(of_tilt).is_not_null()
    ).to_numpy()
    if not is_bent.any():
        return ()
    if image_sizes is None:
        raise UsageError(
            f"the tilt images are bent ({COEFFICIENTS}), which depends on their size",
            expected="image_size=(width, height), or image_size='headers'",
        )
    sizes = pl.DataFrame(image_sizes.astype(np.int64), schema=["width", "height"])
    ways = globals_.select(_KIND, _GRID_X, _GRID_Y).hstack(sizes)
    number = ways.with_columns(pl.struct(pl.all()).rank("dense").alias("way"))["way"].to_numpy()
    found = []
    for way in np.unique(number[of_tilt[is_bent]]).tolist():
        kind, x, y, width, height = ways.row(int(np.flatnonzero(number == way)[0]))
        bent = np.flatnonzero(is_bent & (number[of_tilt] == way))
        if kind not in KINDS:
            raise SchemaError(f"{_KIND} is {kind!r}", expected=" or ".join(KINDS))
        coefficients = _coefficients(tilts, bent, kind, (x, y))
        row_of = np.full(len(of_tilt), -1, np.int64)
        row_of[bent] = np.arange(len(bent))
        found.append(Deformation(kind, (x, y), (width, height), coefficients, row_of))
    return tuple(found)


def _coefficients(tilts: pl.DataFrame, bent: Ints, kind: DeformationKind, grid: tuple[int, int]) -> Floats:
    wanted = coefficient_count(kind, grid)
    own = tilts[COEFFICIENTS].gather(bent)
    unlike = np.flatnonzero((own.list.len() != wanted).to_numpy())
    if len(unlike):
        tilt = int(bent[unlike[0]])
        raise SchemaError(
            f"tomogram {tilts[NAME][tilt]} has a tilt with {own.list.len()[int(unlike[0])]} {COEFFICIENTS}",
            expected=f"{wanted} for a {kind} deformation on a grid of {grid[0]} x {grid[1]}",
        )
    return own.explode().cast(pl.Float64).to_numpy().reshape(-1, wanted)


def bend(points: Floats, tilt: Ints, deformations: tuple[Deformation, ...]) -> Floats:
    """Move projected points (float64[2, n], in pixels from the corner) as their tilt images are bent."""
    for each in deformations:
        row = each.row_of.take(tilt)
        at = np.flatnonzero(row >= 0)
        if len(at):
            points[:, at] = deformed(
                points[:, at], row[at], each.coefficients, kind=each.kind, grid=each.grid, image_size=each.image_size
            )
    return points
