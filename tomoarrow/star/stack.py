"""Many loops of like tables as one table: of the files of a slab, or of the blocks of one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..kernels.tokenize import SPAN_BITS, SPAN_MASK
from .blocks import split_between
from .columns import first_repeated
from .learn import learn_loops
from .structure import Structure
from .tables import Findings, Options, check_loop, evidence_of, loop_cells, read_cells
from .texts import FileText, FileTexts

#: Loops by their labels, both in the order of the text.
Groups = Mapping[tuple[str, ...], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Stack:
    """The rows of many loops, file after file.

    Attributes
    ----------
    table : pyarrow.Table
        Columns that some loops lack are null there.
    counts : int64[files]
        How many rows are of each file.
    texts : list of FileText or None
        How each file is written; None where it has no loop.
    digests : tuple of str
        The SHA-256 of each file, where it was asked for.
    """

    table: pa.Table
    counts: NDArray[np.int64]
    texts: list[FileText | None]
    digests: tuple[str, ...] = ()


def group_loops(structure: Structure, loops: NDArray[np.int64], found: Findings) -> dict[tuple[str, ...], list[int]]:
    """Loops by their labels; those that are no tables are left out, and reported as errors.

    Loops of one writer have the same header bytes: labels are read once for all.
    """
    by_text: dict[bytes, list[int]] = {}
    for loop, header in zip(loops.tolist(), structure.headers(loops), strict=True):
        by_text.setdefault(header, []).append(loop)
    ragged = set(loops[structure.loop_values[loops] % np.maximum(structure.loop_width[loops], 1) > 0].tolist())
    groups: dict[tuple[str, ...], list[int]] = {}
    for members in by_text.values():
        labels = structure.labels(members[0])
        doubtful = members if first_repeated(labels) is not None else sorted(ragged.intersection(members))
        bad = {loop for loop in doubtful if not check_loop(structure, loop, labels, found)}
        if len(bad) < len(members):
            groups.setdefault(tuple(labels), []).extend(loop for loop in members if loop not in bad)
    return {labels: sorted(members) for labels, members in groups.items()}


def stack_evidence(structure: Structure, groups: Groups, options: Options) -> dict[str, int]:
    """What the loops hold that the types of their columns depend on: see `tomoarrow.star.columns.gather_evidence`."""
    return evidence_of([(labels, loop_cells(structure, loops)) for labels, loops in groups.items()], options)


def read_stack(
    structure: Structure, files: Structure, groups: Groups, names: Sequence[str], options: Options, found: Findings
) -> tuple[Stack, FileTexts]:
    """Read loops, at most one of each file, and learn how the files are written.

    Parameters
    ----------
    structure : Structure
    files : Structure
        The same, or `as_files` of it: what the files are.
    groups : Groups
    names : sequence of str
        For each file the name that the block of its loop should have.
    options : Options
    found : Findings
        Notices, rejects and errors are added.
    """
    if len(groups) > 1 and not options.evidence:
        options = replace(options, evidence=stack_evidence(structure, groups, options))
    tables, owners = [], []
    texts: list[FileText | None] = [None] * len(names)
    file_texts = FileTexts(files)
    for labels, loops in groups.items():
        cells = loop_cells(structure, loops)
        tables.append(read_cells(structure, cells, labels, options, None, found))
        own = file_of(files, loops)
        owners.append(np.repeat(own, cells.rows))
        learned = learn_loops(files, loops, tables[-1])
        for f, loop, each in zip(own.tolist(), loops, learned, strict=True):
            texts[f] = file_texts.of_loop(f, names[f], loop, each)
    owner = np.concatenate(owners) if owners else np.empty(0, np.int64)
    joined = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
    if len(tables) > 1:
        order = np.argsort(owner, kind="stable")
        joined, owner = joined.take(pa.array(order)), owner[order]
    return Stack(joined, np.bincount(owner, minlength=len(names)).astype(np.int64), texts), file_texts


def file_of(structure: Structure, loops: Sequence[int]) -> NDArray[np.int64]:
    """The file of each loop."""
    return np.asarray(structure.file[structure.loop_container[np.array(loops, np.int64)]], np.int64)


def block_begins(structure: Structure) -> NDArray[np.int64]:
    """Where the text of each data block of one file begins: with the comments before it. The first: with the file."""
    roots = np.flatnonzero(structure.parent < 0)
    begins = np.empty(len(roots), np.int64)
    for i, heading in enumerate(structure.heading[roots].tolist()):
        begins[i] = structure.text.begins[0]
        if i:
            span = int(structure.spans[heading - 1])
            behind = structure.start(heading - 1) + (span & SPAN_MASK)
            between = structure.text.cut(behind, structure.start(heading))
            begins[i] += len(split_between(between)[0].encode()) + behind - begins[i]
    return begins


def as_files(structure: Structure, begins: NDArray[np.int64]) -> Structure:
    """One text as if each part of it, given where they begin, were a file: what is learned is learned for each."""
    text = structure.text
    ends = np.append(begins[1:], text.ends[0])
    parts = replace(text, begins=begins, ends=ends, names=text.names * len(begins), _line_starts=[])
    starts = structure.spans[structure.heading] >> SPAN_BITS
    file = np.searchsorted(begins, starts, side="right") - 1
    return replace(structure, text=parts, file=file.astype(np.int64))
