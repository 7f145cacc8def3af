"""RELION's geometry with lists of floats, one rotation after the other: slow, plain, and written on its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

Matrix = list[list[float]]


def turn_x(degrees: float) -> Matrix:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]


def turn_y(degrees: float) -> Matrix:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]]


def turn_z(degrees: float) -> Matrix:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def shift(x: float, y: float, z: float) -> Matrix:
    return [[1, 0, 0, x], [0, 1, 0, y], [0, 0, 1, z], [0, 0, 0, 1]]


def product(*matrices: Matrix) -> Matrix:
    result, *others = matrices
    for other in others:
        result = [[sum(row[k] * other[k][j] for k in range(4)) for j in range(4)] for row in result]
    return result


def apply(matrix: Matrix, point: Sequence[float]) -> list[float]:
    return [sum(row[k] * [*point, 1.0][k] for k in range(4)) for row in matrix[:3]]


def slow_matrix(
    angles: Sequence[float],
    shifts_angst: Sequence[float],
    pixel_angst: float,
    size: Sequence[int],
    image: Sequence[int],
) -> Matrix:
    x, y, z = angles
    return product(
        shift(shifts_angst[0] / pixel_angst, shifts_angst[1] / pixel_angst, 0),
        shift(image[0] // 2, image[1] // 2, 0),
        turn_z(z),
        turn_y(y),
        turn_x(x),
        shift(*(-(side // 2) for side in size)),
    )


def slow_position(
    centred_angst: Sequence[float], origin_angst: Sequence[float], euler: Sequence[float], p: float, size: Sequence[int]
) -> list[float]:
    """RELION's Euler matrix written out, as its definition has it."""
    (cf, sf), (ct, s), (cp, sp) = ((math.cos(math.radians(a)), math.sin(math.radians(a))) for a in euler)
    rows = [
        [cp * ct * cf - sp * sf, cp * ct * sf + sp * cf, -cp * s],
        [-sp * ct * cf - cp * sf, -sp * ct * sf + cp * cf, sp * s],
        [s * cf, s * sf, ct],
    ]
    return [
        centred_angst[i] / p + size[i] / 2 - sum(rows[i][k] * origin_angst[k] for k in range(3)) / p for i in range(3)
    ]
