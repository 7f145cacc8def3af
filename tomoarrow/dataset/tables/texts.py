"""``star/``: what is kept of the text of each STAR file, so that its bytes can be written again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...errors import DatasetError, Place
from ...star.style import FileStyle
from ...star.texts import FileText, departures_from_json, departures_json, style_from_json, style_json
from ..layout import seal
from ..versions.manifest import TableInfo, column_infos
from ..versions.snapshot import Snapshot

#: Texts of so many bytes wait to be written together.
_MOST_WAITING = 32 << 20

_SHARED = pa.dictionary(pa.int32(), pa.string())

_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), metadata={"description": "Path of the STAR file, as the project has it"}),
        pa.field("tomogram", pa.string(), metadata={"description": "The tomogram whose tilt series it holds"}),
        pa.field("tables", _SHARED, metadata={"description": "The tables of the dataset that its loops are"}),
        pa.field("style", _SHARED, metadata={"description": "How it is written, as JSON"}),
        pa.field("names", pa.string(), metadata={"description": "Tomograms of rows that depart, or blocks, as JSON"}),
        pa.field("departures", pa.string(), metadata={"description": "What departs from the style, as JSON"}),
        pa.field("raw", pa.string(), metadata={"description": "The text itself, where no style describes it"}),
        pa.field("rows", pa.string(), metadata={"description": "Rows of each table in this piece, or blocks, as JSON"}),
    ]
)


@dataclass(frozen=True, slots=True)
class KeptText:
    """The text of one file.

    Attributes
    ----------
    file : str
        Its path as the project has it.
    tomogram : str or None
        The tomogram whose tilt series it holds.
    tables : tuple of str
        The tables of the dataset that the loops of its style are.
    text : FileText
    names : tuple of str
        The tomograms of the rows of the global table, where anything departs from its style; of stacked blocks those
        that are written so, none for the usual style.
    rows : tuple of int or None
        Where the file is kept in pieces, the rows that each of the tables has in this one. A piece behind the first
        goes on with a loop, whose labels stand in front of it only here. Of stacked blocks the numbers of those in
        `names`; of a text between those, of which no block has rows, the number of the next.
    """

    file: str
    tomogram: str | None
    tables: tuple[str, ...]
    text: FileText
    names: tuple[str, ...] = ()
    rows: tuple[int, ...] | None = None


def write_texts(texts: Iterable[KeptText], staging: Path, more: Iterable[pa.Table] | None = None) -> TableInfo:
    """Write ``star/``; long texts go to the file as they come.

    `more`: rows that other runs have written, which follow the first text: that of the global file.
    """
    path = staging / "star" / "part-00000.parquet"
    path.parent.mkdir()
    schema, n_rows = _SCHEMA, 0
    with ExitStack() as stack:
        writer = None
        for table, is_last in _tables(texts, more):
            if writer is None:
                if is_last:
                    # Where nothing departs, not even the columns for it are there.
                    used = [name for name in table.column_names if table.column(name).null_count < table.num_rows]
                    schema = pa.schema([table.schema.field(name) for name in used])
                writer = stack.enter_context(_writer(path, schema))
            bare = table.select(schema.names).cast(_bare(schema))
            writer.write_table(bare, row_group_size=max(1, bare.num_rows))
            n_rows += bare.num_rows
    return TableInfo(n_rows, column_infos(schema, {}), [seal(path, staging)])


def _tables(texts: Iterable[KeptText], more: Iterable[pa.Table] | None) -> Iterator[tuple[pa.Table, bool]]:
    """The rows in pieces, and whether a piece is all there is."""
    if more is None:
        yield from ((_as_table(rows), is_last) for rows, is_last in _batches(texts))
        return
    rest = iter(texts)
    # With the first text, all that the others are of has been looked at.
    first = [next(rest)]
    yield from ((_as_table(rows), False) for rows, _ in _batches(first))
    yield from ((table, False) for table in more)
    yield from ((_as_table(rows), False) for rows, _ in _batches(rest) if rows)


def _batches(texts: Iterable[KeptText]) -> Iterator[tuple[list[tuple[str | None, ...]], bool]]:
    """Rows for some texts, and whether these are the last: nearly always all together."""
    styles: dict[int, tuple[FileStyle, str]] = {}
    rows: list[tuple[str | None, ...]] = []
    size = 0
    for each in texts:
        if size > _MOST_WAITING:
            yield rows, False
            rows, size = [], 0
        style = each.text.style
        if id(style) not in styles:
            # With the style itself, so that its identity stays its own.
            styles[id(style)] = style, style_json(style)
        departures = departures_json(each.text.departures) or None
        names = json.dumps(each.names) if each.names else None
        counts = None if each.rows is None else json.dumps(each.rows)
        file = portable(each.file)
        tables, (_, as_json) = "/".join(each.tables), styles[id(style)]
        raw = each.text.raw or None
        rows.append((file, each.tomogram, tables, as_json, names, departures, raw, counts))
        size += len(departures or "") + len(raw or "")
    yield rows, True


def portable(path: str) -> str:
    """A path as Parquet can hold it: bytes that are no UTF-8, which Python has as lone surrogates, are spelt out."""
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _as_table(rows: Sequence[tuple[str | None, ...]]) -> pa.Table:
    arrays = [
        _shared(column) if field.type == _SHARED else pa.array(column, pa.string())
        for column, field in zip(zip(*rows, strict=True), _SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def _shared(texts: Sequence[str | None]) -> pa.DictionaryArray:
    """Texts of which there are few, and long: the same string is looked at only once."""
    by_identity: dict[int, int | None] = {}
    codes: dict[str, int] = {}
    for text in texts:
        if id(text) not in by_identity:
            by_identity[id(text)] = codes.setdefault(text, len(codes)) if text else None
    indices = pa.array([by_identity[id(text)] for text in texts], pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array([*codes], pa.string()))


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A file with as little around the data as can be: it is read whole, and small sets are smaller still."""
    return pq.ParquetWriter(
        path,
        _bare(schema),
        compression="zstd",
        compression_level=12,
        use_dictionary=[name for name in ("tables", "style") if name in schema.names],
        write_statistics=False,
        store_schema=False,
    )


def _bare(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def kept_texts(snapshot: Snapshot) -> list[KeptText]:
    """Read ``star/``.

    Raises
    ------
    DatasetError
        It is not there, or damaged.
    """
    try:
        return _kept(pa.concat_tables([pq.read_table(file.source) for file in snapshot.tables["star"]]))
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DatasetError(
            f"what it takes to write the STAR files cannot be read: {error}",
            place=Place(str(snapshot.folder / "star")),
            remedy="convert again, or restore that folder",
        ) from error


@dataclass(frozen=True, slots=True)
class KeptTable:
    """``star/`` as it is stored: to put other rows in the place of some.

    Attributes
    ----------
    table : pyarrow.Table
    tomograms : pyarrow.StringArray
        For each row the tomogram whose tilt-series file it is of.
    styles : int64[row]
        The number of its style; -1 where a text is kept as it stands, of which nothing says which labels it has.
    """

    table: pa.Table
    tomograms: pa.Array
    styles: NDArray[np.int64]

    @staticmethod
    def of(snapshot: Snapshot) -> KeptTable:
        """Those of a dataset."""
        files = [pq.read_table(file.source, read_dictionary=["tables", "style"]) for file in snapshot.tables["star"]]
        table = pa.concat_tables(files).unify_dictionaries().combine_chunks()
        absent = [field for field in _SCHEMA if field.name not in table.column_names]
        for field in absent:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        table = table.select(_SCHEMA.names).cast(_SCHEMA)
        codes = table.column("style").combine_chunks().indices
        styles = np.where(table.column("raw").is_valid(), -1, codes.fill_null(-1))
        return KeptTable(table, table.column("tomogram").combine_chunks(), styles.astype(np.int64))

    def rows_of(self, tomograms: pa.Array) -> NDArray[np.int64]:
        """The row of the tilt-series file of each tomogram, or -1."""
        there = pc.index_in(tomograms, value_set=self.tomograms, skip_nulls=True)
        return np.asarray(there.fill_null(-1), np.int64)

    def labels(self, rows: NDArray[np.int64]) -> dict[int, tuple[str, ...]]:
        """The labels of the files of some rows, those that are alike once: by where among the rows they are first.

        A row that is -1 has none. Where a text is kept as it stands, a KeyError.
        """
        there = np.flatnonzero(rows >= 0)
        codes, first = np.unique(self.styles[rows[there]], return_index=True)
        if -1 in codes:
            raise KeyError("a text that is kept as it stands")
        styles = self.table.column("style").combine_chunks().dictionary
        return {
            i: style_from_json(styles[code].as_py()).labels
            for i, code in zip(there[first].tolist(), codes.tolist(), strict=True)
        }

    def all_labels(self) -> list[tuple[str, ...]]:
        """The labels of the files, those that are alike once, in the order of the files; not of texts as they stand."""
        found = self.labels(np.flatnonzero(self.styles >= 0))
        return [found[i] for i in sorted(found)]

    def spliced(
        self, rows: NDArray[np.int64], texts: dict[int, KeptText], first: KeptText | None, staging: Path
    ) -> TableInfo | None:
        """Write ``star/`` with other rows; nothing where they are the same.

        Parameters
        ----------
        rows : int64[series]
            The row of each tilt-series file; -1 where nothing is kept of it.
        texts : dict
            What is kept of others now, by where they are among the series.
        first : KeptText or None
            What is kept of the global file, where that is another.
        """
        there = self.table.num_rows
        new = [*([] if first is None else [first]), *texts.values()]
        batches = [_as_table(batch) for batch, _ in _batches(new) if batch]
        table = pa.concat_tables([self.table, *batches]).unify_dictionaries()
        alike = self._alike(table, new)
        series = rows.copy()
        series[[*texts]] = alike[len(new) - len(texts) :]
        others = np.flatnonzero(np.asarray(self.tomograms.is_null()))
        order = np.concatenate([[0] if first is None else alike[:1], series[series >= 0], others[others > 0]])
        if np.array_equal(order, np.arange(there)):
            return None
        return _write(table.take(pa.array(order)), staging)

    def _alike(self, table: pa.Table, new: Sequence[KeptText]) -> NDArray[np.int64]:
        """For each row behind the last the one of the same file that says the same, if there is one; else itself."""
        there = self.table.num_rows
        known = self.rows_of(pa.array([each.tomogram for each in new], pa.string()))
        rows = np.arange(there, there + len(new))
        for i, (row, old) in enumerate(zip(rows.tolist(), np.maximum(known, 0).tolist(), strict=True)):
            if table.slice(row, 1).to_pylist() == table.slice(old, 1).to_pylist():
                rows[i] = old
        return rows


def _write(table: pa.Table, staging: Path) -> TableInfo:
    path = staging / "star" / "part-00000.parquet"
    path.parent.mkdir()
    used = [name for name in table.column_names if table.column(name).null_count < table.num_rows]
    schema = pa.schema([_SCHEMA.field(name) for name in used])
    bare = table.select(used).unify_dictionaries().cast(_bare(schema))
    with _writer(path, schema) as writer:
        writer.write_table(bare, row_group_size=max(1, bare.num_rows))
    return TableInfo(bare.num_rows, column_infos(schema, {}), [seal(path, staging)])


def _kept(table: pa.Table) -> list[KeptText]:
    styles: dict[str, FileStyle] = {}
    kept = []
    for row in table.to_pylist():
        style = row["style"]
        if style not in styles:
            styles[style] = style_from_json(style)
        tables = tuple(row["tables"].split("/")) if row.get("tables") else ()
        loops = styles[style].loops
        departures = departures_from_json(row.get("departures") or "", len(loops))
        if not row.get("raw") and len(loops) not in (0, len(tables)):
            raise ValueError(f"{len(loops)} loops for {len(tables)} tables")
        for loop, each in zip(loops, departures, strict=True):
            n = len(loop.style.labels)
            if any(not 0 <= c < n for c in each.cells) or any(not 0 <= gap <= n for gap in each.gaps):
                raise ValueError("departures of columns that are not there")
        text = FileText(styles[style], departures, row.get("raw") or "")
        names = tuple(json.loads(row.get("names") or "[]"))
        rows = tuple(json.loads(row["rows"])) if row.get("rows") else None
        if rows is not None and len(rows) not in (len(tables) or 1, len(names)):
            raise ValueError(f"rows of {len(rows)} tables, not of {len(tables)}")
        kept.append(KeptText(row["file"], row.get("tomogram"), tables, text, names, rows))
    return kept
