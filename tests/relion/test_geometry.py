"""Geometry, against numbers of RELION's own code and against a slow version written from the formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tomoarrow as ta
from tomoarrow.relion import geometry
from tomoarrow.relion.geometry import TiltAlignment

from .slow_geometry import apply, slow_matrix, slow_position

# --- numbers that RELION's own code gives ---------------------------------------------------------------------------

SIZES: dict[str, Any] = {"pixel_size_angst": 1.35, "tomogram_size": (4000, 4001, 2000), "image_size": (4092, 5761)}
WORKED = [
    [0.0706006083987, -0.997307428348, -0.0198355099542, 3928.50840911],
    [0.858731834869, 0.070884348932, -0.507498812668, 1498.45163025],
    [0.507538362961, 0.0187963410775, 0.861424116034, -1914.09352411],
    [0, 0, 0, 1],
]


def aligned(*rows: Sequence[float]) -> TiltAlignment:
    """An alignment, given X tilt, Y tilt, Z rotation and the two shifts of each tilt."""
    return TiltAlignment(*np.array(rows, np.float64).T)


def columns(alignment: TiltAlignment) -> np.ndarray[Any, Any]:
    return np.stack([getattr(alignment, field.name) for field in fields(alignment)], axis=-1)


def test_a_matrix_as_relion_has_it() -> None:
    matrix = geometry.projection_matrices(aligned((1.25, -30.5, 85.3, 12.5, -40.25)), **SIZES)
    np.testing.assert_allclose(matrix, [WORKED], rtol=1e-11)


@pytest.mark.parametrize(
    ("centre", "shifts"), [("voxel", (12.5, -40.25)), ("exact", (11.8268, -40.2022))], ids=["inverse", "as RELION"]
)
def test_shifts_come_back_for_either_centre(centre: geometry.Centre, shifts: tuple[float, float]) -> None:
    found = geometry.alignment_of(np.array([WORKED]), centre=centre, **SIZES)
    np.testing.assert_allclose(columns(found), [[1.25, -30.5, 85.3, *shifts]], atol=5e-5)


def test_without_an_image_size_points_are_relative_to_its_centre() -> None:
    alignment = aligned((1.25, -30.5, 85.3, 12.5, -40.25))
    without = geometry.projection_matrices(alignment, **SIZES | {"image_size": None})
    difference = geometry.projection_matrices(alignment, **SIZES) - without
    assert difference[0, :, 3].tolist() == pytest.approx([2046, 2880, 0, 0])
    found = geometry.alignment_of(without, **SIZES | {"image_size": None})
    np.testing.assert_allclose(columns(found), columns(alignment), atol=1e-9)


# Beside a quarter turn about Y only the sum (-90) or difference (90) of the others is known: it goes to Z.
QUARTER_TURNS = [
    ((10.0, 90.0, 40.0), (0.0, 90.0, 30.0)),
    ((10.0, -90.0, 40.0), (0.0, -90.0, 50.0)),
    ((0.0, 90.0, -170.0), (0.0, 90.0, -170.0)),
    ((-100.0, 90.0, 100.0), (0.0, 90.0, -160.0)),
]


@pytest.mark.parametrize(("angles", "expected"), QUARTER_TURNS)
def test_quarter_turns(angles: tuple[float, ...], expected: tuple[float, ...]) -> None:
    matrix = geometry.projection_matrices(aligned((*angles, 5.0, -6.0)), **SIZES)
    matrix[0, :3, :3] = matrix[0, :3, :3].round(15)
    found = geometry.alignment_of(matrix, **SIZES)
    np.testing.assert_allclose(columns(found), [[*expected, 5.0, -6.0]], atol=1e-6)
    np.testing.assert_allclose(geometry.projection_matrices(found, **SIZES), matrix, atol=1e-9)


REFUSED = {
    "a mirror": np.diag([1.0, 1.0, -1.0, 1.0]),
    "a magnification": np.diag([1.02, 1.02, 1.02, 1.0]),
    "another last row": np.diag([1.0, 1.0, 1.0, 0.5]),
}


@pytest.mark.parametrize("matrix", REFUSED.values(), ids=REFUSED)
def test_what_angles_cannot_say_is_refused(matrix: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ta.SchemaError, match=r"in 1 projection matrix .* number 1"):
        geometry.alignment_of(np.stack([np.eye(4), matrix]), **SIZES)


@pytest.mark.parametrize("pixel_size", [0.0, -1.0, math.nan])
def test_a_pixel_size_of_nothing_is_refused(pixel_size: float) -> None:
    with pytest.raises(ta.UsageError, match="pixel size"):
        geometry.projection_matrices(aligned((0, 0, 0, 0, 0)), **SIZES | {"pixel_size_angst": pixel_size})


def test_matrices_of_relion_4_are_their_rows() -> None:
    rows = np.arange(32.0).reshape(4, 2, 4)
    matrices = geometry.stacked_rows(*rows.tolist())
    assert matrices[1, 2].tolist() == rows[2, 1].tolist()
    assert np.moveaxis(matrices, -2, 0).tolist() == rows.tolist()


def test_binning_divides_all_entries() -> None:
    assert geometry.binned(np.array([WORKED]), 4.0)[0, 3, 3] == 0.25
    with pytest.raises(ta.UsageError, match="binning"):
        geometry.binned(np.array([WORKED]), 0.0)


# --- particles ------------------------------------------------------------------------------------------------------

POSITIONS: list[tuple[dict[str, Any], list[float]]] = [
    ({"centred_angst": [[0, 0, 0]]}, [50, 50.5, 25]),
    ({"centred_angst": [[20, -10, 4]]}, [60, 45.5, 27]),
    ({"decentred_px": [[20, 10, 4]]}, [20, 10, 4]),
    ({"centred_angst": [[20, -10, 4]], "decentred_px": [[1, 1, 1]]}, [60, 45.5, 27]),
    ({"decentred_px": [[20, 10, 4]], "origin_angst": [[2, 4, 6]]}, [19, 8, 1]),
    # Rot turns what is seen by its negative: the X axis becomes -Y.
    (
        {
            "decentred_px": [[20, 10, 4]],
            "origin_angst": [[2, 0, 0]],
            "subtomogram": geometry.euler_rotations([90], 0, 0),
        },
        [20, 11, 4],
    ),
]


@pytest.mark.parametrize(("given_as", "expected"), POSITIONS)
def test_positions_of_particles(given_as: dict[str, Any], expected: list[float]) -> None:
    found = geometry.particle_positions(pixel_size_angst=2.0, tomogram_size=(100, 101, 50), **given_as)
    np.testing.assert_allclose(found, [expected], atol=1e-12)


def test_particles_without_coordinates_are_refused() -> None:
    with pytest.raises(ta.UsageError, match="coordinates"):
        geometry.particle_positions(pixel_size_angst=2.0, tomogram_size=(100, 101, 50))


@pytest.mark.parametrize(("hand", "slope", "expected"), [(1, 1, 30100.0), (-1, 1, 29900.0), (-1, 0.5, 29950.0)])
def test_defocus_grows_with_depth_by_the_hand(hand: float, slope: float, expected: float) -> None:
    found = geometry.defocus_at([30000.0], [50.0], pixel_size_angst=2.0, hand=hand, slope=slope)
    assert found.tolist() == [expected]


# --- laws -----------------------------------------------------------------------------------------------------------

sides = st.integers(1, 9000)
sizes = st.tuples(sides, sides, sides)
angles = st.floats(-180, 180, allow_subnormal=False)
shifts = st.floats(-5000, 5000, allow_subnormal=False)
tilts = st.lists(st.tuples(angles, st.floats(-89.9, 89.9), angles, shifts, shifts), min_size=1, max_size=6)
pixels = st.floats(0.3, 20)


@given(tilts, pixels, sizes, st.tuples(sides, sides))
def test_matrices_are_those_of_the_slow_version(
    rows: list[tuple[float, ...]], pixel: float, size: tuple[int, ...], image: tuple[int, ...]
) -> None:
    found = geometry.projection_matrices(aligned(*rows), pixel_size_angst=pixel, tomogram_size=size, image_size=image)
    slow = [slow_matrix(row[:3], row[3:], pixel, size, image) for row in rows]
    np.testing.assert_allclose(found, slow, rtol=1e-12, atol=1e-8)


@given(tilts, pixels, sizes, st.tuples(sides, sides), st.booleans())
def test_angles_to_matrices_and_back(
    rows: list[tuple[float, ...]], pixel: float, size: tuple[int, ...], image: tuple[int, ...], has_image: bool
) -> None:
    known = {"pixel_size_angst": pixel, "tomogram_size": size, "image_size": image if has_image else None}
    alignment = aligned(*rows)
    found = geometry.alignment_of(geometry.projection_matrices(alignment, **known), **known)
    unlike = np.abs(columns(found) - columns(alignment))
    # -180 and 180 are one angle.
    assert np.minimum(unlike[:, :3], 360 - unlike[:, :3]).max() < 1e-6
    assert unlike[:, 3:].max() < 1e-6


@given(angles, angles, angles)
def test_rotations_keep_lengths_and_hands(first: float, second: float, third: float) -> None:
    for make in (geometry.tilt_rotations, geometry.euler_rotations):
        turn = make([first], [second], [third])[0]
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(turn) == pytest.approx(1.0)


vectors = st.tuples(shifts, shifts, shifts)


@given(st.lists(st.tuples(vectors, vectors, st.tuples(angles, angles, angles)), min_size=1, max_size=4), tilts, sizes)
def test_particles_project_as_in_the_slow_version(
    particles: list[tuple[tuple[float, ...], ...]], rows: list[tuple[float, ...]], size: tuple[int, ...]
) -> None:
    image, pixel = (1001, 1000), 1.7
    centred, origin, euler = (np.array(each) for each in zip(*particles, strict=True))
    matrices = geometry.projection_matrices(
        aligned(*rows), pixel_size_angst=pixel, tomogram_size=size, image_size=image
    )
    positions = geometry.particle_positions(
        pixel_size_angst=pixel,
        tomogram_size=size,
        centred_angst=centred,
        origin_angst=origin,
        subtomogram=geometry.euler_rotations(*euler.T),
    )
    found = geometry.project(matrices[:, np.newaxis], positions)
    depths = geometry.depths(matrices[:, np.newaxis], positions, size)
    for i, row in enumerate(rows):
        matrix = slow_matrix(row[:3], row[3:], pixel, size, image)
        middle = apply(matrix, [side / 2 for side in size])
        for j, particle in enumerate(particles):
            expected = apply(matrix, slow_position(*particle, pixel, size))
            assert found[i, j].tolist() == pytest.approx(expected, abs=1e-7)
            assert depths[i, j] == pytest.approx(expected[2] - middle[2], abs=1e-7)
