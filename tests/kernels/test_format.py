"""Numbers are written exactly: what Python, and C's printf behind it, make of the same value."""

import csv
import math
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tomoarrow.example import relion_doubles
from tomoarrow.kernels import format as k


def written(values: list[float], style: int, precision: int = 0, width: int = 0) -> list[str]:
    """What the kernel writes."""
    offsets = np.zeros(len(values) + 1, np.int64)
    out = np.empty((k.LONGEST + width) * (len(values) + 1), np.uint8)
    assert k.format_floats(np.array(values, np.float64), style, precision, width, out, offsets) == len(values)
    text = out[: offsets[-1]].tobytes().decode()
    return [text[begin:end] for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


def random_doubles(n: int, seed: int) -> list[float]:
    """Doubles of any exponent, of the size of metadata, with few digits, and half-way between two decimals."""
    dice = random.Random(seed)
    makers: list[Callable[[], float]] = [
        lambda: struct.unpack("<d", dice.randbytes(8))[0],
        lambda: dice.gauss(0, 1) * 10 ** dice.randrange(-8, 9),
        lambda: round(dice.gauss(0, 1) * 10 ** dice.randrange(5), 3),
        lambda: dice.randrange(-(10**6), 10**6) / 2 ** dice.randrange(40),
        lambda: dice.randrange(10**17) * 10.0 ** dice.randrange(-40, 40),
    ]
    doubles = (dice.choice(makers)() for _ in range(2 * n))
    return [value for value in doubles if math.isfinite(value)][:n]


SPECIAL = [
    0.0, -0.0, 0.5, 1.5, 2.5, 0.125, 0.375, 1e-3, 1e5, 9.9999995e-4, 99999.9999999, 1e22, 1e23, 5e-324, -5e-324,
    2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308, 9007199254740993.0, 123456789012345678.0,
    *(10.0**p for p in range(-307, 309)), *(2.0**p for p in range(-1074, 1024, 7)), *(5.0**p for p in range(60)),
    0.3, 2 / 3, 9.5, 99.5, 999999.5, 0.9999995, 9.9999995, 1e16, 1e15, 123e-7, 4.35, 0.000001, 999999999999999.9,
]  # fmt: skip

STYLES: list[tuple[str, int, int, int, Callable[[float], str]]] = [
    ("repr", k.SHORTEST, 0, 0, repr),
    *((f"%.{p}e", k.SCIENTIFIC, p, 0, f"%.{p}e".__mod__) for p in (0, 1, 5, 6, 17)),
    *((f"%.{p}g", k.GENERAL, p, 0, f"%.{p}g".__mod__) for p in (1, 6, 12, 17)),
    *((f"%.{p}f", k.FIXED, p, 0, f"%.{p}f".__mod__) for p in (0, 1, 5, 6, 19)),
    ("%12.6f", k.FIXED, 6, 12, "%12.6f".__mod__),
    ("%12.5e", k.SCIENTIFIC, 5, 12, "%12.5e".__mod__),
    ("%30.12g", k.GENERAL, 12, 30, "%30.12g".__mod__),
]


@pytest.mark.parametrize(("style", "precision", "width", "python"), [s[1:] for s in STYLES], ids=[s[0] for s in STYLES])
def test_doubles_are_written_as_python_writes_them(
    style: int, precision: int, width: int, python: Callable[[float], str]
) -> None:
    values = SPECIAL + random_doubles(20_000, seed=11)
    assert written(values, style, precision, width) == [python(value) for value in values]


@pytest.mark.slow
@pytest.mark.parametrize(("style", "precision", "width", "python"), [s[1:] for s in STYLES], ids=[s[0] for s in STYLES])
def test_a_million_doubles_are_written_as_python_writes_them(
    style: int, precision: int, width: int, python: Callable[[float], str]
) -> None:
    for seed in range(10):
        values = random_doubles(100_000, seed)
        assert written(values, style, precision, width) == [python(value) for value in values]


@pytest.mark.parametrize("style", [k.FIXED, k.SCIENTIFIC, k.GENERAL, k.SHORTEST, k.RELION])
def test_what_is_not_finite(style: int) -> None:
    values = [math.nan, math.copysign(math.nan, -1), math.inf, -math.inf]
    assert written(values, style, 6, 12) == ["         nan", "        -nan", "         inf", "        -inf"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "    0.000000"),
        (-0.0, "   -0.000000"),
        (1.5, "    1.500000"),
        (-1.5, "    -1.50000"),
        (0.001, "    0.001000"),
        (9.999e-4, "9.999000e-04"),
        (-1e-4, "-1.00000e-04"),
        (100000.0, "100000.00000"),
        (-100000.0, "-100000.0000"),
        (100000.5, "1.000005e+05"),
        (-123456.789, "-1.23457e+05"),
    ],
)
def test_relions_own_style(value: float, text: str) -> None:
    assert relion_doubles(np.array([value])) == [text]


def test_relions_own_output(shared: Path) -> None:
    with (shared / "reference" / "golden" / "golden_double_format.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2030
    texts = relion_doubles(np.array([float(row["value"]) for row in rows]))
    # RELION cuts at 12 characters. Only exponents of three digits are longer: cut, they would be other numbers.
    assert [text[:12] for text in texts] == [row["text"] for row in rows]
    longer = [text for text in texts if len(text) > 12]
    assert longer
    assert all(text[-4] in "+-" and text[-5] == "e" for text in longer)


def test_integers() -> None:
    dice = random.Random(3)
    values = [0, 1, -1, 9, 10, -10, 2**63 - 1, -(2**63), *(10**p for p in range(19)), *(-(10**p) for p in range(19))]
    values += [dice.randrange(-(2**63), 2**63) >> dice.randrange(60) for _ in range(20_000)]
    out, offsets = np.empty(32 * len(values) + k.LONGEST, np.uint8), np.zeros(len(values) + 1, np.int64)
    assert k.format_ints(np.array(values), 12, out, offsets) == len(values)
    assert out[: offsets[-1]].tobytes().decode() == "".join(f"{value:12d}" for value in values)


def test_a_buffer_that_is_too_small_is_filled_as_far_as_it_goes() -> None:
    values = np.arange(100.0)
    out, offsets = np.empty(k.LONGEST + 50, np.uint8), np.zeros(101, np.int64)
    n = k.format_floats(values, k.FIXED, 2, 10, out, offsets)
    assert n == 5
    assert out[: offsets[n]].tobytes() == b"".join(b"%10.2f" % value for value in values[:n])
