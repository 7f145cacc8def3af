"""Particles times tilts: against a slow version that reads the STAR files itself, on real and on small projects."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tomoarrow as ta

from ..relion.slow_geometry import apply, slow_matrix, slow_position
from .projects import loop

Row = dict[str, str]
Motion = dict[str, list[list[float]]]


# --- the slow version -----------------------------------------------------------------------------------------------


def star_rows(path: Path, block: str) -> list[Row]:
    """The rows of the loop of one block, which ends with an empty line."""
    lines = iter(path.read_text().splitlines())
    while next(lines).strip() != f"data_{block}":
        pass
    labels: list[str] = []
    rows: list[Row] = []
    for line in map(str.strip, lines):
        if line.startswith("_"):
            labels.append(line[1:].split()[0])
        elif labels and not line:
            break
        elif labels:
            rows.append(dict(zip(labels, line.split(), strict=True)))
    return rows


def numbers(row: Row, *labels: str) -> list[float]:
    return [float(row.get(label, 0)) for label in labels]


def axes(before: str, after: str = "", names: str = "XYZ") -> list[str]:
    return [f"{before}{axis}{after}" for axis in names]


def slow_rows(
    project: Path, particles: Path, tomograms: Path, image: tuple[int, int], motion: Motion | None
) -> Iterator[tuple[Any, ...]]:
    """Tomogram, particle, tilt, x, y, depth and both defoci of every visible tilt."""
    optics = {row["rlnOpticsGroup"]: row for row in star_rows(particles, "optics")}
    tomogram = {row["rlnTomoName"]: row for row in star_rows(tomograms, "global")}
    series = {name: star_rows(project / row["rlnTomoTiltSeriesStarFile"], name) for name, row in tomogram.items()}
    for particle in star_rows(particles, "particles"):
        name, own = particle["rlnTomoName"], particle["rlnTomoParticleName"]
        size = [int(side) for side in numbers(tomogram[name], *axes("rlnTomoSize"))]
        pixel, hand, slope = numbers({"rlnTomoDefocusSlope": "1"} | tomogram[name], *GLOBAL_NUMBERS)
        position = slow_position(
            numbers(particle, *axes("rlnCenteredCoordinate", "Angst")),
            numbers(particle, *axes("rlnOrigin", "Angst")),
            numbers(particle, *(f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi"))),
            float(optics[particle["rlnOpticsGroup"]]["rlnTomoTiltSeriesPixelSize"]),
            size,
        )
        visible = particle["rlnTomoVisibleFrames"].strip("[]").split(",")
        assert len(visible) == len(series[name])
        for index, tilt in enumerate(series[name]):
            if visible[index] != "1":
                continue
            matrix = slow_matrix(
                numbers(tilt, "rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot"),
                numbers(tilt, "rlnTomoXShiftAngst", "rlnTomoYShiftAngst"),
                pixel,
                size,
                image,
            )
            shift = motion[own][index] if motion else [0.0, 0.0, 0.0]
            x, y, _ = apply(matrix, [position[i] + shift[i] / pixel for i in range(3)])
            depth = apply(matrix, position)[2] - apply(matrix, [side / 2 for side in size])[2]
            u, v = (value + hand * pixel * slope * depth for value in numbers(tilt, "rlnDefocusU", "rlnDefocusV"))
            yield name, own, index, x, y, depth * pixel, u, v


GLOBAL_NUMBERS = ("rlnTomoTiltSeriesPixelSize", "rlnTomoHand", "rlnTomoDefocusSlope")
COMPARED = ("rlnTomoName", "rlnTomoParticleName", "tilt_index", "x_px", "y_px", "depth_angst", "defocus_u_angst")


def assert_same(found: pl.DataFrame, expected: list[tuple[Any, ...]]) -> None:
    assert found.select(COMPARED[:3]).rows() == [row[:3] for row in expected]
    values = found.select(*COMPARED[3:], "defocus_v_angst").to_numpy()
    np.testing.assert_allclose(values, [row[3:] for row in expected], rtol=0, atol=1e-6)


# --- a real project -------------------------------------------------------------------------------------------------

POLISH = "corpus/TomoBabel__cets-relion/tests/test_data/skeleton_project"


@pytest.fixture(scope="module")
def polished(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Motion]:
    """Every 19th particle of a polishing job, with trajectories of our own: RELION's are not in the collection."""
    home = tmp_path_factory.mktemp("polish")
    job = home / "Polish/job030"
    shutil.copytree(shared / POLISH / "Polish/job030", job, copy_function=shutil.copyfile)
    lines = (job / "particles.star").read_text().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.strip().startswith("TS_"))
    (job / "particles.star").write_text("".join([*lines[:first], *lines[first:-1:19], lines[-1]]))
    rng = np.random.default_rng(1)
    motion = {}
    for particle in star_rows(job / "particles.star", "particles"):
        n_tilts = particle["rlnTomoVisibleFrames"].count(",") + 1
        motion[particle["rlnTomoParticleName"]] = rng.normal(0, 5, (n_tilts, 3)).round(6).tolist()
    blocks = [loop(name, axes("rlnOrigin", "Angst"), shifts) for name, shifts in motion.items()]
    (job / "motion.star").write_text("\n".join(["data_general\n\n_rlnParticleNumber 9999\n", *blocks]))
    return home, motion


@pytest.mark.parametrize("moves", [False, True], ids=["particles", "particles that move"])
def test_a_real_project(polished: tuple[Path, Motion], tmp_path: Path, moves: bool) -> None:
    home, motion = polished
    job = home / "Polish/job030"
    members = (job / "optimisation_set.star").read_text().splitlines(keepends=True)
    star = tmp_path / "set.star"
    star.write_text("".join(line for line in members if moves or "Trajectories" not in line))
    ta.convert(star, tmp_path / "dataset", project=home)
    found = ta.Dataset(tmp_path / "dataset").particle_tilts(image_size=(4092, 5761)).collect()
    of_shift = found.select("shift_x_angst", "shift_y_angst", "shift_z_angst")
    if moves:
        assert of_shift.rows() == [
            tuple(motion[name][tilt]) for name, tilt in found.select("rlnTomoParticleName", "tilt_index").iter_rows()
        ]
    else:
        assert sum(of_shift.null_count().row(0)) == 3 * found.height
    slow = slow_rows(home, job / "particles.star", job / "tomograms.star", (4092, 5761), motion if moves else None)
    assert_same(found, [*slow])
