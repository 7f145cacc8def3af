"""A tomogram set: one global table, and for each tomogram a tilt-series table.

The global file has a block ``data_global`` with a row a tomogram: its name and the path of its tilt-series file,
which has one block, with the name of the tomogram and a row a tilt image
(``src/jaz/tomography/tomogram_set.cpp``: TomogramSet::read).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import Place, SchemaError
from ..star.blocks import learn_tables
from ..star.document import Block, Document
from ..star.reader import read_star
from ..star.structure import analyse
from ..star.tables import Options
from ..star.texts import FileText, file_text

NAME = "rlnTomoName"
SERIES_FILE = "rlnTomoTiltSeriesStarFile"

#: No global file is longer than this: a tomogram takes some 300 bytes.
MOST_HELD = 64 << 20


@dataclass(frozen=True, slots=True)
class GlobalTable:
    """The global table of a tomogram set.

    Attributes
    ----------
    table : pyarrow.Table
        A row a tomogram, in the order of the file.
    names, paths : tuple of str
        ``rlnTomoName`` and ``rlnTomoTiltSeriesStarFile`` of each row; no paths where the series are in the same file.
    optics : Block or None
        The optics groups, which older imports keep in the same file.
    others : tuple of Block
        The other blocks of the file.
    text : FileText
        How the file is written.
    text_tables : tuple of str
        What the loops of the text are: "tomograms", "optics".
    """

    table: pa.Table
    names: tuple[str, ...]
    paths: tuple[str, ...]
    optics: Block | None
    others: tuple[Block, ...]
    document: Document
    text: FileText
    text_tables: tuple[str, ...]


def global_table(path: Path, document: Document, *, has_series: bool = False) -> GlobalTable:
    """The global table of a tomogram set, given its file.

    Parameters
    ----------
    path : Path
    document : Document
    has_series : bool
        Whether the tilt series are in the file too, as RELION 4 has them, and not in files that the table names.

    Raises
    ------
    SchemaError
        It is no tomogram set, or the name of a tomogram repeats.
    """
    block = global_block(str(path), document, has_series=has_series)
    table = block.table
    assert table is not None
    if block.pairs:
        raise SchemaError(
            "labels with one value each, outside the loop of the global table",
            place=Place(str(path), block=block.name, label=next(iter(block.pairs))),
            expected="one loop with a row a tomogram, and nothing else",
            remedy="move those labels to a block of their own, or make them columns",
        )
    names = table.column(NAME).to_pylist()
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise SchemaError(
            f"{len(repeated)} tomogram names repeat: {', '.join(repeated[:10])}",
            place=Place(str(path), block=block.name, label=NAME),
            expected="each rlnTomoName once",
            remedy="remove or rename the rows that repeat",
        )
    optics = optics_block(document)
    others = tuple(other for other in document if other is not block and other is not optics)
    text, text_tables = _text(document, block, optics)
    paths = () if has_series else tuple(table.column(SERIES_FILE).to_pylist())
    return GlobalTable(table, tuple(names), paths, optics, others, document, text, text_tables)


def text_of_global(data: bytes, options: Options, *, has_series: bool) -> FileText:
    """How the global file is written, given its bytes; never the bytes themselves."""
    document = read_star(data, labels=options.labels, on_bad_value="null")
    block = global_block("", document, has_series=has_series)
    return _text(document, block, optics_block(document), whole=False)[0]


def optics_block(document: Document) -> Block | None:
    """The optics groups, which older imports keep in the global file."""
    return next((b for b in document if b.name == "optics" and len(b.loops) == 1 and not b.pairs), None)


def _text(
    document: Document, block: Block, optics: Block | None, *, whole: bool = True
) -> tuple[FileText, tuple[str, ...]]:
    """How the global file is written, and which tables its loops are; other blocks are kept as they stand."""
    tables = {"tomograms": block} | ({"optics": optics} if optics else {})
    assert document._origin is not None
    structure = analyse(document._origin.text, "relion")
    names, loops = {}, {}
    for name, each in tables.items():
        assert each._origin is not None
        loop = int(np.flatnonzero(structure.loop_container == each._origin[1])[0])
        names[loop], loops[loop] = name, each.loops[0]
    return file_text(structure, learn_tables(structure, loops), whole=whole), tuple(
        names[loop] for loop in sorted(names)
    )


def global_block(path: str, document: Document, *, has_series: bool) -> Block:
    """The block with a row a tomogram: ``data_global``, else the one that points to tilt series.

    Raises
    ------
    SchemaError
        There is none, or there are several.
    """
    needed = {NAME} if has_series else {NAME, SERIES_FILE}
    fitting = [block for block in document if len(block.loops) == 1 and needed <= set(block.loops[0].column_names)]
    named = [block for block in fitting if block.name == "global"]
    if len(named) == 1 or len(fitting) == 1:
        return named[0] if len(named) == 1 else fitting[0]
    as_list = [block.name for block in document if {NAME, SERIES_FILE} <= set(block.pairs)]
    if not fitting and as_list:
        raise SchemaError(
            "the global table is written as a list of labels with one value each",
            place=Place(path, block=as_list[0]),
            expected="a loop with a row a tomogram",
            remedy="write it as a loop: loop_, then the labels, then the values in one row",
        )
    there = "; ".join(
        f"data_{block.name} ({', '.join('_' + name for name in _labels(block)[:4]) or 'empty'}, ...)"
        for block in document
    )
    raise SchemaError(
        "not a RELION 5 tomogram set" if not fitting else f"{len(fitting)} blocks look like the global table",
        place=Place(path),
        expected=f"one block data_global with the labels _{NAME} and _{SERIES_FILE}",
        remedy=f"give the tomograms.star (or tilt_series.star) of a job; this file holds: {there or 'no block'}",
    )


def _labels(block: Block) -> list[str]:
    return [*block.pairs, *(name for loop in block.loops for name in loop.column_names)]
