"""STAR text to documents of Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import SchemaError, StarSyntaxError, TomoarrowError, UsageError, raise_gathered
from .columns import Cells, Column, Label, LabelType, check_labels, field_of, read_column
from .document import Block, Document, Reject, Value
from .faults import Notice
from .source import Source, Text, read_text
from .structure import Dialect, Structure, analyse

OnBadValue = Literal["error", "null"]

#: Loops of more text than this are read in pieces: Arrow's string offsets are 32 bits wide.
_MOST_TEXT = 1 << 30


@dataclass(frozen=True, slots=True)
class Options:
    """How values are read.

    Attributes
    ----------
    labels : mapping
        What is known of labels, by name.
    types : mapping
        Types that go before those of `labels`.
    on_bad_value : "error" or "null"
    """

    labels: Mapping[str, Label] = field(default_factory=dict)
    types: Mapping[str, LabelType] = field(default_factory=dict)
    on_bad_value: OnBadValue = "error"

    def type_of(self, label: str) -> LabelType | None:
        known = self.labels.get(label)
        return self.types.get(label, known.type if known else None)


@dataclass(slots=True)
class Findings:
    """What reading came upon, gathered as it goes."""

    notices: list[Notice] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    errors: list[TomoarrowError] = field(default_factory=list)


def read_star(
    source: Source,
    *,
    dialect: Dialect = "relion",
    blocks: str | int | Sequence[str | int] | None = None,
    columns: Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] | None = None,
) -> Document:
    """Read a STAR file.

    Parameters
    ----------
    source
        A path, bytes, or an open binary file; gzip and zstd are unpacked.
    dialect : "relion" or "star"
        RELION's, one row a line; or the general language of Hall and CIF 1.1.
    blocks : name, position, or a sequence of these, optional
        Only these blocks; the values of the others are not read.
    columns : sequence of str, optional
        Only these labels of loops; the values of the others are not read.
    strict : bool
        Refuse what RELION's own reader would read as something else, instead of warning.
    on_bad_value : "error" or "null"
        A value that does not fit its label's type is an error, or null and listed in ``rejects``.
    labels : mapping, optional
        What is known of labels.

    Raises
    ------
    MissingFileError
        The file cannot be read.
    StarSyntaxError
        The text is malformed.
    SchemaError
        A value does not fit its label's type, a label repeats, or a block or column is not there.
    """
    if dialect not in get_args(Dialect):
        raise UsageError(f"no dialect {dialect!r}", expected=" or ".join(map(repr, get_args(Dialect))))
    if on_bad_value not in get_args(OnBadValue):
        raise UsageError(f"no on_bad_value {on_bad_value!r}", expected=" or ".join(map(repr, get_args(OnBadValue))))
    text = read_text(source)
    structure = analyse(text, dialect)
    for fault in structure.faults:
        raise fault
    options = Options(labels or {}, {}, on_bad_value)
    found = Findings(list(structure.notices))
    wanted = _choose_blocks(structure, blocks)
    chosen = None if columns is None else frozenset(columns)
    document = [_read_block(structure, container, options, chosen, found) for container in wanted]
    raise_gathered(found.errors, "{n} values or labels do not fit:")
    if chosen is not None:
        _check_columns(document, chosen, text)
    found.notices += _repeated_names(structure)
    if strict:
        raise_gathered([_as_error(notice) for notice in found.notices], "{n} warnings, refused by strict=True:")
    return Document(tuple(document), tuple(found.notices), tuple(found.rejects))


def read_table(
    source: Source,
    block: str | int | None = None,
    *,
    dialect: Dialect = "relion",
    columns: Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] | None = None,
) -> pa.Table:
    """Read one table: the one loop of the file, or of the block that is named.

    Parameters and errors are those of `read_star`; besides, a `SchemaError` says which blocks there are where
    the file has several loops, or none.
    """
    if block is None:
        text = read_text(source)
        structure = analyse(text, dialect)
        for fault in structure.faults:
            raise fault
        with_loops = sorted(set(structure.loop_container.tolist()))
        if len(with_loops) != 1:
            names = ", ".join(f"'data_{structure.name(c)}'" for c in with_loops) or "none"
            raise SchemaError(
                f"{text.names[0]} has {len(with_loops)} blocks with a loop, not one",
                expected="a file with one table, or the name of a block",
                remedy=f"name one of the blocks with a loop: {names}",
            )
        block = (
            int(np.flatnonzero(_roots(structure) == with_loops[0])[0]) if with_loops[0] in _roots(structure) else None
        )
        if block is None:
            raise SchemaError("the one loop is in a save frame", remedy="use read_star and .frames")
        source = text.buffer[int(text.begins[0]) : int(text.ends[0])].tobytes()
    document = read_star(
        source,
        dialect=dialect,
        blocks=block,
        columns=columns,
        strict=strict,
        on_bad_value=on_bad_value,
        labels=labels,
    )
    table = document[0].table
    if table is None:
        raise SchemaError(f"block 'data_{document[0].name}' has no loop", remedy="read its pairs with read_star")
    return table


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
) -> pa.Table:
    """Read the columns of a table; what does not fit is added to `found`."""
    arrays, fields = [], []
    for index, label in enumerate(labels):
        if chosen is not None and label not in chosen:
            continue
        column = read_column(cells, index, options.type_of(label))
        _report(structure, cells, index, label, column, options, found)
        arrays.append(column.array)
        fields.append(field_of(label, column, options.labels.get(label)))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _choose_blocks(structure: Structure, blocks: str | int | Sequence[str | int] | None) -> list[int]:
    """The numbers of the containers of the blocks asked for, in the order asked for."""
    roots = _roots(structure)
    if blocks is None:
        return [int(root) for root in roots]
    wanted = [blocks] if isinstance(blocks, str | int) else list(blocks)
    names = [structure.name(root) for root in roots.tolist()]
    chosen: list[int] = []
    outline = Document(tuple(Block(name) for name in names))
    for key in wanted:
        if isinstance(key, int):
            if not -len(names) <= key < len(names):
                raise SchemaError(f"no block at position {key}", expected=f"{len(names)} blocks")
            chosen.append(int(roots[key]))
        else:
            chosen.append(int(roots[outline.blocks.index(outline[key])]))
    return chosen


def _roots(structure: Structure) -> NDArray[np.int64]:
    return np.flatnonzero(structure.parent < 0)


def _read_block(
    structure: Structure, container: int, options: Options, chosen: frozenset[str] | None, found: Findings
) -> Block:
    name = structure.name(container)
    loops = []
    for loop in np.flatnonzero(structure.loop_container == container).tolist():
        labels = structure.labels(loop)
        if not check_loop(structure, loop, labels, found):
            continue
        loops.append(_read_loop(structure, loop, labels, options, chosen, found))
    frames = np.flatnonzero(structure.parent == container).tolist()
    return Block(
        name,
        _read_pairs(structure, container, options, found),
        tuple(loops),
        tuple(_read_block(structure, frame, options, chosen, found) for frame in frames),
    )


def check_loop(structure: Structure, loop: int, labels: Sequence[str], found: Findings) -> bool:
    """Whether the labels of a loop are distinct and its values fill whole rows; else an error is added."""
    name = structure.name(int(structure.loop_container[loop]))
    repeated = check_labels(labels)
    if repeated is not None:
        index = len(labels) - 1 - list(reversed(labels)).index(repeated)
        place = structure.place_of_label(int(structure.loop_tags[loop]) + index, int(structure.loop_container[loop]))
        found.errors.append(
            StarSyntaxError("the label stands twice in one loop", place=place, remedy="rename or remove one column")
        )
        return False
    width, values = int(structure.loop_width[loop]), int(structure.loop_values[loop])
    if values % width:
        last = int(structure.loop_cells[loop]) + values - 1
        found.errors.append(
            StarSyntaxError(
                f"a loop of {width} labels has {values} values, {values % width} beyond its last whole row",
                place=structure.text.place(structure.start(last), name),
                expected=f"a multiple of {width} values",
                remedy="add or remove values; a value with blanks needs quotes",
            )
        )
        return False
    return True


def _read_loop(
    structure: Structure,
    loop: int,
    labels: Sequence[str],
    options: Options,
    chosen: frozenset[str] | None,
    found: Findings,
) -> pa.Table:
    cells = loop_cells(structure, [loop])
    pieces = _pieces(cells)
    tables = [read_cells(structure, piece, labels, options, chosen, found) for piece in pieces]
    if len(tables) == 1:
        return tables[0]
    types = {name: _widest([table.schema.field(name).type for table in tables]) for name in tables[0].column_names}
    if any(table.schema.field(name).type != type_ for table in tables for name, type_ in types.items()):
        pinned = Options(options.labels, {**options.types, **types}, options.on_bad_value)
        tables = [read_cells(structure, piece, labels, pinned, chosen, Findings()) for piece in pieces]
    return pa.concat_tables(tables).unify_dictionaries()


def _pieces(cells: Cells) -> list[Cells]:
    """A loop, cut into pieces of rows whose text Arrow's string offsets can count."""
    n_rows = cells.n_rows
    if n_rows == 0:
        return [cells]
    first, last = int(cells.first[0]), int(cells.first[0]) + n_rows * cells.width - 1
    extent = (int(cells.spans[last]) >> 24) - (int(cells.spans[first]) >> 24)
    n_pieces = extent // _MOST_TEXT + 1
    bounds = np.linspace(0, n_rows, n_pieces + 1).astype(np.int64).tolist()
    return [
        Cells(
            cells.buffer,
            cells.spans,
            np.array([first + begin * cells.width]),
            np.array([end - begin]),
            cells.width,
            cells.escapes,
            cells.nulls,
        )
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True)
    ]


#: What values of two types become when they meet in one column.
_LADDER: tuple[LabelType, ...] = ("int64", "float64", "string")


def _widest(types: Sequence[pa.DataType]) -> LabelType:
    names = {str(type_) for type_ in types}
    if any(pa.types.is_dictionary(type_) for type_ in types):
        return "name"
    if any(pa.types.is_list(type_) for type_ in types):
        return "list<float64>" if any(type_.value_type == pa.float64() for type_ in types) else "list<int64>"
    return {"int64": "int64", "double": "float64", "string": "string", "bool": "bool"}[  # type: ignore[return-value]
        max(names, key=lambda name: ("bool", "int64", "double", "string").index(name))
    ]


def _read_pairs(structure: Structure, container: int, options: Options, found: Findings) -> dict[str, Value]:
    pairs: dict[str, Value] = {}
    for tag in structure.pair_tag[structure.pair_container == container].tolist():
        label = structure.string(tag)
        if label in pairs:
            place = structure.place_of_label(tag, container)
            found.errors.append(
                StarSyntaxError("the label stands twice in one block", place=place, remedy="remove one of the two")
            )
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
        _report(structure, cells, 0, label, column, options, found, is_pair=True)
        pairs[label] = column.array[0].as_py()
    return pairs


_COLUMN_NOTICES = {
    "widened": "numbers that are no integers in an integer label; read as float64",
    "not-finite": "nan or inf, which RELION would read as 0",
    "missing": "words for a missing value, read as null; RELION would read 0",
    "boolean-word": "True or False, of which RELION would read both as false",
}


def _report(
    structure: Structure,
    cells: Cells,
    index: int,
    label: str,
    column: Column,
    options: Options,
    found: Findings,
    *,
    is_pair: bool = False,
) -> None:
    """Turn what one column came upon into notices, and into errors or rejects."""
    if not column.notices and not column.bad:
        return
    container = _container_of(structure, cells.span_of(0, index))
    if structure.dialect == "relion":
        for code, count in column.notices.items():
            place = structure.place(cells.span_of(0, index), container, label)
            found.notices.append(Notice(code, _COLUMN_NOTICES[code], place, count))
    for bad in column.bad:
        span = cells.span_of(bad.row, index)
        place = structure.place(span, _container_of(structure, span), label)
        text = structure.string(span)
        if options.on_bad_value == "null":
            found.rejects.append(Reject(place, label, text, bad.reason, -1 if is_pair else bad.row))
            continue
        found.errors.append(
            SchemaError(
                f"{text!r} is {bad.reason}" if "not" in bad.reason else f"{text!r}: {bad.reason}",
                place=place,
                expected=f"{options.type_of(label)}",
                remedy='correct the value, or read it as null with on_bad_value="null"',
            )
        )


def _container_of(structure: Structure, span: int) -> int | None:
    found = int(np.searchsorted(structure.heading, span, side="right")) - 1
    return found if found >= 0 else None


def _check_columns(document: Sequence[Block], chosen: frozenset[str], text: Text) -> None:
    there = {name for block in document for loop in block.loops for name in loop.column_names}
    missing = sorted(chosen - there)
    if missing:
        raise SchemaError(
            f"{text.names[0]}: no column {', '.join(missing)} in the blocks that were read",
            remedy="read without columns= to see which there are",
        )


def _repeated_names(structure: Structure) -> list[Notice]:
    notices, seen = [], set()
    for root in _roots(structure).tolist():
        name = structure.name(root)
        if name in seen:
            message = f"a second block 'data_{name}', which RELION does not find by name"
            notices.append(Notice("repeated-block", message, structure.place_of_heading(root)))
        seen.add(name)
    return notices


def _as_error(notice: Notice) -> StarSyntaxError:
    return StarSyntaxError(
        f"{notice.message} [{notice.code}]", place=notice.place, remedy="mend the file, or read it without strict"
    )
