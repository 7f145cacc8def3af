"""A made-up but realistic RELION 5 project of any size, as its reconstruction job leaves it.

The numbers are random, the layout is RELION's own: columns, order, files, and the text to the byte
(``src/metadata_table.cpp``: MetaDataTable::write). The tilt scheme is dose-symmetric, from -60 to 60 degrees in
steps of 3 for 41 tilts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import DatasetError, Place, UsageError

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
    numbers = [300.0, 2.7, 0.1, _PIXEL_SIZE_ANGST / 2, -1.0]
    return [
        name,
        *map(relion_double, numbers),
        optics,
        relion_double(_PIXEL_SIZE_ANGST),
        f"{JOB}/tilt_series/{name}.star",
        f"AlignTiltSeries/job005/external/{name}/{name}.edf",
        relion_double(10 / _PIXEL_SIZE_ANGST),
        *(f"{size:12d}" for size in (4000, 4000, 2000)),
        f"{JOB}/tomograms/rec_{name}.mrc",
    ]


def _tilt_rows(name: str, tilts: int, rng: np.random.Generator) -> list[list[str]]:
    """The rows of a tilt series, sorted by nominal angle as the alignment job leaves them."""
    order = np.arange(tilts)
    sign = np.where((order + 1) // 2 % 2 == 1, 1, -1)
    step = (order + 1) // 2
    angle = 3.0 * step * np.where(order % 2 == 1, sign, -sign)
    defocus = rng.uniform(25000, 55000) + rng.normal(0, 150, tilts)
    astigmatism = np.abs(rng.normal(250, 180, tilts))
    motion = rng.gamma(4, 1.2, (tilts, 2))
    shift = np.cumsum(rng.normal(0, 4, (tilts, 2)), axis=0)
    axis = 85.0 + rng.normal(0, 0.3)
    rows = []
    for i in np.argsort(angle, kind="stable").tolist():
        stem = f"{name}_{i:03d}_{angle[i]:.1f}"
        frame = f"frames/{stem.replace('.', '_')}"
        corrected = f"MotionCorr/job002/{frame}"
        jitter = rng.normal(0, 1, 4)
        rows.append(
            [
                f"frames/{stem}.mrc",
                f"{8:12d}",
                relion_double(angle[i] + 0.001 * jitter[0]),
                relion_double(85.0),
                relion_double(_DOSE_PER_TILT * i),
                relion_double(-4.0),
                *(f"{corrected}{suffix}" for suffix in ("_PS.mrc", "_EVN.mrc", "_ODD.mrc", ".mrc", ".star")),
                *map(relion_double, (motion[i].sum(), motion[i, 0], motion[i, 1])),
                f"CtfFind/job003/{frame}_PS.ctf:mrc",
                relion_double(defocus[i] + astigmatism[i] / 2),
                relion_double(defocus[i] - astigmatism[i] / 2),
                relion_double(astigmatism[i]),
                relion_double(80.0 + 20 * jitter[1]),
                relion_double(abs(0.12 * np.cos(np.deg2rad(angle[i])) + 0.01 * jitter[2])),
                relion_double(5.5 + abs(angle[i]) / 10 + abs(jitter[3])),
                relion_double(abs(0.6 + 0.3 * jitter[2])),
                relion_double(0.0),
                relion_double(angle[i] + 0.01 * jitter[3]),
                relion_double(axis),
                *map(relion_double, shift[i]),
                relion_double(np.cos(np.deg2rad(angle[i]))),
            ]
        )
    return rows


def relion_double(value: float) -> str:
    """A double as RELION writes it, cut to 12 characters (``src/metadata_container.cpp``)."""
    style = "e" if 0 < abs(value) < 1e-3 or abs(value) > 1e5 else "f"
    return f"{value:12.{5 if value < 0 else 6}{style}}"[:12]


def _block(name: str, labels: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A block as RELION writes it: each value right-aligned to 10 characters, with one blank behind it."""
    header = "".join(f"_{label} #{number} \n" for number, label in enumerate(labels, 1))
    body = "".join("".join(f"{value:>10} " for value in row) + "\n" for row in rows)
    return f"\n# version 50001\n\ndata_{name}\n\nloop_ \n{header}{body} \n"
