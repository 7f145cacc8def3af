"""A made-up but realistic RELION 5 project of any size, as its reconstruction job leaves it.

The numbers are random, the layout is RELION's own: columns, order, files, and the text to the byte
(``src/metadata_table.cpp``: MetaDataTable::write). The tilt scheme is dose-symmetric, from -60 to 60 degrees in
steps of 3 for 41 tilts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetError, Place, UsageError
from .kernels.format import LONGEST, RELION, format_floats

JOB = "Tomograms/job006"

_PIXEL_SIZE_ANGST = 1.35
_DOSE_PER_TILT = 3.0

_GLOBAL_LABELS = (
    "rlnTomoName",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnMicrographOriginalPixelSize",
    "rlnTomoHand",
    "rlnOpticsGroupName",
    "rlnTomoTiltSeriesPixelSize",
    "rlnTomoTiltSeriesStarFile",
    "rlnEtomoDirectiveFile",
    "rlnTomoTomogramBinning",
    "rlnTomoSizeX",
    "rlnTomoSizeY",
    "rlnTomoSizeZ",
    "rlnTomoReconstructedTomogram",
)

_TILT_LABELS = (
    "rlnMicrographMovieName",
    "rlnTomoTiltMovieFrameCount",
    "rlnTomoNominalStageTiltAngle",
    "rlnTomoNominalTiltAxisAngle",
    "rlnMicrographPreExposure",
    "rlnTomoNominalDefocus",
    "rlnCtfPowerSpectrum",
    "rlnMicrographNameEven",
    "rlnMicrographNameOdd",
    "rlnMicrographName",
    "rlnMicrographMetadata",
    "rlnAccumMotionTotal",
    "rlnAccumMotionEarly",
    "rlnAccumMotionLate",
    "rlnCtfImage",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnCtfAstigmatism",
    "rlnDefocusAngle",
    "rlnCtfFigureOfMerit",
    "rlnCtfMaxResolution",
    "rlnCtfIceRingDensity",
    "rlnTomoXTilt",
    "rlnTomoYTilt",
    "rlnTomoZRot",
    "rlnTomoXShiftAngst",
    "rlnTomoYShiftAngst",
    "rlnCtfScalefactor",
)


#: What the motion correction job adds to the name of a frame.
_CORRECTED = {
    "rlnCtfPowerSpectrum": "_PS.mrc",
    "rlnMicrographNameEven": "_EVN.mrc",
    "rlnMicrographNameOdd": "_ODD.mrc",
    "rlnMicrographName": ".mrc",
    "rlnMicrographMetadata": ".star",
}


@dataclass(frozen=True, slots=True)
class Example:
    """What was written."""

    directory: Path
    tomograms_star: Path
    tomograms: int
    tilts: int


def make_project(directory: Path, *, tomograms: int = 5, tilts: int = 41, seed: int = 1) -> Example:
    """Write a project.

    Parameters
    ----------
    directory : Path
        A new or empty folder.
    tomograms, tilts : int
        How many tomograms, and tilt images of each.
    seed : int
        The same seed gives the same project, byte for byte.

    Raises
    ------
    DatasetError
        The folder is not empty.
    """
    if tomograms < 1 or tilts < 0:
        raise UsageError(f"{tomograms} tomograms of {tilts} tilts", expected="1 or more tomograms, 0 or more tilts")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DatasetError("the folder for the example is not empty", place=Place(str(directory)))
    series_folder = directory / JOB / "tilt_series"
    series_folder.mkdir(parents=True)
    width = max(2, len(str(tomograms)))
    names = [f"TS_{number:0{width}d}" for number in range(1, tomograms + 1)]
    rows = []
    for number, name in enumerate(names):
        rng = np.random.default_rng([seed, number])
        (series_folder / f"{name}.star").write_text(_block(name, _TILT_LABELS, _tilt_rows(name, tilts, rng)))
        rows.append(_global_row(name, number))
    star = directory / JOB / "tomograms.star"
    star.write_text(_block("global", _GLOBAL_LABELS, rows))
    return Example(directory, star, tomograms, tomograms * tilts)


def _global_row(name: str, number: int) -> list[str]:
    optics = f"optics{1 + number % 2}"
    first, last = [300.0, 2.7, 0.1, _PIXEL_SIZE_ANGST / 2, -1.0], [_PIXEL_SIZE_ANGST, 10 / _PIXEL_SIZE_ANGST]
    texts = relion_doubles(np.array(first + last))
    return [
        name,
        *texts[:5],
        optics,
        texts[5],
        f"{JOB}/tilt_series/{name}.star",
        f"AlignTiltSeries/job005/external/{name}/{name}.edf",
        texts[6],
        *(f"{size:12d}" for size in (4000, 4000, 2000)),
        f"{JOB}/tomograms/rec_{name}.mrc",
    ]


def _tilt_rows(name: str, tilts: int, rng: np.random.Generator) -> list[list[str]]:
    """The rows of a tilt series, sorted by nominal angle as the alignment job leaves them."""
    order = np.arange(tilts)
    step = (order + 1) // 2
    angle = 3.0 * step * np.where((step % 2 == 1) == (order % 2 == 1), 1, -1)
    defocus = rng.uniform(25000, 55000) + rng.normal(0, 150, tilts)
    astigmatism = np.abs(rng.normal(250, 180, tilts))
    motion = rng.gamma(4, 1.2, (tilts, 2))
    shift = np.cumsum(rng.normal(0, 4, (tilts, 2)), axis=0)
    axis = 85.0 + rng.normal(0, 0.3)
    jitter = rng.normal(0, 1, (4, tilts))
    cosine = np.cos(np.deg2rad(angle))
    numbers = {
        "rlnTomoNominalStageTiltAngle": angle + 0.001 * jitter[0],
        "rlnTomoNominalTiltAxisAngle": np.full(tilts, 85.0),
        "rlnMicrographPreExposure": _DOSE_PER_TILT * order,
        "rlnTomoNominalDefocus": np.full(tilts, -4.0),
        "rlnAccumMotionTotal": motion.sum(axis=1),
        "rlnAccumMotionEarly": motion[:, 0],
        "rlnAccumMotionLate": motion[:, 1],
        "rlnDefocusU": defocus + astigmatism / 2,
        "rlnDefocusV": defocus - astigmatism / 2,
        "rlnCtfAstigmatism": astigmatism,
        "rlnDefocusAngle": 80.0 + 20 * jitter[1],
        "rlnCtfFigureOfMerit": np.abs(0.12 * cosine + 0.01 * jitter[2]),
        "rlnCtfMaxResolution": 5.5 + np.abs(angle) / 10 + np.abs(jitter[3]),
        "rlnCtfIceRingDensity": np.abs(0.6 + 0.3 * jitter[2]),
        "rlnTomoXTilt": np.zeros(tilts),
        "rlnTomoYTilt": angle + 0.01 * jitter[3],
        "rlnTomoZRot": np.full(tilts, axis),
        "rlnTomoXShiftAngst": shift[:, 0],
        "rlnTomoYShiftAngst": shift[:, 1],
        "rlnCtfScalefactor": cosine,
    }
    texts = relion_doubles(np.concatenate(list(numbers.values())))
    columns = {label: texts[i * tilts : (i + 1) * tilts] for i, label in enumerate(numbers)}
    stems = [f"{name}_{i:03d}_{angle[i]:.1f}" for i in range(tilts)]
    frames = [f"frames/{stem.replace('.', '_')}" for stem in stems]
    columns["rlnMicrographMovieName"] = [f"frames/{stem}.mrc" for stem in stems]
    columns["rlnTomoTiltMovieFrameCount"] = [f"{8:12d}"] * tilts
    for label, suffix in _CORRECTED.items():
        columns[label] = [f"MotionCorr/job002/{frame}{suffix}" for frame in frames]
    columns["rlnCtfImage"] = [f"CtfFind/job003/{frame}_PS.ctf:mrc" for frame in frames]
    return [[columns[label][i] for label in _TILT_LABELS] for i in np.argsort(angle, kind="stable").tolist()]


def relion_doubles(values: NDArray[np.float64]) -> list[str]:
    """Doubles as RELION writes them (``src/metadata_container.cpp``)."""
    out = np.empty(32 * len(values) + LONGEST, np.uint8)
    offsets = np.zeros(len(values) + 1, np.int64)
    written = format_floats(values, RELION, 0, 12, out, offsets)
    assert written == len(values)
    text = out[: offsets[-1]].tobytes().decode("ascii")
    return [text[begin:end] for begin, end in pairwise(offsets.tolist())]


def _block(name: str, labels: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A block as RELION writes it: each value right-aligned to 10 characters, with one blank behind it."""
    header = "".join(f"_{label} #{number} \n" for number, label in enumerate(labels, 1))
    body = "".join("".join(f"{value:>10} " for value in row) + "\n" for row in rows)
    return f"\n# version 50001\n\ndata_{name}\n\nloop_ \n{header}{body} \n"
