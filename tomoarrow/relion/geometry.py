"""Where a point of a tomogram is in each tilt image, how deep, and at which defocus; as RELION 5 has it.

Positions in a tomogram are in pixels of the unbinned tilt series, from 0 at its corner; so are those in an image.
Angles are in degrees, about the axes of the tomogram, right-handed. Sizes are (x, y, z), in unbinned pixels.

RELION halves sizes in two ways, which differ by half a pixel where they are odd: projection matrices turn about the
voxel ``size // 2``, particles and defocus have their centre at ``size / 2``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import SchemaError, UsageError, counted

Floats = NDArray[np.float64]

#: Where the middle of a tomogram is: its voxel ``size // 2``, or ``size / 2``.
Centre = Literal["voxel", "exact"]

#: A smaller pixel size is to RELION one that was not given.
_LEAST_PIXEL_ANGST = 0.001

#: The entries of a rotation that was written with 6 decimals are off by less than this.
_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class TiltAlignment:
    """The alignment of tilt images as RELION 5 writes it: each attribute is float64[n].

    Attributes
    ----------
    x_tilt_deg, y_tilt_deg, z_rot_deg : ndarray
        ``rlnTomoXTilt``, ``rlnTomoYTilt``, ``rlnTomoZRot``: rotations of the specimen, in this order.
    x_shift_angst, y_shift_angst : ndarray
        ``rlnTomoXShiftAngst``, ``rlnTomoYShiftAngst``: shifts of its projection.
    """

    x_tilt_deg: Floats
    y_tilt_deg: Floats
    z_rot_deg: Floats
    x_shift_angst: Floats
    y_shift_angst: Floats


def projection_matrices(
    alignment: TiltAlignment,
    *,
    pixel_size_angst: ArrayLike,
    tomogram_size: ArrayLike,
    image_size: ArrayLike | None = None,
) -> Floats:
    """The matrices that project a point of a tomogram to tilt images.

    Parameters
    ----------
    alignment : TiltAlignment
    pixel_size_angst : float or float64[n]
        Of the unbinned tilt series.
    tomogram_size : int[3] or int[n, 3]
        ``rlnTomoSizeX``, ``Y``, ``Z``.
    image_size : int[2] or int[n, 2], optional
        Width and height of the tilt images. Without it, positions in an image are relative to its centre, the pixel
        ``size // 2``.

    Returns
    -------
    float64[n, 4, 4]
        For homogeneous columns: (x, y, z, 1) in the tomogram to (x, y, depth, 1), all in unbinned pixels.

    Raises
    ------
    UsageError
        The pixel size is not positive.

    Notes
    -----
    ``src/jaz/tomography/tomogram.cpp``: Tomogram::setProjectionMatrix. Since July 2025 RELION computes rotations in
    double precision; before, in single precision, so that the last digits of its matrices differ.
    """
    pixel_size = _pixel_sizes(pixel_size_angst)
    turn = tilt_rotations(alignment.x_tilt_deg, alignment.y_tilt_deg, alignment.z_rot_deg)
    matrices = np.zeros((*turn.shape[:-2], 4, 4))
    matrices[..., :3, :3] = turn
    matrices[..., 3, 3] = 1.0
    matrices[..., :3, 3] = -np.einsum("...ij,...j", turn, centre_px(tomogram_size, "voxel"))
    matrices[..., 0, 3] += alignment.x_shift_angst / pixel_size
    matrices[..., 1, 3] += alignment.y_shift_angst / pixel_size
    if image_size is not None:
        matrices[..., :2, 3] += centre_px(image_size, "voxel")
    return matrices


def alignment_of(
    matrices: Floats,
    *,
    pixel_size_angst: ArrayLike,
    tomogram_size: ArrayLike,
    image_size: ArrayLike | None = None,
    centre: Centre = "voxel",
) -> TiltAlignment:
    """The alignment that projection matrices describe: the inverse of `projection_matrices`.

    Parameters
    ----------
    matrices : float64[n, 4, 4]
        Of RELION 5, or of RELION 4: `stacked_rows`.
    pixel_size_angst, tomogram_size, image_size
        As for `projection_matrices`.
    centre : "voxel" or "exact"
        The point of the tomogram that the shifts refer to. "voxel" is the exact inverse. "exact" is what RELION itself
        writes: where a side of the tomogram is odd, it is half a voxel away, and shifts differ by up to half a pixel.

    Raises
    ------
    SchemaError
        A matrix is more than a rotation and a shift, which angles cannot express.
    UsageError
        The pixel size is not positive.

    Notes
    -----
    ``src/jaz/tomography/tomogram.cpp``: Tomogram::getProjectionAnglesFromMatrix. Angles are within [-180, 180], the
    Y tilt within [-90, 90]. Where that is -90 or 90, X and Z rotate about the same axis: X is 0 then, and Z is both.
    """
    pixel_size = _pixel_sizes(pixel_size_angst)
    turn = matrices[..., :3, :3]
    _check_rigid(matrices)
    sine = -turn[..., 2, 0]
    is_upright = np.abs(sine) < 1.0
    # Beside a quarter turn about Y, X and Z turn about one axis: -1 and +1 of the third row are +90 and -90 degrees.
    other_z = np.arctan2(turn[..., 1, 2] * np.where(sine > 0, 1.0, -1.0), turn[..., 1, 1])
    x = np.where(is_upright, np.arctan2(turn[..., 2, 1], turn[..., 2, 2]), 0.0)
    y = np.arcsin(np.clip(sine, -1.0, 1.0))
    z = np.where(is_upright, np.arctan2(turn[..., 1, 0], turn[..., 0, 0]), other_z)
    shifts = matrices[..., :2, 3] + np.einsum("...ij,...j", turn, centre_px(tomogram_size, centre))[..., :2]
    if image_size is not None:
        shifts = shifts - centre_px(image_size, "voxel")
    return TiltAlignment(
        np.degrees(x), np.degrees(y), np.degrees(z), shifts[..., 0] * pixel_size, shifts[..., 1] * pixel_size
    )


def tilt_rotations(x_tilt_deg: ArrayLike, y_tilt_deg: ArrayLike, z_rot_deg: ArrayLike) -> Floats:
    """Rotations about X, then Y, then Z, of columns.

    Returns
    -------
    float64[n, 3, 3]
        ``Rz(z_rot) Ry(y_tilt) Rx(x_tilt)``.
    """
    x, y, z = (np.radians(np.asarray(each, np.float64)) for each in (x_tilt_deg, y_tilt_deg, z_rot_deg))
    sx, cx, sy, cy, sz, cz = np.broadcast_arrays(np.sin(x), np.cos(x), np.sin(y), np.cos(y), np.sin(z), np.cos(z))
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def euler_rotations(rot_deg: ArrayLike, tilt_deg: ArrayLike, psi_deg: ArrayLike) -> Floats:
    """Rotations of RELION's Euler angles (ZYZ), such as ``rlnTomoSubtomogramRot``, ``Tilt`` and ``Psi``.

    Returns
    -------
    float64[n, 3, 3]
        ``Rz(-psi) Ry(-tilt) Rz(-rot)``.

    Notes
    -----
    ``src/jaz/math/Euler_angles_relion.h``: Euler::anglesToMatrix3.
    """
    inner = tilt_rotations(0.0, np.negative(tilt_deg), np.negative(psi_deg))
    return inner @ tilt_rotations(0.0, 0.0, np.negative(rot_deg))


def stacked_rows(x: ArrayLike, y: ArrayLike, z: ArrayLike, w: ArrayLike) -> Floats:
    """The projection matrices of RELION 4 from their rows; ``np.moveaxis(matrices, -2, 0)`` gives the rows again.

    Parameters
    ----------
    x, y, z, w : float64[n, 4]
        ``rlnTomoProjX``, ``Y``, ``Z``, ``W``.

    Returns
    -------
    float64[n, 4, 4]
        RELION 5 uses them as they are, for positions that count from 0 (``src/jaz/tomography/tomogram_set.cpp``:
        TomogramSet::loadTomogram); RELION 4 counted from 1.
    """
    return np.stack([np.asarray(row, np.float64) for row in (x, y, z, w)], axis=-2)


def binned(matrices: Floats, factor: float) -> Floats:
    """Projection matrices for images that are binned by a factor.

    All entries are divided, also those of the last row, as RELION does (``src/jaz/tomography/tomogram.cpp``:
    Tomogram::FourierCrop). The pixel size grows by the same factor; positions in the tomogram stay unbinned.

    Raises
    ------
    UsageError
        The factor is not positive.
    """
    if not factor > 0:
        raise UsageError(f"a binning factor of {factor}", expected="a positive number")
    return matrices / factor


def centre_px(size: ArrayLike, centre: Centre) -> Floats:
    """The middle of a tomogram or an image, given its size in pixels: float64 of the size's shape."""
    sizes = np.asarray(size)
    return np.asarray(sizes // 2 if centre == "voxel" else sizes / 2, np.float64)


def particle_positions(
    *,
    pixel_size_angst: ArrayLike,
    tomogram_size: ArrayLike,
    centred_angst: ArrayLike | None = None,
    decentred_px: ArrayLike | None = None,
    origin_angst: ArrayLike | None = None,
    subtomogram: Floats | None = None,
) -> Floats:
    """Where particles are in their tomograms, in unbinned pixels.

    Parameters
    ----------
    pixel_size_angst : float or float64[n]
        ``rlnTomoTiltSeriesPixelSize`` of the particle's optics group.
    tomogram_size : int[3] or int[n, 3]
    centred_angst : float64[n, 3], optional
        ``rlnCenteredCoordinateXAngst``, ``Y``, ``Z``: from the centre ``size / 2``. Preferred where both are given.
    decentred_px : float64[n, 3], optional
        ``rlnCoordinateX``, ``Y``, ``Z``, as RELION 4 has them.
    origin_angst : float64[n, 3], optional
        ``rlnOriginXAngst``, ``Y``, ``Z``: subtracted.
    subtomogram : float64[n, 3, 3], optional
        What rotates the origin: `euler_rotations` of ``rlnTomoSubtomogramRot``, ``Tilt``, ``Psi``.

    Returns
    -------
    float64[n, 3]

    Raises
    ------
    UsageError
        No coordinates are given, or the pixel size is not positive.

    Notes
    -----
    ``src/jaz/tomography/particle_set.cpp``: ParticleSet::getPosition, getParticleCoordDecenteredPixel.
    """
    pixel_size = _pixel_sizes(pixel_size_angst)[..., np.newaxis]
    if centred_angst is not None:
        positions = np.asarray(centred_angst, np.float64) / pixel_size + centre_px(tomogram_size, "exact")
    elif decentred_px is not None:
        positions = np.asarray(decentred_px, np.float64)
    else:
        raise UsageError("particles without coordinates", expected="centred_angst or decentred_px")
    if origin_angst is None:
        return positions
    origin = np.asarray(origin_angst, np.float64)
    turned = origin if subtomogram is None else np.einsum("...ij,...j", subtomogram, origin)
    return positions - turned / pixel_size


def project(matrices: Floats, points: ArrayLike) -> Floats:
    """Project points of a tomogram.

    Parameters
    ----------
    matrices : float64[..., 4, 4]
    points : float64[..., 3]
        In unbinned pixels. Leading axes are broadcast: ``matrices[:, np.newaxis]`` projects each point to each tilt.

    Returns
    -------
    float64[..., 3]
        (x, y, depth) in pixels of the images (``src/jaz/tomography/tomogram.cpp``: Tomogram::projectPoint), before
        2D deformations.
    """
    point = np.moveaxis(np.asarray(points, np.float64), -1, 0)
    return np.stack([affine(np.moveaxis(matrices[..., row, :], -1, 0), point) for row in range(3)], axis=-1)


def affine(row: Iterable[Floats], point: Iterable[Floats]) -> Floats:
    """One row of a matrix, as its 4 entries, times points (x, y, z, 1), as their 3 coordinates."""
    along_x, along_y, along_z, shift = row
    x, y, z = point
    result: Floats = along_x * x + along_y * y + along_z * z + shift
    return result


def depths(matrices: Floats, points: ArrayLike, tomogram_size: ArrayLike) -> Floats:
    """How far points are behind the centre of their tomogram, along the beam, in pixels of the images.

    ``src/jaz/tomography/tomogram.cpp``: Tomogram::getDepthOffset. The centre is ``size / 2``.
    """
    offsets = np.asarray(points, np.float64) - centre_px(tomogram_size, "exact")
    result: Floats = np.einsum("...j,...j", matrices[..., 2, :3], offsets)
    return result


def defocus_at(
    defocus_angst: ArrayLike,
    depth_px: ArrayLike,
    *,
    pixel_size_angst: ArrayLike,
    hand: ArrayLike,
    slope: ArrayLike = 1.0,
) -> Floats:
    """The defocus at a depth, given that of the tilt image, which is the defocus at the tomogram's centre.

    Parameters
    ----------
    defocus_angst : float64[n]
        ``rlnDefocusU`` or ``rlnDefocusV``.
    depth_px : float64[n]
        `depths`.
    pixel_size_angst : float or float64[n]
        Of the images.
    hand : float or float64[n]
        ``rlnTomoHand``: 1 or -1.
    slope : float or float64[n]
        ``rlnTomoDefocusSlope``.

    Returns
    -------
    float64[n]
        In Angstrom (``src/jaz/tomography/tomogram.cpp``: Tomogram::getCtf).
    """
    scale = np.asarray(hand, np.float64) * _pixel_sizes(pixel_size_angst) * np.asarray(slope, np.float64)
    return np.asarray(defocus_angst, np.float64) + scale * np.asarray(depth_px, np.float64)


def _pixel_sizes(pixel_size_angst: ArrayLike) -> Floats:
    sizes = np.asarray(pixel_size_angst, np.float64)
    if not (sizes >= _LEAST_PIXEL_ANGST).all():
        raise UsageError(
            f"a pixel size of {np.min(sizes)} Angstrom", expected=f"{_LEAST_PIXEL_ANGST} or more, as RELION demands"
        )
    return sizes


def _check_rigid(matrices: Floats) -> None:
    turn = matrices[..., :3, :3]
    unlike = np.abs(turn @ np.swapaxes(turn, -1, -2) - np.eye(3)).max(axis=(-1, -2))
    is_rigid = (unlike < _ROUNDING) & (np.linalg.det(turn) > 0) & (matrices[..., 3, :] == [0, 0, 0, 1]).all(axis=-1)
    if not is_rigid.all():
        count, first = int(np.count_nonzero(~is_rigid)), int(np.flatnonzero(~is_rigid)[0])
        raise SchemaError(
            f"more than a rotation and a shift in {counted(count, 'projection matrix', 'projection matrices')} "
            f"(the first is number {first}, from 0)",
            expected="a rotation, a shift, and a last row of 0 0 0 1: all that angles and shifts can express",
            remedy="use the matrices as they are",
        )
