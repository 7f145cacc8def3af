"""One table of a STAR file: whole, or as a stream of record batches."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import get_args

import pyarrow as pa

from ..errors import BlockNotFoundError, StarSyntaxError, UsageError, check_choice, raise_gathered
from .batches import count_blocks, read_batches, read_evidence
from .columns import Label
from .faults import merged, refuse
from .request import Request
from .source import Held, Source, hold, reads_again
from .structure import Dialect
from .tables import Findings, OnBadValue, Options, few_of_each_label
from .threads import threads_for


def read_table(
    source: Source,
    block: str | int | None = None,
    *,
    dialect: Dialect = "relion",
    columns: str | Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] | None = None,
    threads: int | None = None,
) -> pa.Table:
    """Read one table: the only loop of the file, the loop of one block, or the loops of many blocks, stacked.

    Parameters
    ----------
    source
        A path, bytes, or an open binary file; gzip and zstd are unpacked.
    block : str or int, optional
        The name of the block, or its position. A name with ``*`` is a pattern: the tables of all blocks that match
        are stacked, with a first column ``block`` that names the block of each row. ``"*"`` matches every block.
    dialect : "relion" or "star"
        RELION's, with one row a line; or the general language of Hall and CIF 1.1.
    columns : str or sequence of str, optional
        Read only these labels, in this order, and no values of the others.
    strict : bool
        Raise an error where RELION's own reader would read something else.
    on_bad_value : "error" or "null"
        What becomes of a value that does not fit its label's type: an error, or null.
    labels : mapping, optional
        The labels that are known, with their types; the type of any other is inferred from its values.
    threads : int, optional
        How many threads read; by default one for each core that this process may use.

    Raises
    ------
    MissingFileError
        The file cannot be read.
    StarSyntaxError
        The text is malformed.
    SchemaError
        There is no such table, or more than one (the error lists the blocks), or a value does not fit its label's type.
    """
    again = source if reads_again(source) else hold(source)
    return table_of(new_request(again, block, dialect, columns, strict, on_bad_value, labels, threads))


def open_star(
    source: Source,
    block: str | int | None = None,
    *,
    dialect: Dialect = "relion",
    columns: str | Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] | None = None,
    threads: int | None = None,
) -> pa.RecordBatchReader:
    """Open one table as a stream of record batches: a file of any size in a few dozen megabytes of memory.

    Parameters are those of `read_table`. The schema is settled before the first batch. A label of integers therefore
    stays one: fractions are bad values here. A label that is not known gets the type that fits all of its values, for
    which the file is read through once before; from a source that can be read only once (a pipe), it is read as text.

    Raises
    ------
    TomoarrowError
        As `read_table`. What is wrong further on in the file is raised when that batch is read, or before, where the
        file is read through first.
    """
    request = new_request(source, block, dialect, columns, strict, on_bad_value, labels, threads)
    schema, tables = first_of(sound(settled(request)))
    return pa.RecordBatchReader.from_batches(schema, (_as_batch(table) for table in tables))


def new_request(
    source: Source | Held,
    block: str | int | None,
    dialect: Dialect,
    columns: str | Sequence[str] | None,
    strict: bool,
    on_bad_value: OnBadValue,
    labels: Mapping[str, Label] | None,
    threads: int | None,
) -> Request:
    """What the public functions are asked for, checked; parameters are those of `read_table`."""
    check_choice("dialect", dialect, get_args(Dialect))
    check_choice("on_bad_value", on_bad_value, get_args(OnBadValue))
    chosen = (columns,) if isinstance(columns, str) else None if columns is None else tuple(columns)
    options = Options(labels or {}, {}, on_bad_value)
    request = Request(source, block, dialect, chosen, strict, options, threads_for(threads))
    return request if not isinstance(block, int) or block >= 0 else replace(request, block=_from_end(request, block))


def _from_end(request: Request, block: int) -> int:
    """The position of a block that is counted from the end."""
    if not reads_again(request.source):
        raise UsageError("a source that can be read only once has no end to count from", remedy="name the block")
    n_blocks = count_blocks(request)
    if n_blocks + block < 0:
        raise BlockNotFoundError(f"no block at position {block}", expected=f"{n_blocks} blocks")
    return n_blocks + block


def table_of(request: Request) -> pa.Table:
    """Read a table whole; where its pieces ask for different types, again with those that fit them all."""
    found = Findings()
    tables = list(read_batches(request, found))
    differing = _differing(tables)
    if differing:
        evidence = read_evidence(replace(request, columns=tuple(differing)))
        options = replace(request.options, evidence=evidence)
        tables = list(read_batches(replace(request, options=options), found := Findings()))
    malformed = [error for error in found.errors if isinstance(error, StarSyntaxError)]
    raise_gathered(few_of_each_label(malformed or found.errors), "{n} values or labels do not fit:")
    if request.strict:
        refuse(merged(found.notices))
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries()


def _differing(tables: Sequence[pa.Table]) -> list[str]:
    """The columns that have not the same type in all pieces."""
    schemas = {table.schema for table in tables}
    if len(schemas) < 2:
        return []
    names = tables[0].column_names
    return [name for name in names if len({schema.field(name).type for schema in schemas}) > 1]


def settled(request: Request) -> Request:
    """The request with the types of all columns settled before the first is read."""
    if not reads_again(request.source):
        return replace(request, options=replace(request.options, is_settled=True))
    schema, tables = first_of(sound(replace(request, options=replace(request.options, is_settled=True))))
    tables.close()
    unknown = [name for name in schema.names if request.options.type_of(name) is None]
    if request.stacks:
        unknown = unknown[1:]
    evidence = read_evidence(replace(request, columns=tuple(unknown))) if unknown else {}
    return replace(request, options=replace(request.options, evidence=evidence, is_settled=True))


def sound(request: Request) -> Generator[pa.Table, None, None]:
    """The pieces of a table, up to the first value that does not fit, or notice that is refused."""
    found = Findings()
    with closing(read_batches(request, found)) as tables:
        for table in tables:
            _refuse_first(request, found)
            yield table
    _refuse_first(request, found)


def _refuse_first(request: Request, found: Findings) -> None:
    for error in few_of_each_label(found.errors):
        raise error
    if request.strict:
        refuse(merged(found.notices))


def first_of(tables: Generator[pa.Table, None, None]) -> tuple[pa.Schema, Generator[pa.Table, None, None]]:
    """The schema of the first of some tables, and all of them."""
    first = next(tables)

    def all_of_them() -> Generator[pa.Table, None, None]:
        with closing(tables):
            yield first
            yield from tables

    return first.schema, all_of_them()


def _as_batch(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], schema=table.schema)
