"""What is known of a number's text without writing the number is what writing it gives."""

import random
import struct
from itertools import pairwise

import numpy as np
import pytest

from tomoarrow.kernels import compare
from tomoarrow.kernels.format import FIXED, LONGEST, RELION, SCIENTIFIC, format_floats
from tomoarrow.kernels.tokenize import SPAN_BITS


def known(texts: list[str], style: int, decimals: int) -> np.ndarray:
    """Whether each text is known to be that of its value."""
    lines = [f" {text}\n" for text in texts]
    quotes = np.array([text[0] in "\"'" for text in texts], np.int64)
    ends = np.cumsum([len(line) for line in lines])
    starts = ends - [len(line) - 1 for line in lines] + quotes
    lengths = np.array([len(text) for text in texts]) - 2 * quotes
    buffer = np.frombuffer(("\n" * 8 + "".join(lines) + "\n" * 64).encode(), np.uint8)
    found = np.empty(len(texts), np.int64)
    n = compare.doubtful(
        buffer,
        (starts + 8) << SPAN_BITS | lengths,
        np.zeros(1, np.int64),
        np.array([len(texts)]),
        1,
        np.zeros(1, np.int64),
        np.array([style]),
        np.array([decimals]),
        found,
    )
    answer = np.ones(len(texts), bool)
    answer[found[:n]] = False
    return answer


def written(values: list[float], style: int, decimals: int) -> list[str]:
    out = np.empty(LONGEST * (len(values) + 1), np.uint8)
    offsets = np.empty(len(values) + 1, np.int64)
    format_floats(np.array(values), style, decimals, 0, out, offsets)
    return [out[a:b].tobytes().decode() for a, b in pairwise(offsets.tolist())]


def values(n: int) -> list[float]:
    dice = random.Random(5)
    borders = [0.0, -0.0, 0.001, 1e5, 1e-4, 1e6, 99999.9999995, 0.0009999995, 1e-99, 1e99, 1e100, 5e-324]
    found = [sign * value * factor for value in borders for sign in (1, -1) for factor in (1, 1 - 1e-15, 1 + 1e-15)]
    while len(found) < n:
        wild = struct.unpack("<d", dice.randbytes(8))[0]
        found.append(dice.choice([dice.gauss(0, 1) * 10 ** dice.randrange(-9, 12), float(dice.randrange(-20, 20))]))
        found += [wild] if np.isfinite(wild) else []
    return found


STYLES = [(RELION, 0), (SCIENTIFIC, 0), (SCIENTIFIC, 6), (SCIENTIFIC, 14), *((FIXED, p) for p in (0, 1, 3, 6, 9, 14))]


@pytest.mark.parametrize(("style", "decimals"), STYLES)
def test_what_is_known_to_be_the_text_of_its_value_is(style: int, decimals: int) -> None:
    dice = random.Random(6)
    texts = [text for other in STYLES for text in written(values(3000), *other)]
    for text in list(texts):
        # Nearly so: a byte that is another, is missing, or is one too many.
        at = dice.randrange(len(text))
        texts += [text[:at] + dice.choice("0159.e-+ x")[: dice.randrange(2)] + text[at + dice.randrange(2) :]]
    texts = [text for text in texts if text and " " not in text]
    sure = [text for text, is_known in zip(texts, known(texts, style, decimals), strict=True) if is_known]
    assert written([float(text) for text in sure], style, decimals) == sure
    assert len(sure) > 1000


def test_numbers_in_quotes_are_not_known() -> None:
    for quote in "\"'":
        assert not known([f"{quote}1.500000{quote}", f"{quote}-1.50000{quote}"], RELION, 0).any()


@pytest.mark.parametrize(("style", "decimals"), [each for each in STYLES if each != (FIXED, 14)])
def test_nearly_all_texts_of_usual_values_are_known(style: int, decimals: int) -> None:
    dice = random.Random(7)
    usual = [dice.gauss(0, 100) for _ in range(10_000)]
    assert known(written(usual, style, decimals), style, decimals).mean() > 0.95
