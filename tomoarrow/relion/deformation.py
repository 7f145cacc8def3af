"""How RELION bends tilt images: a shift of each projected point that depends on where in the image it is.

Coefficients (``rlnTomoDeformationCoefficients``) are fitted by Bayesian polishing; the global table says of which kind
they are (``rlnTomoDeformationType``) and how many (``rlnTomoDeformationGridSizeX``, ``Y``).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import SchemaError
from .geometry import Floats

DeformationKind = Literal["linear", "spline", "Fourier"]
KINDS: tuple[DeformationKind, ...] = ("linear", "spline", "Fourier")

#: How far the last cell of a spline's grid reaches, below the last node.
_BELOW_LAST = 1e-10


def coefficient_count(kind: DeformationKind, grid: tuple[int, int]) -> int:
    """How many coefficients a tilt image has.

    Raises
    ------
    SchemaError
        A grid that a deformation of this kind cannot have.
    """
    least = {"linear": 0, "spline": 2, "Fourier": 1}[kind]
    if min(grid) < least:
        raise SchemaError(f"a {kind} deformation on a grid of {grid[0]} x {grid[1]}", expected=f"{least} or more")
    if kind == "linear":
        return 3
    return 8 * grid[0] * grid[1] if kind == "spline" else 4 * len(_frequencies(grid))


def deformed(
    points: Floats,
    tilt: NDArray[np.int64],
    coefficients: Floats,
    *,
    kind: DeformationKind,
    grid: tuple[int, int],
    image_size: ArrayLike,
) -> Floats:
    """Move projected points as their images are bent.

    Parameters
    ----------
    points : float64[2, n]
        In pixels from the corner of the unbinned image.
    tilt : int64[n]
        Which row of the coefficients each is to be moved by.
    coefficients : float64[tilts, `coefficient_count`]
    kind : "linear", "spline" or "Fourier"
    grid : (int, int)
        Nodes along X and Y; without meaning for a linear deformation.
    image_size : int[2]
        Width and height.

    Returns
    -------
    float64[2, n]

    Notes
    -----
    ``src/jaz/tomography/motion/modular_alignment``: computeShift of Linear2DDeformationModel, Spline2DDeformationModel
    and Fourier2DDeformationModel.
    """
    size = np.asarray(image_size, np.float64)
    if kind == "linear":
        return points + _linear(points, coefficients[tilt].T, size)
    if kind == "spline":
        return points + _spline(points, tilt, coefficients, grid, size)
    return points + _fourier(points, tilt, coefficients, grid, size)


def _linear(points: Floats, coefficients: Floats, size: Floats) -> Floats:
    x, y = points - size[:, np.newaxis] / 2
    along_x, shear, along_y = coefficients
    return np.stack([along_x * x, shear * x + along_y * y])


def _spline(
    points: Floats, tilt: NDArray[np.int64], coefficients: Floats, grid: tuple[int, int], size: Floats
) -> Floats:
    """Cubic Hermite interpolation: each node has a value, a slope along X and along Y, and a twist."""
    nodes = np.array(grid)[:, np.newaxis]
    at = np.clip(points * (nodes - 1) / size[:, np.newaxis], 0, nodes - 1 - _BELOW_LAST)
    cell = at.astype(np.int64)
    (values_x, values_y), (slopes_x, slopes_y) = _hermite(at - cell)
    shifts = np.zeros(points.shape)
    data = coefficients.reshape(len(coefficients), 2, grid[1], grid[0], 4)
    for right in (0, 1):
        for below in (0, 1):
            # float64[n, 2, 4]
            node = data[tilt, :, cell[1] + below, cell[0] + right]
            weights = np.stack(
                [
                    values_x[right] * values_y[below],
                    slopes_x[right] * values_y[below],
                    values_x[right] * slopes_y[below],
                    slopes_x[right] * slopes_y[below],
                ]
            )
            shifts += np.einsum("ndk,kn->dn", node, weights)
    return shifts


def _hermite(t: Floats) -> tuple[list[list[Floats]], list[list[Floats]]]:
    """The weights of the values, and of the slopes, at both ends of a cell, along X and along Y."""
    square, cube = t**2, t**3
    values = [1 - 3 * square + 2 * cube, 3 * square - 2 * cube]
    slopes = [t - 2 * square + cube, cube - square]
    return [[end[axis] for end in values] for axis in (0, 1)], [[end[axis] for end in slopes] for axis in (0, 1)]


def _fourier(
    points: Floats, tilt: NDArray[np.int64], coefficients: Floats, grid: tuple[int, int], size: Floats
) -> Floats:
    """Waves: a cosine and a sine of each frequency, for X and for Y."""
    frequencies = _frequencies(grid)
    waves = coefficients.reshape(len(coefficients), 2, len(frequencies), 2)
    shifts = np.zeros(points.shape)
    for i, frequency in enumerate(frequencies):
        phase = (np.pi * np.array(frequency) / size) @ points
        parts = waves[:, :, i][tilt]
        shifts += parts[:, :, 0].T * np.cos(phase) + parts[:, :, 1].T * np.sin(phase)
    return shifts


def _frequencies(grid: tuple[int, int]) -> list[tuple[int, int]]:
    """The frequencies of a grid, in half waves an image, in the order of their coefficients."""
    width, height = grid[0] // 2 + 1, grid[1]
    # What a later one mirrors is left out: of the column 0, all but the lower half, and the constant.
    return [
        (x, y if y < height // 2 else y - height)
        for y in range(height)
        for x in range(0 if 0 < y < height // 2 else 1, width)
    ]
