"""A text taken apart: which blocks, loops and pairs there are, and where their values stand.

This is where the kernels meet: `tokenize` splits the text, `lalr` runs the grammar over the tokens, and what
they could not accept becomes an error with a place. No value is read here.
"""

from __future__ import annotations

import threading
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import Place, StarSyntaxError
from ..kernels import lalr, tokenize
from . import grammar
from .buffers import Text
from .faults import Notice, Tokens, explain_fault, explain_notices, explain_order
from .limits import (
    MOST_BLOCKS,
    MOST_FRAMES_DEEP,
    MOST_LABELS,
    MOST_PAIRS,
    too_deep,
    too_many_blocks,
    too_many_labels,
    too_many_pairs,
)

Dialect = Literal["relion", "star"]

_DATA_BLOCK, _SAVE_FRAME, _LOOP, _EMPTY_LOOP, _PAIR = map(
    grammar.NODES.index, ("data_block", "save_frame", "loop", "empty_loop", "pair")
)
_CONTAINERS, _LOOPS = (_DATA_BLOCK, _SAVE_FRAME), (_LOOP, _EMPTY_LOOP)

#: Kinds, counts, firsts and spans of tokens (`tomoarrow.kernels.tokenize`).
_Scratch = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

#: Room for more tokens than a slab has is not kept.
_MOST_KEPT = 16 << 20

_kept = threading.local()


@dataclass(frozen=True, slots=True)
class Structure:
    """The items of one or more files. All arrays are int64.

    Attributes
    ----------
    text : Text
    spans : spans of every token (`tomoarrow.kernels.tokenize`)
    escapes : whether byte 7 escapes a quote anywhere
    heading, file, parent : [n_containers]
        For each data block and save frame, in the order of the text: the span of its name, the file it is
        in, and the container around it (-1 for data blocks).
    loop_container, loop_tags, loop_width, loop_cells, loop_values : [n_loops]
        For each loop: its container, the index of its first label's span, the number of labels, the index of
        its first value's span, the number of values.
    pair_container, pair_tag : [n_pairs]
        For each pair: its container and the index of its label's span; the value's is the next.
    faults : tuple of StarSyntaxError
        One for each file that is malformed; such a file has no items.
    """

    text: Text
    dialect: Dialect
    spans: NDArray[np.int64]
    escapes: bool
    heading: NDArray[np.int64]
    file: NDArray[np.int64]
    parent: NDArray[np.int64]
    loop_container: NDArray[np.int64]
    loop_tags: NDArray[np.int64]
    loop_width: NDArray[np.int64]
    loop_cells: NDArray[np.int64]
    loop_values: NDArray[np.int64]
    pair_container: NDArray[np.int64]
    pair_tag: NDArray[np.int64]
    notices: tuple[Notice, ...]
    faults: tuple[StarSyntaxError, ...]

    def string(self, span: int) -> str:
        """The text of a span, given by its index."""
        start, length = self.start(span), int(self.spans[span]) & tokenize.SPAN_MASK
        return self.text.cut(start, start + length)

    def start(self, span: int) -> int:
        """The position of a span in the buffer, given by its index."""
        return int(self.spans[span]) >> tokenize.SPAN_BITS

    def name(self, container: int) -> str:
        """The name of a data block or save frame, given by its number."""
        return self.string(int(self.heading[container]))

    def labels(self, loop: int) -> list[str]:
        """The labels of a loop, given by its number."""
        first = int(self.loop_tags[loop])
        return [self.string(span) for span in range(first, first + int(self.loop_width[loop]))]

    def headers(self, loops: Sequence[int] | NDArray[np.int64]) -> list[bytes]:
        """The bytes of the labels of loops, from the first to the last, given by their numbers."""
        numbers = np.asarray(loops, np.int64)
        first = self.loop_tags[numbers]
        last = self.spans[first + self.loop_width[numbers] - 1]
        begins = self.spans[first] >> tokenize.SPAN_BITS
        ends = (last >> tokenize.SPAN_BITS) + (last & tokenize.SPAN_MASK)
        text = self.text.buffer.data
        return [bytes(text[begin:end]) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]

    def place(self, span: int, container: int | None = None, label: str | None = None) -> Place:
        """The place of a value, given by the index of its span."""
        return self.text.place(self.start(span), None if container is None else self.name(container), label)

    def place_of_label(self, span: int, container: int) -> Place:
        """The place of a label, at its underscore, given by the index of its span."""
        return self.text.place(self.start(span) - 1, self.name(container), self.string(span))

    def place_of_heading(self, container: int) -> Place:
        """The place of the heading of a block or frame, given by its number."""
        return self.text.place(self.start(int(self.heading[container])) - len("data_"), self.name(container))


def analyse(text: Text, dialect: Dialect, *, hint: bool = True) -> Structure:
    """Split a text into tokens and these into blocks, loops and pairs.

    Parameters
    ----------
    text : Text
        One file or many.
    dialect : "relion" or "star"
    hint : bool
        Whether errors may advise to read the text with the other dialect.
    """
    tokens = split(text, dialect)
    nodes, parser_faults = _parse(tokens, len(text.names))
    faults = _malformed(text, tokens, parser_faults, hint=hint and dialect == "relion")
    file_of_token = np.concatenate([[0], np.cumsum(tokens.is_end)])
    # A file that is malformed may have save frames without the block around them.
    nodes = _of_others(faults, nodes, file_of_token)
    nodes = nodes[np.argsort(nodes[:, 1], kind="stable")]
    for token, error in _beyond_limits(text, tokens, nodes, file_of_token):
        faults.setdefault(int(file_of_token[token]), error)
    nodes = _of_others(faults, nodes, file_of_token)
    kinds, counts, firsts = tokens.kinds, tokens.counts, tokens.firsts
    containers = _of_kind(nodes, *_CONTAINERS)
    loops, pairs = _of_kind(nodes, *_LOOPS)[:, 1], _of_kind(nodes, _PAIR)[:, 1]
    parent, _ = _parents(containers)
    body = np.minimum(loops + 2, len(kinds) - 1)
    return Structure(
        text=text,
        dialect=dialect,
        spans=tokens.spans,
        escapes=tokens.escapes,
        heading=firsts[containers[:, 1]],
        file=file_of_token[containers[:, 1]],
        parent=parent,
        loop_container=_enclosing(containers, parent, loops),
        loop_tags=firsts[loops + 1],
        loop_width=counts[loops + 1],
        loop_cells=firsts[loops + 1] + counts[loops + 1],
        loop_values=np.where(kinds[body] == tokenize.VALUE, counts[body], 0),
        pair_container=_enclosing(containers, parent, pairs),
        pair_tag=firsts[pairs],
        notices=explain_notices(text, tokens),
        faults=tuple(faults[f] for f in sorted(faults)),
    )


#: What a file of CIF 2.0 begins with.
_CIF_2 = rb"#\#CIF_2.0"


def _malformed(
    text: Text, tokens: Tokens, parser_faults: NDArray[np.int64], *, hint: bool
) -> dict[int, StarSyntaxError]:
    """What the tokenizer and the grammar refuse, by the number of the file."""
    faults = {f: explain_fault(text, tokens, f, hint=hint) for f in np.flatnonzero(tokens.faults[::4]).tolist()}
    for f in np.flatnonzero(parser_faults[::2] >= 0).tolist():
        # What the grammar refuses stands before the place at which the tokenizer gave up.
        faults[f] = explain_order(text, tokens, *parser_faults[2 * f : 2 * f + 2].tolist(), hint=hint)
    for f, error in faults.items():
        if text.buffer[text.begins[f] :][:20].tobytes().removeprefix(BOM_UTF8).startswith(_CIF_2):
            error.remedy = "write the file as CIF 1.1: it is CIF 2.0, whose lists, tables and long strings are not read"
    return faults


def _of_others(
    faults: dict[int, StarSyntaxError], nodes: NDArray[np.int64], file_of_token: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The nodes of files without a fault."""
    if not faults:
        return nodes
    return nodes[~np.isin(file_of_token[nodes[:, 1]], list(faults))]


def _of_kind(nodes: NDArray[np.int64], *kinds: int) -> NDArray[np.int64]:
    """The nodes of some kinds."""
    return nodes[np.logical_or.reduce([nodes[:, 0] == kind for kind in kinds])]


def _beyond_limits(
    text: Text, tokens: Tokens, nodes: NDArray[np.int64], file_of_token: NDArray[np.int64]
) -> Iterator[tuple[int, StarSyntaxError]]:
    """The tokens at which there is too much of something, each with its error."""

    def place(token: int, before: str) -> Place:
        return text.place((int(tokens.spans[tokens.firsts[token]]) >> tokenize.SPAN_BITS) - len(before))

    containers, labels = _of_kind(nodes, *_CONTAINERS), _of_kind(nodes, *_LOOPS)[:, 1] + 1
    for token in labels[tokens.counts[labels] > MOST_LABELS].tolist():
        yield token, too_many_labels(place(token, "_"), int(tokens.counts[token]))
    for token in containers[_parents(containers)[1] > MOST_FRAMES_DEEP, 1].tolist():
        yield token, too_deep(place(token, "save_"))
    for token in _behind(MOST_BLOCKS, containers[:, 1], file_of_token):
        yield token, too_many_blocks(place(token, "data_"))
    for token in _behind(MOST_PAIRS, _of_kind(nodes, _PAIR)[:, 1], file_of_token):
        yield token, too_many_pairs(place(token, "_"))


def _behind(most: int, tokens: NDArray[np.int64], file_of_token: NDArray[np.int64]) -> list[int]:
    """The first token of each file behind so many others, of some in the order of the text."""
    begins = np.searchsorted(file_of_token[tokens], np.arange(int(file_of_token[-1]) + 2))
    return [int(tokens[begin + most]) for begin, end in pairwise(begins.tolist()) if end - begin > most]


def split(text: Text, dialect: Dialect) -> Tokens:
    """Split a text into tokens."""
    n_files = len(text.names)
    capacity = len(text.buffer) // 2 + 2 * n_files + 2
    kinds, counts, firsts, spans = _scratch(capacity)
    faults = np.zeros(4 * n_files, np.int64)
    notices = np.zeros(2 * tokenize.N_NOTICES * n_files, np.int64)
    state = np.zeros(4, np.int64)
    state[tokenize.ROWS_AT] = text.rows_at
    run = tokenize.tokenize_star if dialect == "star" else tokenize.tokenize_relion
    run(text.buffer, text.begins, text.ends, kinds, counts, firsts, spans, faults, notices, state)
    n_tokens, n_spans, escapes, _ = state.tolist()
    # Copies, because the capacity is that of a text of one-byte values, and the next text is split in the same memory.
    return Tokens(
        kinds[:n_tokens].copy(),
        counts[:n_tokens].copy(),
        firsts[:n_tokens].copy(),
        spans[:n_spans].copy(),
        bool(escapes),
        faults,
        notices,
    )


def _scratch(capacity: int) -> _Scratch:
    """Arrays for the tokens of one text, with memory that this thread has touched before: new pages are slow."""
    found: _Scratch | None = getattr(_kept, "arrays", None)
    if found is None or len(found[0]) < capacity:
        counts, firsts, spans = (np.empty(capacity, np.int64) for _ in range(3))
        found = np.empty(capacity, np.uint8), counts, firsts, spans
        if capacity <= _MOST_KEPT:
            _kept.arrays = found
    return found


def _parse(tokens: Tokens, n_files: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Run the grammar: nodes [n, 3] and faults [2 * n_files], as `tomoarrow.kernels.lalr` has them."""
    tables = grammar.tables()
    n_tokens = len(tokens.kinds)
    stack, starts = np.zeros(2 * n_tokens + 8, np.int64), np.zeros(2 * n_tokens + 8, np.int64)
    nodes = np.empty(3 * n_tokens, np.int64)
    faults = np.full(2 * n_files, -1, np.int64)
    state = np.zeros(1, np.int64)
    lalr.parse(
        tokens.kinds,
        tokens.counts,
        tables.action,
        tables.goto,
        tables.rules,
        tables.shape,
        stack,
        starts,
        nodes,
        faults,
        state,
    )
    return nodes[: 3 * int(state[0])].reshape(-1, 3), faults


def _parents(containers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The container around each (-1 for data blocks), and how many save frames deep each is."""
    parent, depth = np.full(len(containers), -1, np.int64), np.zeros(len(containers), np.int64)
    if not (containers[:, 0] == _SAVE_FRAME).any():
        return parent, depth
    around: list[tuple[int, int]] = []
    for i, (kind, begin, end) in enumerate(containers.tolist()):
        while around and around[-1][1] <= begin:
            around.pop()
        if kind == _SAVE_FRAME:
            parent[i], depth[i] = around[-1][0], len(around)
        around.append((i, end))
    return parent, depth


def _enclosing(
    containers: NDArray[np.int64], parent: NDArray[np.int64], tokens: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The number of the innermost container around each token."""
    found = np.searchsorted(containers[:, 1], tokens, side="right") - 1
    # No more often than frames are deep.
    while (has_ended := containers[found, 2] <= tokens).any():
        found[has_ended] = parent[found[has_ended]]
    return found
