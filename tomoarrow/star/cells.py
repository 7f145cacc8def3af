"""Where the values of a table stand in a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.tokenize import SPAN_BITS, SPAN_MASK


@dataclass(frozen=True, slots=True)
class Cells:
    """Where the values of a table stand: segments of `rows[g]` rows from span `first[g]` on, `width` a row."""

    buffer: NDArray[np.uint8]
    spans: NDArray[np.int64]
    first: NDArray[np.int64]
    rows: NDArray[np.int64]
    width: int
    escapes: bool
    nulls: bool

    @property
    def n_rows(self) -> int:
        return int(self.rows.sum())

    def span_of(self, row: int, column: int) -> int:
        """The index of the span of one cell."""
        return int(self.spans_of(np.array([row]), column)[0])

    def spans_of(self, rows: NDArray[np.int64], column: int) -> NDArray[np.int64]:
        """The indices of the spans of cells of one column."""
        ends = np.cumsum(self.rows)
        g = np.searchsorted(ends, rows, side="right")
        return self.first[g] + (rows - ends[g] + self.rows[g]) * self.width + column

    def text(self, row: int, column: int) -> str:
        """The text of one cell."""
        span = int(self.spans[self.span_of(row, column)])
        start = span >> SPAN_BITS
        return self.buffer[start : start + (span & SPAN_MASK)].tobytes().decode("utf-8", "replace")

    def spans_along(self, column: int) -> NDArray[np.int64]:
        """The spans of a column, one a row."""
        parts = [
            self.spans[first + column : first + rows * self.width : self.width]
            for first, rows in zip(self.first.tolist(), self.rows.tolist(), strict=True)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def arguments(self, column: int) -> tuple[Any, ...]:
        """What kernels that read one column take first."""
        return self.buffer, self.spans, self.first, self.rows, self.width, column
