"""The particles of a made-up project as extraction leaves them, and their trajectories as polishing does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .microscope import (
    AMPLITUDE_CONTRAST,
    IMAGE_SIZE_PX,
    PIXEL_SIZE_ANGST,
    SPHERICAL_ABERRATION_MM,
    VOLTAGE_KV,
    optics_group,
    optics_name,
)
from .series import Series
from .text import (
    END,
    double_columns,
    list_block,
    loop_block,
    loop_front,
    loop_rows,
    relion_doubles,
    relion_ints,
    rows_of_doubles,
)

_OPTICS_LABELS = (
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnTomoTiltSeriesPixelSize",
    "rlnOpticsGroup",
    "rlnOpticsGroupName",
    "rlnCtfDataAreCtfPremultiplied",
    "rlnImageDimensionality",
    "rlnTomoSubtomogramBinning",
    "rlnImagePixelSize",
    "rlnImageSize",
)

_PARTICLE_LABELS = (
    "rlnTomoName",
    "rlnTomoSubtomogramRot",
    "rlnTomoSubtomogramTilt",
    "rlnTomoSubtomogramPsi",
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnAngleTiltPrior",
    "rlnAnglePsiPrior",
    "rlnOpticsGroup",
    "rlnTomoParticleName",
    "rlnTomoVisibleFrames",
    "rlnImageName",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    "rlnOriginZAngst",
    "rlnCenteredCoordinateXAngst",
    "rlnCenteredCoordinateYAngst",
    "rlnCenteredCoordinateZAngst",
    "rlnGroupNumber",
    "rlnClassNumber",
    "rlnNormCorrection",
    "rlnRandomSubset",
    "rlnLogLikeliContribution",
    "rlnMaxValueProbDistribution",
    "rlnNrOfSignificantSamples",
)

_TRAJECTORY_LABELS = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")

_BOX_PX = 192
_HIGHEST_DOSE = 50.0
#: How far from the centre of the tomogram particles may be: a few of those at the rim are not in all images.
_REACH_PX = (1750, 1650, 700)


def write_particles(directory: Path, job: str, every: Sequence[Series], particles: int, seed: int) -> Path:
    """Write the particles of all tomograms, as extraction leaves them.

    Parameters
    ----------
    directory : Path
        The project.
    job : str
        The extraction job, as paths have it.
    every : sequence of Series
        In the order of the tomogram set.
    particles : int
        How many in each tomogram.
    seed : int

    Returns
    -------
    Path
        The file that was written.
    """
    star = directory / job / "particles.star"
    star.parent.mkdir(parents=True)
    groups = sorted({optics_group(number) for number in range(len(every))})
    with star.open("w") as file:
        file.write(list_block("general", {"rlnTomoSubTomosAre2DStacks": relion_ints([1])[0]}))
        file.write(loop_block("optics", _OPTICS_LABELS, map(_optics_row, groups)))
        file.write(loop_front("particles", _PARTICLE_LABELS))
        for number, series in enumerate(every):
            columns = _particle_columns(series, number, particles, np.random.default_rng([seed, number, 1]))
            stacks = f"{job}/Subtomograms"
            columns["rlnImageName"] = [f"{stacks}/{name}_stack2d.mrcs" for name in columns["rlnTomoParticleName"]]
            file.write(loop_rows(zip(*(columns[label] for label in _PARTICLE_LABELS), strict=True)))
        file.write(END)
    return star


def write_trajectories(directory: Path, job: str, every: Sequence[Series], particles: int, seed: int) -> Path:
    """Write how all particles moved, as polishing leaves it (``src/jaz/tomography/motion/trajectory.cpp``: write).

    Parameters
    ----------
    directory, job, every, particles, seed
        As for `write_particles`; the job is that of polishing.
    """
    star = directory / job / "motion.star"
    star.parent.mkdir(parents=True)
    end = END.encode()
    with star.open("wb") as file:
        total = relion_ints([particles * len(every)])[0]
        file.write(list_block("general", {"rlnParticleNumber": total}).encode())
        for number, series in enumerate(every):
            shifts = _trajectories(series, particles, np.random.default_rng([seed, number, 2]))
            rows = rows_of_doubles(shifts.reshape(-1, 3)).reshape(particles, -1)
            names = _names(series, particles)
            fronts = [loop_front(name, _TRAJECTORY_LABELS).encode() for name in names]
            file.write(b"".join(front + text.tobytes() + end for front, text in zip(fronts, rows, strict=True)))
    return star


def _optics_row(group: int) -> list[str]:
    optics = [VOLTAGE_KV, SPHERICAL_ABERRATION_MM, AMPLITUDE_CONTRAST, PIXEL_SIZE_ANGST]
    texts = relion_doubles(np.array([*optics, 1.0, PIXEL_SIZE_ANGST]))
    return [
        *texts[:4],
        relion_ints([group])[0],
        optics_name(group),
        *relion_ints([1, 2]),
        *texts[4:],
        *relion_ints([_BOX_PX]),
    ]


def _names(series: Series, particles: int) -> list[str]:
    return [f"{series.name}/{number}" for number in range(1, particles + 1)]


def _particle_columns(series: Series, number: int, particles: int, rng: np.random.Generator) -> dict[str, list[str]]:
    """The columns of the particles of the tomogram at a place, but for the images."""
    centred_px, is_visible = _positions(series, particles, rng)
    zeros, ones = np.zeros(particles), np.ones(particles)
    numbers = {
        "rlnTomoSubtomogramRot": rng.uniform(-180, 180, particles),
        "rlnTomoSubtomogramTilt": np.rad2deg(np.arccos(rng.uniform(-1, 1, particles))),
        "rlnTomoSubtomogramPsi": rng.uniform(-180, 180, particles),
        "rlnAngleRot": rng.uniform(-30, 30, particles),
        "rlnAngleTilt": 90 + rng.normal(0, 9, particles),
        "rlnAnglePsi": rng.normal(0, 9, particles),
        "rlnAngleTiltPrior": 90 * ones,
        "rlnAnglePsiPrior": zeros,
        "rlnOriginXAngst": zeros,
        "rlnOriginYAngst": zeros,
        "rlnOriginZAngst": zeros,
        "rlnCenteredCoordinateXAngst": PIXEL_SIZE_ANGST * centred_px[:, 0],
        "rlnCenteredCoordinateYAngst": PIXEL_SIZE_ANGST * centred_px[:, 1],
        "rlnCenteredCoordinateZAngst": PIXEL_SIZE_ANGST * centred_px[:, 2],
        "rlnNormCorrection": ones,
        "rlnLogLikeliContribution": rng.normal(1.86e6, 5e4, particles),
        "rlnMaxValueProbDistribution": np.minimum(rng.lognormal(-3, 0.8, particles), 1.0),
    }
    columns = double_columns(numbers)
    columns["rlnTomoName"] = [series.name] * particles
    columns["rlnOpticsGroup"] = relion_ints([optics_group(number)] * particles)
    columns["rlnTomoParticleName"] = _names(series, particles)
    columns["rlnTomoVisibleFrames"] = _vectors(is_visible)
    columns["rlnGroupNumber"] = relion_ints([number + 1] * particles)
    columns["rlnClassNumber"] = relion_ints([1] * particles)
    columns["rlnRandomSubset"] = relion_ints(rng.integers(1, 3, particles).tolist())
    columns["rlnNrOfSignificantSamples"] = relion_ints(rng.geometric(0.01, particles).tolist())
    return columns


def _positions(
    series: Series, particles: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where particles are, and the images that show them.

    Returns
    -------
    float64[particles, 3]
        In unbinned pixels from the centre of the tomogram.
    bool[particles, tilts]
        Whether the whole box lies in the image, and the dose is not too high
        (``src/jaz/tomography/tomogram.cpp``: getVisibilityMinFramesMaxDose).
    """
    reach = np.array(_REACH_PX, np.float64)
    centred = rng.uniform(-reach, reach, (particles, 3))
    first = np.argmin(series.dose)
    # Extraction leaves out particles that it sees nowhere: those outside of the first image move inwards.
    centred[~_is_inside(series, centred)[:, first], :2] *= 0.9
    return centred, _is_inside(series, centred) & (series.dose <= _HIGHEST_DOSE)


def _is_inside(series: Series, centred_px: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether boxes lie in the images: bool[particles, tilts].

    ``src/jaz/tomography/tomogram.cpp``: setProjectionMatrix, isVisible. All sizes are even, and no image is tilted
    about x.
    """
    tilt, axis = np.deg2rad(series.numbers["rlnTomoYTilt"]), np.deg2rad(series.numbers["rlnTomoZRot"])
    x, y, z = (centred_px[:, None, i] for i in range(3))
    across = x * np.cos(tilt) + z * np.sin(tilt)
    image_x = across * np.cos(axis) - y * np.sin(axis) + series.numbers["rlnTomoXShiftAngst"] / PIXEL_SIZE_ANGST
    image_y = across * np.sin(axis) + y * np.cos(axis) + series.numbers["rlnTomoYShiftAngst"] / PIXEL_SIZE_ANGST
    half_x, half_y = ((size - _BOX_PX) / 2 for size in IMAGE_SIZE_PX)
    inside: NDArray[np.bool_] = (np.abs(image_x) < half_x) & (np.abs(image_y) < half_y)
    return inside


def _vectors(flags: NDArray[np.bool_]) -> list[str]:
    """`[0,1,1]` for each row."""
    text = np.full((len(flags), 2 * flags.shape[1] + 1), ord(","), np.uint8)
    text[:, 1::2] = ord("0") + flags
    text[:, 0], text[:, -1] = ord("["), ord("]")
    return [row.tobytes().decode("ascii") for row in text]


def _trajectories(series: Series, particles: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Shifts in angstrom: float64[particles, tilts, 3], a smooth walk from zero in the order of the dose.

    Most of it is common to the particles of a tomogram, as neighbours move together.
    """
    tilts = len(series.dose)
    steps = rng.normal(0, 0.15, (1, tilts, 3)) + rng.normal(0, 0.05, (particles, tilts, 3))
    steps[:, 1:] += steps[:, :-1].copy()
    steps[:, 0] = 0
    acquired = np.argsort(np.argsort(series.dose))
    walks: NDArray[np.float64] = np.cumsum(steps, axis=1)[:, acquired]
    return walks
