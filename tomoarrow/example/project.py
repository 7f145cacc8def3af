"""A whole project: the tomogram set, and the particles beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import DatasetError, Place, UsageError
from .microscope import (
    AMPLITUDE_CONTRAST,
    PIXEL_SIZE_ANGST,
    SPHERICAL_ABERRATION_MM,
    TOMOGRAM_SIZE_PX,
    VOLTAGE_KV,
    optics_group,
    optics_name,
)
from .particles import write_particles, write_trajectories
from .series import make_series, series_text
from .text import list_block, loop_block, relion_doubles, relion_ints

_TOMOGRAMS_JOB = "Tomograms/job006"
_EXTRACT_JOB = "Extract/job009"
_POLISH_JOB = "Polish/job011"

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


@dataclass(frozen=True, slots=True)
class Example:
    """What was written."""

    directory: Path
    tomograms_star: Path
    tomograms: int
    tilts: int
    particles: int = 0
    particles_star: Path | None = None
    trajectories_star: Path | None = None
    optimisation_set_star: Path | None = None


def make_project(directory: Path, *, tomograms: int = 5, tilts: int = 41, particles: int = 0, seed: int = 1) -> Example:
    """Write a project.

    Parameters
    ----------
    directory : Path
        A new or empty folder.
    tomograms, tilts, particles : int
        How many tomograms, and tilt images and particles of each. Without particles the project ends with its
        reconstructed tomograms; with particles there are also their trajectories and an optimisation set.
    seed : int
        The same seed gives the same project, byte for byte.

    Raises
    ------
    UsageError
        Fewer than 1 tomogram, or particles without tilts: RELION writes no trajectory without rows.
    DatasetError
        The folder is not empty.
    """
    if tomograms < 1 or tilts < 0 or particles < 0:
        raise UsageError(
            f"{tomograms} tomograms of {tilts} tilts and {particles} particles",
            expected="1 or more tomograms, 0 or more tilts and particles",
        )
    if particles and not tilts:
        raise UsageError(f"{particles} particles in tomograms of no tilts", expected="1 or more tilts")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DatasetError("the folder for the example is not empty", place=Place(str(directory)))
    series_folder = directory / _TOMOGRAMS_JOB / "tilt_series"
    series_folder.mkdir(parents=True)
    width = max(2, len(str(tomograms)))
    names = [f"TS_{number:0{width}d}" for number in range(1, tomograms + 1)]
    every = [make_series(name, tilts, np.random.default_rng([seed, number])) for number, name in enumerate(names)]
    for series in every:
        (series_folder / f"{series.name}.star").write_text(series_text(series))
    star = directory / _TOMOGRAMS_JOB / "tomograms.star"
    star.write_text(loop_block("global", _GLOBAL_LABELS, [_global_row(name, n) for n, name in enumerate(names)]))
    made = Example(directory, star, tomograms, tomograms * tilts)
    if not particles:
        return made
    return replace(
        made,
        particles=tomograms * particles,
        particles_star=write_particles(directory, _EXTRACT_JOB, every, particles, seed),
        trajectories_star=write_trajectories(directory, _POLISH_JOB, every, particles, seed),
        optimisation_set_star=_write_optimisation_set(directory),
    )


def _write_optimisation_set(directory: Path) -> Path:
    """Name the files of the project, as a job of the C++ programs does: a list without a name."""
    star = directory / _POLISH_JOB / "optimisation_set.star"
    pairs = {
        "rlnTomoParticlesFile": f"{_EXTRACT_JOB}/particles.star",
        "rlnTomoTomogramsFile": f"{_TOMOGRAMS_JOB}/tomograms.star",
        "rlnTomoTrajectoriesFile": f"{_POLISH_JOB}/motion.star",
    }
    star.write_text(list_block("", pairs))
    return star


def _global_row(name: str, number: int) -> list[str]:
    optics = [VOLTAGE_KV, SPHERICAL_ABERRATION_MM, AMPLITUDE_CONTRAST]
    texts = relion_doubles(np.array([*optics, PIXEL_SIZE_ANGST / 2, -1.0, PIXEL_SIZE_ANGST, 10 / PIXEL_SIZE_ANGST]))
    return [
        name,
        *texts[:5],
        optics_name(optics_group(number)),
        texts[5],
        f"{_TOMOGRAMS_JOB}/tilt_series/{name}.star",
        f"AlignTiltSeries/job005/external/{name}/{name}.edf",
        texts[6],
        *relion_ints(TOMOGRAM_SIZE_PX),
        f"{_TOMOGRAMS_JOB}/tomograms/rec_{name}.mrc",
    ]
