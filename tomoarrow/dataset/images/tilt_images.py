"""All tilt images of a dataset as arrays: how each sees its tomogram, and what is known of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...errors import Place, SchemaError, UsageError, raise_gathered
from ...relion.geometry import Floats, TiltAlignment, projection_matrices, stacked_rows
from ...relion.project import outside_error, paths_outside
from ...relion.tomogram_set import NAME
from ..layout import TILT_INDEX
from ..reading.stored import Stored
from .deformations import COEFFICIENTS, OF_GLOBAL, Deformation, find_deformations
from .mrc import file_of_image, read_mrc_header

Ints = NDArray[np.int64]

#: Width and height of all tilt images in pixels; or that their headers are to be read.
ImageSize = tuple[int, int] | Literal["headers"]

_ANGLES = ("rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnTomoYShiftAngst")
_ROWS = ("rlnTomoProjX", "rlnTomoProjY", "rlnTomoProjZ", "rlnTomoProjW")
_IMAGE, _STACK = "rlnMicrographName", "rlnTomoTiltSeriesName"
_PIXEL_SIZE, _HAND, _SLOPE = "rlnTomoTiltSeriesPixelSize", "rlnTomoHand", "rlnTomoDefocusSlope"
_SIZES = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
_DEFOCUS = ("rlnDefocusU", "rlnDefocusV")

#: What is handed on as it stands: of a tilt, and of a tomogram.
OF_TILT = ("rlnMicrographPreExposure", "rlnDefocusAngle", "rlnCtfScalefactor", "rlnPhaseShift")
OF_TOMOGRAM = ("rlnCtfBfactorPerElectronDose",)


@dataclass(frozen=True, slots=True)
class TiltImages:
    """Tilt images, tomogram after tomogram.

    Attributes
    ----------
    tomograms : dict
        The number of each tomogram here, by name.
    starts, counts : int64[tomograms]
        Where its tilts begin, and how many there are.
    faults : list of str
        Why a tomogram cannot be projected; empty where it can.
    sizes : float64[tomograms, 3]
        In unbinned pixels.
    pixel_sizes : float64[tomograms]
        In Angstrom.
    matrices : float64[3, 4, tilts]
        The rows of projection matrices but for the last.
    is_centred : bool
        Whether these are relative to the centre of the image.
    depth_to_defocus : float64[tilts]
        Angstrom of defocus a pixel of depth.
    defocus : dict
        ``rlnDefocusU`` and ``V``: float64[tilts]; NaN where there is none.
    deformations : tuple of Deformation
    columns : dict
        Of each tilt, as it stands: `OF_TILT`, `OF_TOMOGRAM`.
    """

    tomograms: dict[str, int]
    starts: Ints
    counts: Ints
    faults: list[str]
    sizes: Floats
    pixel_sizes: Floats
    matrices: Floats
    is_centred: bool
    depth_to_defocus: Floats
    defocus: dict[str, Floats]
    deformations: tuple[Deformation, ...]
    columns: dict[str, pl.Series]


def read_tilt_images(
    tilts: Stored, tomograms: Stored, image_size: ImageSize | None, project: Path, *, allow_outside: bool
) -> TiltImages:
    """Read what is known of all tilt images; of headers only those of files in the project, if not all may be read.

    Raises
    ------
    SchemaError
        There is no alignment at all, or its numbers are not of whole tomograms.
    MissingFileError, UsageError
        A header is to be read and cannot.
    """
    rows = _tilt_rows(tilts)
    starts, counts, names = _series(rows, tilts)
    globals_ = _global_rows(tomograms, names)
    sizes = np.stack([_numbers(globals_, label) for label in _SIZES], axis=-1)
    pixel_sizes = _numbers(globals_, _PIXEL_SIZE)
    of_tilt = np.repeat(np.arange(len(names)), counts)
    has_rows = all(label in rows.columns for label in _ROWS)
    image_sizes = (
        None
        if image_size is None
        else _image_sizes(image_size, rows, globals_, starts, project, allow_outside=allow_outside)
    )
    if has_rows:
        matrices = stacked_rows(*(_vectors(rows[label]) for label in _ROWS))
    else:
        matrices = _matrices(rows, sizes, pixel_sizes, image_sizes, of_tilt, tilts)
    scale = _numbers(globals_, _HAND) * pixel_sizes * _numbers(globals_, _SLOPE, 1.0)
    faults = _faults(matrices, sizes, pixel_sizes, starts)
    columns = {label: rows[label] for label in OF_TILT if label in rows.columns}
    columns |= {label: globals_[label].gather(of_tilt) for label in OF_TOMOGRAM if label in globals_.columns}
    return TiltImages(
        {name: number for number, name in enumerate(names)},
        starts,
        counts,
        faults,
        sizes,
        pixel_sizes,
        np.ascontiguousarray(np.moveaxis(matrices, 0, -1)[:3]),
        is_centred=not has_rows and image_size is None,
        depth_to_defocus=scale[of_tilt],
        defocus={label: _numbers(rows, label) for label in _DEFOCUS},
        deformations=find_deformations(rows, globals_, of_tilt, image_sizes),
        columns=columns,
    )


def _tilt_rows(tilts: Stored) -> pl.DataFrame:
    """The columns of tilt-series tables that count here, by their labels."""
    wanted = {*_ANGLES, *_ROWS, *_DEFOCUS, *OF_TILT, _IMAGE, COEFFICIENTS}
    labels = {column: label for column, label in tilts.labels("tilt_series").items() if label in wanted}
    return _read(tilts, {NAME: NAME, TILT_INDEX: TILT_INDEX} | labels)


def _global_rows(tomograms: Stored, names: list[str]) -> pl.DataFrame:
    """The rows of the global table for some tomograms; null for one that it does not have."""
    wanted = {_PIXEL_SIZE, _HAND, _SLOPE, *_SIZES, _STACK, *OF_TOMOGRAM, *OF_GLOBAL}
    labels = {column: label for column, label in tomograms.labels("global").items() if label in wanted}
    rows = _read(tomograms, {NAME: NAME} | labels)
    return pl.DataFrame({NAME: names}, schema={NAME: pl.String}).join(rows, on=NAME, how="left", maintain_order="left")


def _read(stored: Stored, labels: dict[str, str]) -> pl.DataFrame:
    frame = pl.from_arrow(stored.read(list(labels)))
    assert isinstance(frame, pl.DataFrame)
    return frame.rename(labels, strict=False).with_columns(pl.col(NAME).cast(pl.String))


def _series(rows: pl.DataFrame, tilts: Stored) -> tuple[Ints, Ints, list[str]]:
    """Where each tomogram begins, how many tilts it has, and its name."""
    index = rows[TILT_INDEX].to_numpy()
    starts = np.flatnonzero(index == 0)
    counts = np.diff(np.append(starts, len(index)))
    names = rows[NAME].gather(starts).to_list()
    if (
        counts.sum() != len(index)
        or (index != np.arange(len(index)) - np.repeat(starts, counts)).any()
        or (rows[NAME] != np.repeat(names, counts)).any()
        or len(set(names)) != len(names)
    ):
        raise SchemaError(
            "the tilts of a tomogram do not stand together, or are not numbered from 0",
            place=Place(os.fspath(tilts.folder), label=TILT_INDEX),
            remedy="convert again, or keep the order of the rows",
        )
    return starts, counts, names


def _numbers(rows: pl.DataFrame, label: str, missing: float = np.nan) -> Floats:
    if label not in rows.columns:
        return np.full(rows.height, missing)
    return rows[label].cast(pl.Float64).fill_null(missing).to_numpy()


def _vectors(column: pl.Series) -> Floats:
    """Vectors of 4; NaN where they are none."""
    is_whole = (column.list.len() == 4).fill_null(False).to_numpy()
    vectors = np.full((len(column), 4), np.nan)
    vectors[is_whole] = column.filter(is_whole).explode().cast(pl.Float64).to_numpy().reshape(-1, 4)
    return vectors


def _matrices(
    rows: pl.DataFrame, sizes: Floats, pixel_sizes: Floats, image_sizes: Floats | None, of_tilt: Ints, tilts: Stored
) -> Floats:
    absent = [label for label in _ANGLES[1:] if label not in rows.columns]
    if absent:
        raise SchemaError(
            f"the tilt series are not aligned: no {', '.join(absent)}",
            place=Place(os.fspath(tilts.folder)),
            expected=f"{', '.join(_ANGLES[1:])} of each tilt image, or the matrices of RELION 4",
            remedy="convert the tomograms.star of a job after the alignment",
        )
    # Tomograms without a pixel size are told of with their particles.
    known = np.where(pixel_sizes > 0, pixel_sizes, 1.0)
    x_tilt, *others = (_numbers(rows, label, 0.0 if label == _ANGLES[0] else np.nan) for label in _ANGLES)
    return projection_matrices(
        TiltAlignment(x_tilt, *others),
        pixel_size_angst=known[of_tilt],
        tomogram_size=sizes[of_tilt],
        image_size=None if image_sizes is None else image_sizes[of_tilt],
    )


def check_image_size(image_size: tuple[int, int] | str, expected: str) -> None:
    """Refuse what is no size of an image.

    Raises
    ------
    UsageError
    """
    if isinstance(image_size, str) or len(image_size) != 2 or min(image_size) < 1:
        raise UsageError(f"image_size={image_size!r}", expected=expected)


def _image_sizes(
    image_size: ImageSize,
    rows: pl.DataFrame,
    globals_: pl.DataFrame,
    starts: Ints,
    project: Path,
    *,
    allow_outside: bool,
) -> Floats:
    """The width and height of the images of each tomogram."""
    if image_size != "headers":
        check_image_size(image_size, "(width, height) in pixels, or 'headers'")
        return np.tile(np.asarray(image_size, np.float64), (len(starts), 1))
    if _STACK in globals_.columns:
        label, images = _STACK, globals_[_STACK].to_list()
    elif _IMAGE in rows.columns:
        label, images = _IMAGE, rows[_IMAGE].gather(starts).to_list()
    else:
        raise SchemaError(
            f"no {_IMAGE}: the tilt images are not known, nor their headers",
            remedy="say the size: image_size=(width, height)",
        )
    home = project.resolve()
    files = [file_of_image(image or "") for image in images]
    outside = () if allow_outside else paths_outside(home, files)
    place = Place(os.fspath(home), label=label)
    raise_gathered(
        [outside_error(replace(place, text=files[i]), home) for i in outside],
        "{n} images are outside of the project:",
    )
    return np.array([read_mrc_header(image or "", project).size[:2] for image in images], np.float64).reshape(-1, 2)


def _faults(matrices: Floats, sizes: Floats, pixel_sizes: Floats, starts: Ints) -> list[str]:
    """Why each tomogram cannot be projected; empty where it can."""
    is_aligned = np.logical_and.reduceat(np.isfinite(matrices).all(axis=(1, 2)), starts) if len(starts) else starts
    faults = []
    for aligned, size, pixel_size in zip(is_aligned.tolist(), sizes.tolist(), pixel_sizes.tolist(), strict=True):
        if not pixel_size > 0:
            faults.append(f"no pixel size ({_PIXEL_SIZE})")
        elif not all(side > 0 for side in size):
            faults.append(f"no tomogram size ({', '.join(_SIZES)}): it comes with the reconstruction")
        else:
            faults.append("" if aligned else "no alignment of all its tilts")
    return faults
