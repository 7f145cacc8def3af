"""The text of RELION's tables (``src/metadata_table.cpp``: MetaDataTable::write)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from ..kernels.format import LONGEST, RELION, format_floats

#: How many characters a number takes.
_WIDTH = 12

#: What ends a block.
END = " \n"


def loop_front(name: str, labels: Sequence[str]) -> str:
    """What stands before the rows of a block with one loop."""
    header = "".join(f"_{label} #{number} \n" for number, label in enumerate(labels, 1))
    return f"{_block_front(name)}loop_ \n{header}"


def loop_rows(rows: Iterable[Iterable[str]]) -> str:
    """Rows: each value right-aligned to 10 characters, with one blank behind it."""
    return "".join("".join(f"{value:>10} " for value in row) + "\n" for row in rows)


def loop_block(name: str, labels: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A block with one loop."""
    return loop_front(name, labels) + loop_rows(rows) + END


def list_block(name: str, pairs: Mapping[str, str]) -> str:
    """A block of labels and values, which begin in one column."""
    width = 12 + max(10, *map(len, pairs))
    return _block_front(name) + "".join(f"_{label:{width}}{value}\n" for label, value in pairs.items()) + END


def _block_front(name: str) -> str:
    return f"\n# version 50001\n\ndata_{name}\n\n"


def relion_ints(values: Iterable[int]) -> list[str]:
    """Integers as RELION writes them."""
    return [f"{value:{_WIDTH}d}" for value in values]


def double_columns(numbers: Mapping[str, NDArray[np.float64]]) -> dict[str, list[str]]:
    """Columns of doubles as RELION writes them."""
    texts = iter(relion_doubles(np.concatenate(list(numbers.values()))))
    return {label: list(islice(texts, len(values))) for label, values in numbers.items()}


def relion_doubles(values: NDArray[np.float64]) -> list[str]:
    """Doubles as RELION writes them (``src/metadata_container.cpp``)."""
    out, offsets = _format(values)
    text = out[: offsets[-1]].tobytes().decode("ascii")
    return [text[begin:end] for begin, end in pairwise(offsets.tolist())]


def rows_of_doubles(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The rows of a loop that has nothing but numbers.

    Parameters
    ----------
    values : float64[rows, columns]
        Finite, and none so large or small that its exponent has three digits: all are of the same width then.

    Returns
    -------
    uint8[rows, bytes of a row]
    """
    n_rows, n_columns = values.shape
    out, offsets = _format(values.ravel())
    assert offsets[-1] == _WIDTH * values.size
    text = np.full((n_rows, n_columns * (_WIDTH + 1) + 1), ord(" "), np.uint8)
    cells = text[:, :-1].reshape(n_rows, n_columns, _WIDTH + 1)
    cells[:, :, :_WIDTH] = out[: offsets[-1]].reshape(n_rows, n_columns, _WIDTH)
    text[:, -1] = ord("\n")
    return text


def _format(values: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    out = np.empty(32 * len(values) + LONGEST, np.uint8)
    offsets = np.zeros(len(values) + 1, np.int64)
    written = format_floats(values, RELION, 0, _WIDTH, out, offsets)
    assert written == len(values)
    return out, offsets
