"""Bent images: what each kind of deformation is, from its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tomoarrow as ta
from tomoarrow.relion.deformation import DeformationKind, coefficient_count, deformed

SIZE = (400, 300)

COUNTS: list[tuple[DeformationKind, tuple[int, int], int]] = [
    ("linear", (1, 1), 3),
    ("linear", (0, 0), 3),
    ("spline", (2, 2), 32),
    ("spline", (4, 3), 96),
    # Of 3 x 4 frequencies: those of column 0 but for y = 1, which are the constant and mirrors, are left out.
    ("Fourier", (4, 4), 4 * 9),
    ("Fourier", (2, 2), 4 * 2),
]


@pytest.mark.parametrize(("kind", "grid", "expected"), COUNTS)
def test_how_many_coefficients(kind: DeformationKind, grid: tuple[int, int], expected: int) -> None:
    assert coefficient_count(kind, grid) == expected


@pytest.mark.parametrize(("kind", "grid"), [("spline", (1, 4)), ("spline", (4, 1)), ("Fourier", (0, 2))])
def test_grids_that_cannot_be(kind: DeformationKind, grid: tuple[int, int]) -> None:
    with pytest.raises(ta.SchemaError, match="grid"):
        coefficient_count(kind, grid)


def shift(kind: DeformationKind, grid: tuple[int, int], coefficients: list[float], x: float, y: float) -> list[float]:
    """The shift of one point, by the second of two tilts."""
    both = np.array([[9e9] * len(coefficients), coefficients])
    moved = deformed(np.array([[x], [y]]), np.array([1]), both, kind=kind, grid=grid, image_size=SIZE)
    return [float(moved[0, 0]) - x, float(moved[1, 0]) - y]


@pytest.mark.parametrize(("point", "expected"), [((200, 150), (0, 0)), ((300, 150), (1, 2)), ((200, 50), (0, -3))])
def test_linear(point: tuple[float, float], expected: tuple[float, float]) -> None:
    """Of the distance from the centre: 1 % of x; 2 % of x and 3 % of y."""
    assert shift("linear", (1, 1), [0.01, 0.02, 0.03], *point) == pytest.approx(expected)


def bicubic(x: float, y: float, c: list[float]) -> tuple[float, float, float, float]:
    """A polynomial of degree 3 in x and in y: its value, slopes, and twist."""
    terms = [(i, j, c[4 * i + j]) for i in range(4) for j in range(4)]
    return (
        sum(a * x**i * y**j for i, j, a in terms),
        sum(a * i * x ** (i - 1) * y**j for i, j, a in terms if i),
        sum(a * j * x**i * y ** (j - 1) for i, j, a in terms if j),
        sum(a * i * j * x ** (i - 1) * y ** (j - 1) for i, j, a in terms if i and j),
    )


factors = st.lists(st.floats(-2, 2), min_size=16, max_size=16)


@given(factors, factors, st.floats(0, 1), st.floats(0, 1))
def test_a_spline_is_any_bicubic_polynomial(along_x: list[float], along_y: list[float], u: float, v: float) -> None:
    """Nodes hold value, slopes a cell, and twist; RELION keeps X of all nodes first, row after row."""
    grid = (4, 3)
    nodes = [bicubic(x, y, each) for each in (along_x, along_y) for y in range(grid[1]) for x in range(grid[0])]
    found = shift("spline", grid, [value for node in nodes for value in node], u * SIZE[0], v * SIZE[1])
    expected = [bicubic(u * 3, v * 2, each)[0] for each in (along_x, along_y)]
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("outside", "edge"), [((-50, 100), (0, 100)), ((450, 100), (400, 100)), ((10, 999), (10, 300))]
)
def test_outside_of_its_grid_a_spline_goes_on_as_at_the_edge(
    outside: tuple[float, float], edge: tuple[float, float]
) -> None:
    coefficients = np.random.default_rng(1).normal(size=8 * 3 * 3).tolist()
    assert shift("spline", (3, 3), coefficients, *outside) == pytest.approx(
        shift("spline", (3, 3), coefficients, *edge)
    )


def slow_fourier(grid: tuple[int, int], coefficients: list[float], x: float, y: float) -> list[float]:
    """Frequencies as RELION numbers them: upper half of the rows with column 0 but for the constant, lower without."""
    waves = []
    for row in range(grid[1]):
        is_upper = row < grid[1] // 2
        first = 0 if is_upper and row > 0 else 1
        for column in range(first, grid[0] // 2 + 1):
            waves.append((column * math.pi / SIZE[0], (row if is_upper else row - grid[1]) * math.pi / SIZE[1]))
    found = []
    for axis in (0, 1):
        own = coefficients[axis * 2 * len(waves) : (axis + 1) * 2 * len(waves)]
        phases = [fx * x + fy * y for fx, fy in waves]
        found.append(sum(own[2 * i] * math.cos(t) + own[2 * i + 1] * math.sin(t) for i, t in enumerate(phases)))
    return found


@given(st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(0, 99), st.floats(-100, 500), st.floats(-100, 500))
def test_fourier(grid: tuple[int, int], seed: int, x: float, y: float) -> None:
    coefficients = np.random.default_rng(seed).normal(size=coefficient_count("Fourier", grid)).tolist()
    assert shift("Fourier", grid, coefficients, x, y) == pytest.approx(slow_fourier(grid, coefficients, x, y), abs=1e-9)
