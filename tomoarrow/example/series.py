"""The tilt series of a made-up project: dose-symmetric, from -60 to 60 degrees in steps of 3 for 41 tilts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .text import double_columns, loop_block, relion_ints

_DOSE_PER_TILT = 3.0

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
class Series:
    """A tilt series, sorted by nominal angle as the alignment job leaves it.

    Attributes
    ----------
    name : str
    stems : tuple of str
        The name of each movie, without its folder and ending.
    numbers : dict of float64[tilts]
        By label, in the units of RELION.
    """

    name: str
    stems: tuple[str, ...]
    numbers: dict[str, NDArray[np.float64]]

    @property
    def dose(self) -> NDArray[np.float64]:
        """Electrons per square angstrom before each image: float64[tilts]."""
        return self.numbers["rlnMicrographPreExposure"]


def make_series(name: str, tilts: int, rng: np.random.Generator) -> Series:
    """A tilt series of random numbers."""
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
    rows = np.argsort(angle, kind="stable")
    stems = tuple(f"{name}_{i:03d}_{angle[i]:.1f}" for i in rows.tolist())
    return Series(name, stems, {label: column[rows] for label, column in numbers.items()})


def series_text(series: Series) -> str:
    """The file of a tilt series."""
    columns = double_columns(series.numbers)
    frames = [f"frames/{stem.replace('.', '_')}" for stem in series.stems]
    columns["rlnMicrographMovieName"] = [f"frames/{stem}.mrc" for stem in series.stems]
    columns["rlnTomoTiltMovieFrameCount"] = relion_ints([8] * len(series.stems))
    for label, suffix in _CORRECTED.items():
        columns[label] = [f"MotionCorr/job002/{frame}{suffix}" for frame in frames]
    columns["rlnCtfImage"] = [f"CtfFind/job003/{frame}_PS.ctf:mrc" for frame in frames]
    return loop_block(series.name, _TILT_LABELS, zip(*(columns[label] for label in _TILT_LABELS), strict=True))
