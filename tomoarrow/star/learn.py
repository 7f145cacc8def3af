"""How a loop that was read is written: the rule of each column and gap, and what departs from it.

A rule is guessed from a few rows, tried on all of them by the very code that writes, and where it fails guessed again
with some of the rows at which it failed. What no guess explains is kept as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..kernels import compare
from ..kernels.tokenize import SPAN_BITS, SPAN_MASK
from .cells import Cells
from .forms import NONE, Form, number_style, stay_bare, texts_of
from .guess import guess_forms, guess_gap, is_text, learn_header, usual_form
from .named import usual_gaps
from .structure import Structure
from .style import Departures, Exceptions, Gap, Header, LoopStyle, rules_of
from .tables import loop_cells

#: So many rows are looked at to guess a rule.
_SAMPLE = 48

#: Loops with the same labels that differ otherwise are told apart into so many styles.
_MOST_STYLES = 8

#: A loop with no more departures than this, or than a twentieth of its values, is written as the others.
_FEW = 4


@dataclass(frozen=True, slots=True)
class Learned:
    """The style of one loop, its departures, where its rows begin and end in the buffer, and how many there are."""

    style: LoopStyle
    departures: Departures
    begin: int
    end: int
    rows: int


def learn_loops(structure: Structure, loops: Sequence[int], table: pa.Table) -> list[Learned]:
    """Learn how loops with the same header are written.

    Parameters
    ----------
    structure : Structure
    loops : sequence of int
        Their numbers, ascending.
    table : pyarrow.Table
        The rows of all of them, one loop after the other, with all their columns.
    """
    columns = [column.combine_chunks() for column in table.itercolumns()]
    return _learn(structure, np.array(loops, np.int64), columns, _MOST_STYLES)


def _learn(structure: Structure, loops: NDArray[np.int64], columns: list[pa.Array], tries: int) -> list[Learned]:
    group = _Group(structure, loops, columns)
    rules, gaps = group.gaps()
    forms, cells = group.forms(aligned=any(rule.right for rule in rules))
    learned = group.learned(forms, cells, rules, gaps)
    counts = group.count(cells) + group.count(gaps)
    strangers = counts > np.maximum(_FEW, group.cells.rows * len(columns) // 20)
    if tries == 1 or not strangers.any() or strangers.all():
        return learned
    # Those that are written otherwise than most are learned by themselves.
    rows = pa.array(np.flatnonzero(np.repeat(strangers, group.cells.rows)))
    rest = iter(_learn(structure, loops[strangers], [column.take(rows) for column in columns], tries - 1))
    return [next(rest) if strange else each for strange, each in zip(strangers, learned, strict=True)]


class _Group:
    """Loops with the same labels, and what their rules get wrong: rows by column, and by gap."""

    def __init__(self, structure: Structure, loops: NDArray[np.int64], columns: list[pa.Array]) -> None:
        self.structure, self.loops, self.columns = structure, loops, columns
        self.cells: Cells = loop_cells(structure, loops)
        last = structure.spans[structure.loop_tags[loops] + structure.loop_width[loops] - 1]
        self.label_ends = (last >> SPAN_BITS) + (last & SPAN_MASK)
        ends = structure.text.ends[structure.file[structure.loop_container[loops]]]
        self.begins = np.empty(len(loops), np.int64)
        self.row_ends = np.empty(self.cells.n_rows, np.int64)
        self._arguments = self.cells.arguments(0)[:4]
        compare.bodies(*self._arguments, len(columns), self.label_ends, ends, self.begins, self.row_ends)
        self.first_rows = np.cumsum(self.cells.rows) - self.cells.rows

    def forms(self, *, aligned: bool) -> tuple[tuple[Form, ...], dict[int, NDArray[np.int64]]]:
        """The form of each column, and the rows that it gets wrong.

        `aligned`: whether values are aligned right, as RELION does: where a column could be of either, it is of
        RELION's form then, and else of the same number of decimals for all.
        """
        sample = self._sample()
        forms, wrong = [], {}
        usual = {c: form for c, column in enumerate(self.columns) if (form := usual_form(column.type, aligned=aligned))}
        doubtful = self._doubtful(usual)
        for c, column in enumerate(self.columns):
            if c in usual and not len(self._wrong(c, column, usual[c], doubtful[c])):
                forms.append(usual[c])
                continue
            form, rows = self._form(c, column, sample, aligned)
            forms.append(form)
            if len(rows):
                wrong[c] = rows
        return tuple(forms), wrong

    def _sample(self) -> NDArray[np.int64]:
        """Rows of the first loop that has any; spread, where it is long."""
        of = int(np.argmax(self.cells.rows > 0)) if len(self.cells.rows) else 0
        n = int(self.cells.rows[of]) if len(self.cells.rows) else 0
        return np.unique(np.linspace(0, max(n - 1, 0), min(n, _SAMPLE)).astype(np.int64)) + int(self.first_rows[of])

    def _form(
        self, c: int, column: pa.Array, sample: NDArray[np.int64], aligned: bool
    ) -> tuple[Form, NDArray[np.int64]]:
        best, fewest = Form(), np.arange(len(column))
        for _ in range(2):
            for form in guess_forms(column.take(pa.array(sample)), self.texts(c, sample), aligned=aligned):
                rows = self._wrong(c, column, form, self._doubtful({c: form})[c])
                if not len(rows):
                    return form, rows
                if len(rows) < len(fewest):
                    best, fewest = form, rows
            sample = np.union1d(sample[: _SAMPLE // 2], fewest[:: max(1, len(fewest) // (_SAMPLE // 2))])
        return best, fewest

    def _doubtful(self, forms: Mapping[int, Form]) -> dict[int, NDArray[np.int64]]:
        """By column, the rows whose text may not be what a form gives: all others are known without writing them."""
        doubtful = {c: self._doubtful_strings(c, form) for c, form in forms.items() if is_text(self.columns[c].type)}
        styles = {c: style for c, form in forms.items() if (style := number_style(self.columns[c].type, form))}
        columns, kinds, decimals = np.array([(c, *style) for c, style in styles.items()], np.int64).reshape(-1, 3).T
        arguments = *self._arguments, len(self.columns), columns.copy(), kinds.copy(), decimals.copy()
        found = _all_found(compare.doubtful, arguments)
        rows, numbers = np.divmod(found, max(len(styles), 1))
        for i, c in enumerate(styles):
            doubtful[c] = rows[numbers == i]
            if self.columns[c].null_count:
                doubtful[c] = np.union1d(doubtful[c], np.flatnonzero(np.asarray(self.columns[c].is_null())))
        return {c: doubtful[c] if c in doubtful else np.arange(self.cells.n_rows) for c in forms}

    def _doubtful_strings(self, c: int, form: Form) -> NDArray[np.int64]:
        """None where no value has quotes, nor would get any."""
        column = self.columns[c]
        is_bare = not self.cells.escapes and not compare.count_quoted(*self.cells.arguments(c))
        if is_bare and not column.null_count and stay_bare(column, form, self._firsts(c)):
            return NONE
        return np.arange(len(column))

    def _firsts(self, c: int) -> NDArray[np.int64]:
        """The rows whose value leads a loop: it may be quoted where others are not."""
        return self.first_rows[self.cells.rows > 0] if c == 0 else NONE

    def _wrong(self, c: int, column: pa.Array, form: Form, among: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows, of some, that a form does not give the text that they have."""
        if not len(among):
            return among
        # As they will be written.
        firsts = np.flatnonzero(np.isin(among, self._firsts(c)))
        texts = texts_of(column.take(pa.array(among)), form, firsts=firsts, multiline=True)
        rows = np.empty(len(among), np.int64)
        one_each = self.cells.spans_of(among, 0), np.ones(len(among), np.int64)
        n = compare.differing(
            self.cells.buffer, self.cells.spans, *one_each, self.cells.width, c, texts.data, texts.offsets, rows
        )
        return among[rows[:n]]

    def texts(self, c: int, rows: NDArray[np.int64]) -> list[bytes]:
        """The texts of some values, quotes included."""
        begins, ends = self._extents(c, rows)
        return self._cut(begins, ends)

    def _extents(self, c: int, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        cells = self.cells.spans_of(rows, 0)
        begins, ends = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        compare.extents(self.cells.buffer, self.cells.spans, cells, np.ones(len(rows), np.int64), 1, c, begins, ends)
        return begins, ends

    def _cut(self, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> list[bytes]:
        return [self._bytes(begin, end) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]

    def _bytes(self, begin: int, end: int) -> bytes:
        return self.cells.buffer[begin:end].tobytes()

    def gaps(self) -> tuple[tuple[Gap, ...], dict[int, NDArray[np.int64]]]:
        """The rule of each gap, and the rows that it gets wrong.

        The rules of the usual writers come first: they also know how values would stand that are not there yet.
        """
        for usual in usual_gaps([column.type for column in self.columns]):
            if not self._wrong_gaps(usual):
                return usual, {}
        width = len(self.columns)
        samples = [self._sample()] * (width + 1)
        rules = [self._guess(gap, samples[gap]) for gap in range(width + 1)]
        wrong = self._wrong_gaps(rules)
        for _ in range(2):
            if not wrong:
                break
            trial = list(rules)
            for gap, rows in wrong.items():
                samples[gap] = np.union1d(samples[gap], rows[:: max(1, len(rows) // _SAMPLE)])
                trial[gap] = self._guess(gap, samples[gap])
            still = self._wrong_gaps(trial)
            for gap in list(wrong):
                if len(still.get(gap, ())) < len(wrong[gap]):
                    rules[gap] = trial[gap]
            wrong = self._wrong_gaps(rules)
        return tuple(rules), wrong

    def _wrong_gaps(self, rules: Sequence[Gap]) -> dict[int, NDArray[np.int64]]:
        arguments = *self._arguments, self.begins, self.row_ends, *rules_of(rules)
        rows, gaps = np.divmod(_all_found(compare.differing_gaps, arguments), len(rules))
        return {gap: rows[gaps == gap] for gap in np.unique(gaps).tolist()}

    def _guess(self, gap: int, rows: NDArray[np.int64]) -> Gap:
        width = len(self.columns)
        fronts = np.zeros(len(rows), np.int64)
        behinds = np.zeros(len(rows), np.int64)
        begins, ends = self._gap(gap, rows)
        if gap > 0:
            front_begins, front_ends = self._extents(gap - 1, rows)
            fronts = front_ends - front_begins
        if gap < width:
            behind_begins, behind_ends = self._extents(gap, rows)
            behinds = behind_ends - behind_begins
        texts = self._cut(begins, ends)
        return guess_gap(texts, fronts, behinds, leads=gap == 0, ends=gap == width)

    def _gap(self, gap: int, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where a gap begins and ends in some rows."""
        if gap == 0:
            begins = self.row_ends[np.maximum(rows - 1, 0)]
            is_first = np.isin(rows, self.first_rows)
            begins[is_first] = self.begins[np.searchsorted(np.cumsum(self.cells.rows), rows[is_first], side="right")]
        else:
            _, begins = self._extents(gap - 1, rows)
        ends = self.row_ends[rows] if gap == len(self.columns) else self._extents(gap, rows)[0]
        return begins, ends

    def count(self, wrong: dict[int, NDArray[np.int64]]) -> NDArray[np.int64]:
        """How many departures each loop has."""
        rows = np.concatenate([*wrong.values(), np.empty(0, np.int64)])
        owner = np.searchsorted(np.cumsum(self.cells.rows), rows, side="right")
        return np.bincount(owner, minlength=len(self.cells.rows))

    def learned(
        self,
        forms: tuple[Form, ...],
        cells: dict[int, NDArray[np.int64]],
        rules: tuple[Gap, ...],
        gaps: dict[int, NDArray[np.int64]],
    ) -> list[Learned]:
        """What was learned of each loop."""
        lasts = np.append(self.row_ends, 0)[np.maximum(self.first_rows + self.cells.rows - 1, 0)]
        ends = np.where(self.cells.rows > 0, lasts, self.begins)
        tags = (self.structure.spans[self.structure.loop_tags[self.loops]] >> SPAN_BITS) - 1
        styles: dict[bytes, LoopStyle] = {}
        cell_texts = {c: self.texts(c, rows) for c, rows in cells.items()}
        gap_texts = {gap: self._gap_texts(gap, rows) for gap, rows in gaps.items()}
        nothing = Departures()
        places = (self.loops, tags, self.begins, ends, self.first_rows, self.cells.rows)
        learned = []
        for loop, tag, begin, end, first, n in zip(*(each.tolist() for each in places), strict=True):
            header = self._bytes(tag, begin)
            if header not in styles:
                styles[header] = LoopStyle(*self._labels(loop, begin), forms, rules)
            departures = nothing
            if cells or gaps:
                own = range(first, first + n)
                departures = Departures(_within(own, cells, cell_texts), _within(own, gaps, gap_texts))
            learned.append(Learned(styles[header], departures, begin, end, n))
        return learned

    def _labels(self, loop: int, begin: int) -> tuple[tuple[str, ...], Header]:
        """The labels of a loop, and what stands behind each up to the next, or to where the rows begin."""
        structure, first = self.structure, int(self.structure.loop_tags[loop])
        spans = range(first, first + int(structure.loop_width[loop]))
        ends = [structure.start(span) + (int(structure.spans[span]) & SPAN_MASK) for span in spans]
        nexts = [*(structure.start(span) - 1 for span in spans[1:]), begin]
        behind = [structure.text.cut(end, after) for end, after in zip(ends, nexts, strict=True)]
        return tuple(structure.labels(loop)), learn_header(behind)

    def _gap_texts(self, gap: int, rows: NDArray[np.int64]) -> list[bytes]:
        begins, ends = self._gap(gap, rows)
        return self._cut(begins, ends)


def _all_found(kernel: Callable[..., int], arguments: Sequence[Any]) -> NDArray[np.int64]:
    """What a kernel finds that fills its last argument with as much as that holds, and says how much there is."""
    found = np.empty(1024, np.int64)
    n = kernel(*arguments, found)
    if n > len(found):
        found = np.empty(n, np.int64)
        kernel(*arguments, found)
    return found[:n]


def _within(own: range, wrong: dict[int, NDArray[np.int64]], texts: dict[int, list[bytes]]) -> dict[int, Exceptions]:
    """The departures of the loop that has some of the rows."""
    found = {}
    for i, rows in wrong.items():
        first, last = np.searchsorted(rows, [own.start, own.stop]).tolist()
        if first < last:
            found[i] = Exceptions(rows[first:last] - own.start, tuple(text.decode() for text in texts[i][first:last]))
    return found
