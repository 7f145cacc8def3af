"""``star/``: what is kept of the text of each STAR file, so that its bytes can be written again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DatasetError, Place
from ..star.style import FileStyle
from ..star.texts import FileText, departures_from_json, departures_json, style_from_json, style_json
from .layout import Part, seal
from .manifest import TableInfo, column_infos

T = TypeVar("T")

_SHARED = pa.dictionary(pa.int32(), pa.string())

_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), metadata={"description": "Path of the STAR file, as the project has it"}),
        pa.field("tomogram", pa.string(), metadata={"description": "The tomogram whose tilt series it holds"}),
        pa.field("tables", _SHARED, metadata={"description": "The tables of the dataset that its loops are"}),
        pa.field("style", _SHARED, metadata={"description": "How it is written, as JSON"}),
        pa.field("names", pa.string(), metadata={"description": "Tomograms of the rows that depart, as JSON"}),
        pa.field("departures", pa.string(), metadata={"description": "What departs from the style, as JSON"}),
        pa.field("raw", pa.string(), metadata={"description": "The text itself, where no style describes it"}),
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
        The tomograms of the rows of the global table, where anything departs from its style.
    """

    file: str
    tomogram: str | None
    tables: tuple[str, ...]
    text: FileText
    names: tuple[str, ...] = ()


def write_texts(texts: Iterable[KeptText], staging: Path) -> TableInfo:
    """Write ``star/``."""
    kept = list(texts)
    arrays = [
        pa.array([_printable(each.file) or None for each in kept], pa.string()),
        pa.array([each.tomogram or None for each in kept], pa.string()),
        _shared([each.tables for each in kept], "/".join),
        _shared([each.text.style for each in kept], style_json),
    ]
    departures = [departures_json(each.text.departures) or None for each in kept]
    names = [
        json.dumps(each.names) if each.names and (departing or each.text.raw) else None
        for each, departing in zip(kept, departures, strict=True)
    ]
    raw = [each.text.raw or None for each in kept]
    arrays += [pa.array(column, pa.string()) for column in (names, departures, raw)]
    table = pa.Table.from_arrays(arrays, schema=_SCHEMA)
    # Where nothing departs, not even the columns for it are there.
    table = table.select([name for name in table.column_names if table.column(name).null_count < table.num_rows])
    return TableInfo(table.num_rows, column_infos(table.schema, {}), [_write(table, staging)])


def _printable(path: str) -> str:
    """A path that may hold bytes that are no UTF-8, which Python has as lone surrogates."""
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _shared(things: Sequence[T], text: Callable[[T], str]) -> pa.DictionaryArray:
    """The texts of things of which there are few, each made once; null where empty."""
    by_identity: dict[int, int | None] = {}
    codes: dict[str, int] = {}
    for thing in things:
        if id(thing) not in by_identity:
            made = text(thing)
            by_identity[id(thing)] = codes.setdefault(made, len(codes)) if made else None
    indices = pa.array([by_identity[id(thing)] for thing in things], pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array([*codes], pa.string()))


def _write(table: pa.Table, staging: Path) -> Part:
    """Write one file with as little around the data as can be: it is read whole, and small sets are smaller still."""
    path = staging / "star" / "part-00000.parquet"
    path.parent.mkdir()
    bare = table.cast(pa.schema([pa.field(f.name, f.type) for f in table.schema]))
    pq.write_table(
        bare,
        path,
        compression="zstd",
        compression_level=12,
        use_dictionary=[name for name in ("tables", "style") if name in table.column_names],
        write_statistics=False,
        store_schema=False,
        row_group_size=max(1, table.num_rows),
    )
    return seal(path, staging)


def kept_texts(dataset: Path) -> list[KeptText]:
    """Read ``star/``.

    Raises
    ------
    DatasetError
        It is not there, or damaged.
    """
    try:
        return _kept(pq.read_table(dataset / "star"))
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DatasetError(
            f"what it takes to write the STAR files cannot be read: {error}",
            place=Place(str(dataset / "star")),
            remedy="convert again, or restore that folder",
        ) from error


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
        kept.append(
            KeptText(row["file"], row.get("tomogram"), tables, text, tuple(json.loads(row.get("names") or "[]")))
        )
    return kept
