"""Loops to Arrow tables; values that do not fit become errors or rejects, each with its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import Place, SchemaError, StarSyntaxError, TomoarrowError
from ..kernels.tokenize import SPAN_BITS
from .cells import Cells
from .columns import (
    Column,
    Label,
    LabelType,
    field_of,
    first_repeated,
    gather_evidence,
    read_column,
    read_columns,
)
from .document import Reject, Value
from .faults import Notice, merged
from .structure import Structure
from .threads import cores

OnBadValue = Literal["error", "null"]

#: Loops of more text than this are read in pieces, on threads. What is made of a piece stays in a core's cache, and
#: Arrow's string offsets are 32 bits wide.
_PIECE_TEXT = 4 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """How values are read.

    Attributes
    ----------
    labels : mapping
        What is known of labels, by name.
    evidence : mapping
        What columns hold in other tables that must get the same types, by label.
    on_bad_value : "error" or "null"
    is_settled : bool
        Whether a column of which there is no evidence has its label's type, or is text where that is not known,
        whatever its values are.
    """

    labels: Mapping[str, Label] = field(default_factory=dict)
    evidence: Mapping[str, int] = field(default_factory=dict)
    on_bad_value: OnBadValue = "error"
    is_settled: bool = False

    def type_of(self, label: str) -> LabelType | None:
        """The type of a label, None where it is not known."""
        known = self.labels.get(label)
        return known.type if known else None

    def evidence_of(self, label: str) -> int | None:
        """The evidence for the type of a column; None where that is in its own values."""
        return self.evidence.get(label, 0 if self.is_settled else None)


@dataclass(slots=True)
class Findings:
    """What reading came upon, gathered as it goes."""

    notices: list[Notice] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    errors: list[TomoarrowError] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Append what another reading came upon."""
        self.notices += other.notices
        self.rejects += other.rejects
        self.errors += other.errors


def loop_cells(structure: Structure, loops: Iterable[int]) -> Cells:
    """The cells of loops that have the same labels, one loop after the other."""
    numbers = np.fromiter(loops, np.int64)
    width = int(structure.loop_width[numbers[0]])
    return Cells(
        structure.text.buffer,
        structure.spans,
        structure.loop_cells[numbers],
        structure.loop_values[numbers] // width,
        width,
        structure.escapes,
        structure.dialect == "star",
    )


def read_cells(
    structure: Structure,
    cells: Cells,
    labels: Sequence[str],
    options: Options,
    chosen: frozenset[str] | None,
    found: Findings,
    container: int | None = None,
) -> pa.Table:
    """Read the columns of a table; what does not fit is added to `found`.

    `container` is the block or frame that the cells are in; None where they are in several blocks.
    """
    arrays, fields = [], []
    wanted = {index: label for index, label in enumerate(labels) if chosen is None or label in chosen}
    how = {index: (options.type_of(label), options.evidence_of(label)) for index, label in wanted.items()}
    for (index, label), column in zip(wanted.items(), read_columns(cells, how), strict=True):
        report_column(structure, cells, index, label, column, options, found, container)
        arrays.append(column.array)
        fields.append(field_of(label, column.array.type, options.labels.get(label)))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def add_evidence(evidence: dict[str, int], more: Mapping[str, int]) -> None:
    """Add what is known of columns, by label, to what was known: see `tomoarrow.star.columns.gather_evidence`."""
    for label, bits in more.items():
        evidence[label] = evidence.get(label, 0) | bits


def evidence_of(
    tables: Iterable[tuple[Sequence[str], Cells]], options: Options, chosen: frozenset[str] | None = None
) -> dict[str, int]:
    """What tables, with their labels, hold that the types of their columns depend on, by label in order of appearance.

    See `tomoarrow.star.columns.gather_evidence`. `chosen`: only these labels.
    """
    evidence: dict[str, int] = {}
    for labels, cells in tables:
        for index, label in enumerate(labels):
            if chosen is not None and label not in chosen:
                continue
            evidence[label] = evidence.get(label, 0) | gather_evidence(cells, index, options.type_of(label))
    return evidence


def check_loop(structure: Structure, loop: int, labels: Sequence[str], found: Findings) -> bool:
    """Whether the labels of a loop are distinct and its values fill whole rows; else an error is added.

    No error is added for labels that a piece repeats in front of its rows: the piece that holds them has reported it.
    """
    repeated = first_repeated(labels)
    if repeated is not None:
        index = len(labels) - 1 - list(reversed(labels)).index(repeated)
        span = int(structure.loop_tags[loop]) + index
        if structure.start(span) >= structure.text.rows_at:
            place = structure.place_of_label(span, int(structure.loop_container[loop]))
            found.errors.append(
                StarSyntaxError("the label stands twice in one loop", place=place, remedy="rename or remove one column")
            )
        return False
    width, values = int(structure.loop_width[loop]), int(structure.loop_values[loop])
    if values % width:
        last = int(structure.loop_cells[loop]) + values - 1
        found.errors.append(
            StarSyntaxError(
                f"a loop of {width} labels ends with {values % width} values behind its last whole row",
                place=structure.text.place(structure.start(last), structure.name(int(structure.loop_container[loop]))),
                expected=f"a multiple of {width} values",
                remedy="add or remove values; a value with blanks needs quotes",
            )
        )
        return False
    return True


def check_pairs(structure: Structure, begin: int, found: Findings) -> None:
    """Add an error for each pair, from a position on, whose label stands in its block before."""
    seen: set[tuple[int, str]] = set()
    for container, tag in zip(structure.pair_container.tolist(), structure.pair_tag.tolist(), strict=True):
        if structure.start(tag) >= begin:
            key = container, structure.string(tag)
            if key in seen:
                found.errors.append(label_twice(structure.place_of_label(tag, container)))
            seen.add(key)


def read_pairs(
    structure: Structure, container: int, tags: Iterable[int], options: Options, found: Findings
) -> dict[str, Value]:
    """Read the pairs of a block or frame, given the spans of their labels; what does not fit is added to `found`."""
    pairs: dict[str, Value] = {}
    for tag in tags:
        label = structure.string(tag)
        if label in pairs:
            found.errors.append(label_twice(structure.place_of_label(tag, container)))
            continue
        cells = Cells(
            structure.text.buffer,
            structure.spans,
            np.array([tag + 1]),
            np.ones(1, np.int64),
            1,
            structure.escapes,
            structure.dialect == "star",
        )
        column = read_column(cells, 0, options.type_of(label))
        report_column(structure, cells, 0, label, column, options, found, container, is_pair=True)
        pairs[label] = column.array[0].as_py()
    return pairs


def label_twice(place: Place) -> StarSyntaxError:
    """The error for a pair whose label is in its block already."""
    return StarSyntaxError("the label stands twice in one block", place=place, remedy="remove one of the two")


def read_loop(
    structure: Structure, loop: int, options: Options, chosen: frozenset[str] | None, found: Findings
) -> pa.Table:
    """Read one loop, in pieces where its text is long."""
    labels = structure.labels(loop)
    container = int(structure.loop_container[loop])
    pieces = _pieces(loop_cells(structure, [loop]))
    if len(pieces) > 1:
        options = replace(options, evidence=evidence_of(((labels, piece) for piece in pieces), options, chosen))
    if len(pieces) == 1:
        return read_cells(structure, pieces[0], labels, options, chosen, found, container)

    def read(piece: Cells) -> tuple[pa.Table, Findings]:
        own = Findings()
        return read_cells(structure, piece, labels, options, chosen, own, container), own

    tables: list[pa.Table] = []
    notices: list[Notice] = []
    rows = 0
    with ThreadPoolExecutor(cores()) as pool:
        for table, own in pool.map(read, pieces):
            notices += own.notices
            found.rejects += [replace(reject, row=reject.row + rows) for reject in own.rejects]
            found.errors += own.errors
            tables.append(table)
            rows += table.num_rows
    found.notices += merged(notices)
    return pa.concat_tables(tables).unify_dictionaries()


def _pieces(cells: Cells) -> list[Cells]:
    """A loop, cut into pieces of rows."""
    n_rows = cells.n_rows
    if n_rows == 0:
        return [cells]
    first, last = int(cells.first[0]), int(cells.first[0]) + n_rows * cells.width - 1
    extent = (int(cells.spans[last]) >> SPAN_BITS) - (int(cells.spans[first]) >> SPAN_BITS)
    n_pieces = extent // _PIECE_TEXT + 1
    bounds = np.linspace(0, n_rows, n_pieces + 1).astype(np.int64).tolist()
    return [
        replace(cells, first=np.array([first + begin * cells.width]), rows=np.array([end - begin]))
        for begin, end in pairwise(bounds)
    ]


#: Of a column of bad values so many are reported.
_MOST_REPORTED = 100


def few_of_each_label(errors: Sequence[TomoarrowError]) -> list[TomoarrowError]:
    """The errors of a file that are reported, in the order of their places: only so many of each label."""
    counts: Counter[str | None] = Counter()
    found = []
    for error in sorted(errors, key=lambda each: (each.place.line, each.place.column)):
        counts[error.place.label] += 1
        if counts[error.place.label] <= _MOST_REPORTED:
            found.append(error)
    return found


_COLUMN_NOTICES = {
    "widened": "numbers with fractions in a label of integers; read as float64",
    "not-finite": "nan or inf, which RELION would read as 0",
    "missing": "words for a missing value, read as null; RELION would read 0",
    "boolean-word": "True or False, of which RELION would read both as false",
    "exponent": "integers with an exponent, of which RELION would read the digits before it only",
}


def report_column(
    structure: Structure,
    cells: Cells,
    index: int,
    label: str,
    column: Column,
    options: Options,
    found: Findings,
    container: int | None = None,
    *,
    is_pair: bool = False,
) -> None:
    """Turn what one column came upon into notices, and into errors or rejects."""
    if not column.notices and not column.bad:
        return
    if structure.dialect == "relion":
        for code, rows in column.notices.items():
            found.notices += _notices(structure, code, cells.spans_of(rows, index), label, container)
    reported = column.bad if options.on_bad_value == "null" else column.bad[:_MOST_REPORTED]
    for bad in reported:
        span = cells.span_of(bad.row, index)
        place = structure.place(span, _container_of(structure, span) if container is None else container, label)
        text = structure.string(span)
        if options.on_bad_value == "null":
            found.rejects.append(Reject(place, label, text, bad.reason, -1 if is_pair else bad.row))
            continue
        found.errors.append(
            SchemaError(
                f"{text!r} is {bad.reason}",
                place=place,
                expected=options.type_of(label) or "",
                remedy='correct the value, or read it as null with on_bad_value="null"',
            )
        )


def _notices(
    structure: Structure, code: str, spans: NDArray[np.int64], label: str, container: int | None
) -> list[Notice]:
    """One notice for each file that the cells are in, with the place of its first."""
    starts = structure.spans[spans] >> SPAN_BITS
    files = np.searchsorted(structure.text.begins, starts, side="right")
    _, firsts, counts = np.unique(files, return_index=True, return_counts=True)
    places = [
        structure.place(span, _container_of(structure, span) if container is None else container, label)
        for span in spans[firsts].tolist()
    ]
    return [
        Notice(code, _COLUMN_NOTICES[code], place, count) for place, count in zip(places, counts.tolist(), strict=True)
    ]


def _container_of(structure: Structure, span: int) -> int | None:
    """The block that a span is in."""
    roots = np.flatnonzero(structure.parent < 0)
    found = int(np.searchsorted(structure.heading[roots], span, side="right")) - 1
    return int(roots[found]) if found >= 0 else None
