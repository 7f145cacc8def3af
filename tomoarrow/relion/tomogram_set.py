"""A tomogram set of RELION 5: one global table, and for each tomogram a tilt-series table.

The global file has a block ``data_global`` with a row a tomogram: its name and the path of its tilt-series file,
which has one block, named as the tomogram, with a row a tilt image
(``src/jaz/tomography/tomogram_set.cpp``: TomogramSet::read).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import Place, SchemaError, TomoarrowError
from ..star.blocks import learn_tables
from ..star.document import Block, Document
from ..star.faults import Notice
from ..star.learn import learn_loops
from ..star.pieces import Piece, always, read_pieces
from ..star.reader import read_star
from ..star.source import Held, Source, Text, lay_out, read_slab
from ..star.structure import Structure, analyse
from ..star.tables import Findings, Options, check_loop, evidence_of, loop_cells, read_cells, read_loop
from ..star.texts import FileText, FileTexts, file_text

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
        ``rlnTomoName`` and ``rlnTomoTiltSeriesStarFile`` of each row.
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


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """A tilt-series file: of which tomogram, what the global table calls it, and where it is.

    (A plain string says where: objects of pathlib cost more than reading a small file.)
    """

    tomogram: str
    path: str
    file: str


@dataclass(frozen=True, slots=True)
class Series:
    """The tilts of several tomograms.

    Attributes
    ----------
    table : pyarrow.Table
        A row a tilt image, tomogram after tomogram.
    tilt_counts : int64[tomograms]
    texts : list of FileText or None
        How each file is written; None where it has an error.
    """

    table: pa.Table
    tilt_counts: NDArray[np.int64]
    texts: list[FileText | None]


def holds_tomogram_set(document: Document) -> bool:
    """Whether a document looks like the global file of a tomogram set: a block names tilt-series files."""
    return any(SERIES_FILE in _labels(block) for block in document)


def names_series(source: Source | Held) -> bool:
    """Whether a file names tilt-series files: see `holds_tomogram_set`. Of a long file only the front is looked at."""

    def names(piece: Piece) -> bool:
        structure = piece.structure
        tags = [range(tag, tag + n) for tag, n in zip(structure.loop_tags, structure.loop_width, strict=True)]
        return any(structure.string(span) == SERIES_FILE for span in chain(structure.pair_tag, *tags))

    seen = 0
    with closing(read_pieces(source, "relion", names, stands=always, threads=1)) as pieces:
        for read in pieces:
            seen += len(read.piece.structure.text.buffer)
            if read.result or seen > MOST_HELD:
                return read.result
    return False


def global_table(path: Path, document: Document) -> GlobalTable:
    """The global table of a tomogram set, given its file.

    Raises
    ------
    SchemaError
        It is no RELION 5 tomogram set, or the name of a tomogram repeats.
    """
    block = _global_block(str(path), document)
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
    optics = _optics(document)
    others = tuple(other for other in document if other is not block and other is not optics)
    text, text_tables = _text(document, block, optics)
    paths = tuple(table.column(SERIES_FILE).to_pylist())
    return GlobalTable(table, tuple(names), paths, optics, others, document, text, text_tables)


def text_of_global(data: bytes, options: Options) -> FileText:
    """How the global file is written, given its bytes; never the bytes themselves."""
    document = read_star(data, labels=options.labels, on_bad_value="null")
    return _text(document, _global_block("", document), _optics(document), whole=False)[0]


def _optics(document: Document) -> Block | None:
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


def _global_block(path: str, document: Document) -> Block:
    """The block with a row a tomogram: ``data_global``, else the one that points to tilt series."""
    fitting = [
        block for block in document if len(block.loops) == 1 and {NAME, SERIES_FILE} <= set(block.loops[0].column_names)
    ]
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


def read_series(files: Sequence[SeriesFile], options: Options, found: Findings) -> Series:
    """Read tilt-series files as one slab.

    Parameters
    ----------
    files : sequence of SeriesFile
    options : Options
    found : Findings
        Notices, rejects and errors are added. The rows of a file with an error are left out.
    """
    slab = _read_slab(files, found)
    groups = slab.groups
    if len(groups) > 1 and not options.evidence:
        options = replace(options, evidence=_evidence(slab, options))
    tables, owners = [], []
    texts: list[FileText | None] = [None] * len(files)
    file_texts = FileTexts(slab.structure)
    for labels, loops in groups.items():
        cells = loop_cells(slab.structure, loops)
        tables.append(read_cells(slab.structure, cells, labels, options, None, found))
        owners.append(np.repeat(slab.file_of(loops), cells.rows))
        learned = learn_loops(slab.structure, loops, tables[-1])
        for f, loop, each in zip(slab.file_of(loops).tolist(), loops, learned, strict=True):
            texts[f] = file_texts.of_loop(f, files[f].tomogram, loop, each)
    for f in slab.without_loop:
        texts[f] = file_texts.without_loop(f, files[f].tomogram)
    owner = np.concatenate(owners) if owners else np.empty(0, np.int64)
    joined = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
    if len(tables) > 1:
        order = np.argsort(owner, kind="stable")
        joined, owner = joined.take(pa.array(order)), owner[order]
    return Series(joined, np.bincount(owner, minlength=len(files)).astype(np.int64), texts)


def series_evidence(files: Sequence[SeriesFile], options: Options, found: Findings) -> dict[str, int]:
    """What tilt-series files hold that the types of their columns depend on, by label, in the order of appearance.

    See `tomoarrow.star.columns.gather_evidence`. Errors are added to `found`.
    """
    return _evidence(_read_slab(files, found), options)


def _evidence(slab: _Slab, options: Options) -> dict[str, int]:
    return evidence_of([(labels, loop_cells(slab.structure, loops)) for labels, loops in slab.groups.items()], options)


def text_of_series(data: bytes, tomogram: str, options: Options) -> FileText:
    """How a tilt-series file is written, given its bytes; never the bytes themselves."""
    text, _ = lay_out([(tomogram, data)])
    file = SeriesFile(tomogram, tomogram, tomogram)
    slab = _Slab([file], text, [], Findings())
    ((_, (loop,)),) = slab.groups.items()
    table = read_loop(slab.structure, loop, options, None, Findings())
    (learned,) = learn_loops(slab.structure, [loop], table)
    return FileTexts(slab.structure).of_loop(0, tomogram, loop, learned, whole=False)


def _read_slab(files: Sequence[SeriesFile], found: Findings) -> _Slab:
    text, errors = read_slab([file.file for file in files], [file.path for file in files])
    return _Slab(files, text, errors, found)


class _Slab:
    """Tilt-series files, taken apart, and which loop belongs to which tomogram."""

    def __init__(
        self, files: Sequence[SeriesFile], text: Text, errors: Sequence[TomoarrowError], found: Findings
    ) -> None:
        self.structure: Structure = analyse(text, "relion", hint=False)
        self._found = found
        unreadable = {error.place.path for error in errors}
        found.errors += errors
        found.errors += [fault for fault in self.structure.faults if fault.place.path not in unreadable]
        found.notices += self.structure.notices
        faulty = unreadable | {fault.place.path for fault in self.structure.faults}
        #: Files whose block is empty.
        self.without_loop: list[int] = []
        #: The loops by their labels, both in the order of the files.
        self.groups = self._by_labels(self._loops_of([file.tomogram for file in files], faulty))

    def _loops_of(self, names: Sequence[str], skip: set[str]) -> list[int]:
        """The loop in the block of its tomogram, for each file that has one."""
        structure = self.structure
        by_file = np.searchsorted(structure.file, np.arange(len(names) + 1))
        by_container = np.searchsorted(structure.loop_container, np.arange(len(structure.heading) + 1))
        with_pairs = set(structure.pair_container.tolist())
        chosen = []
        for f, name in enumerate(names):
            if structure.text.names[f] in skip:
                continue
            container = self._container_of(f, name, range(by_file[f], by_file[f + 1]))
            if container is None:
                continue
            loops = range(by_container[container], by_container[container + 1])
            if len(loops) > 1 or container in with_pairs:
                self._found.errors.append(
                    SchemaError(
                        "labels with one value each, outside a loop"
                        if container in with_pairs
                        else f"the block has {len(loops)} loops",
                        place=structure.place_of_heading(container),
                        expected="one loop with a row a tilt image, and nothing else",
                        remedy="write the tilt series as a loop; check that this is a tilt-series file",
                    )
                )
            elif len(loops) == 1 and structure.loop_values[loops[0]]:
                chosen.append(loops[0])
            else:
                message = "a tilt series without tilts, which RELION refuses"
                self._found.notices.append(Notice("no-tilts", message, structure.place_of_heading(container)))
                chosen += loops
                if not loops:
                    self.without_loop.append(f)
        return chosen

    def _container_of(self, f: int, name: str, containers: range) -> int | None:
        """The block of a tomogram in its file: the one of its name, else the only one."""
        structure = self.structure
        named = [c for c in containers if structure.name(c) == name]
        if len(named) == 1:
            if len(containers) > 1:
                message = f"{len(containers) - 1} blocks beside the one of the tomogram, which are not read"
                place = Place(structure.text.names[f], block=name)
                self._found.notices.append(Notice("other-blocks", message, place, len(containers) - 1))
            return named[0]
        if len(containers) == 1 and not named:
            only = containers[0]
            message = f"the block is not named as its tomogram, {name!r}; RELION would not find it"
            self._found.notices.append(Notice("block-name", message, structure.place_of_heading(only)))
            return only
        there = ", ".join(f"data_{structure.name(c)}" for c in containers) or "none"
        self._found.errors.append(
            SchemaError(
                f"{len(named) or 'no'} blocks are named as the tomogram, {name!r}",
                place=Place(structure.text.names[f]),
                expected=f"one block data_{name}; there is: {there}",
                remedy="check which file the global table names for this tomogram",
            )
        )
        return None

    def _by_labels(self, loops_of_files: Sequence[int]) -> dict[tuple[str, ...], list[int]]:
        """The loops by their labels. Files of one writer have the same header bytes: labels are read once for all."""
        structure = self.structure
        by_text: dict[bytes, list[int]] = {}
        for loop, header in zip(loops_of_files, structure.headers(loops_of_files), strict=True):
            by_text.setdefault(header, []).append(loop)
        groups: dict[tuple[str, ...], list[int]] = {}
        for loops in by_text.values():
            labels = structure.labels(loops[0])
            sound = [loop for loop in loops if check_loop(structure, loop, labels, self._found)]
            if sound:
                groups.setdefault(tuple(labels), []).extend(sound)
        return {labels: sorted(loops) for labels, loops in groups.items()}

    def file_of(self, loops: Sequence[int]) -> NDArray[np.int64]:
        """The file of each loop."""
        containers = self.structure.loop_container[np.array(loops)]
        return np.asarray(self.structure.file[containers], np.int64)
