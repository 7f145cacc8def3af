"""What it takes, besides its values, to write a STAR file: what stands around them, and how they become text.

A file is a sequence of blocks, a block a sequence of items: literal text, pairs, and loops. Of a loop all that is not
a value is a header and, between the values of each row, gaps. What follows no rule, in a loop that was read, is kept
as `Departures`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..kernels import rows as kernels
from ..kernels.memory import SLACK
from .forms import Form, Kind, Quoting, Texts, pack

#: What stands behind a label where it is nothing but its number.
_REGULAR = re.compile(r"[ \t]*(#\{n\})?[ \t]*\r?\n[ \t]*")


#: More digits than the kernels write, and wider gaps than any writer's, are no style.
_MOST_DIGITS, _WIDEST = 17, 1 << 20


@dataclass(frozen=True, slots=True)
class Gap:
    """What stands between two values of a row, before the first, or behind the last.

    Blanks first: at least `least`, and as many as fill `fill` bytes less the length of the value in front where that
    is aligned left, and of the value behind where that is aligned right. Then `text`.
    """

    text: str = ""
    least: int = 0
    fill: int = 0
    left: bool = False
    right: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """What stands behind each label of a loop, with ``{n}`` for its number; the last one may have its own.

    `each` is empty, or has what stands behind each of the labels where that follows no rule.
    """

    behind: str = " #{n} \n"
    last: str | None = None
    each: tuple[str, ...] = ()

    def behind_each(self, n_labels: int) -> tuple[str, ...]:
        """What stands behind each of so many labels."""
        if len(self.each) == n_labels:
            return self.each
        behind = [self.behind.replace("{n}", str(n)) for n in range(1, n_labels + 1)]
        if self.last is not None and behind:
            behind[-1] = self.last.replace("{n}", str(n_labels))
        return tuple(behind)

    def text(self, labels: Sequence[str]) -> str:
        """The lines of labels, from the first underscore to where the rows begin."""
        return "".join(f"_{label}{text}" for label, text in zip(labels, self.behind_each(len(labels)), strict=True))

    def adapted(self, known: Sequence[int | None], n_labels: int) -> Header:
        """The header for other labels: which of the old ones each is, if any, and how many there were."""
        before = self.behind_each(n_labels)
        usual = self.behind if _REGULAR.fullmatch(self.behind) else " #{n}\n"
        each = []
        for n, mine in enumerate(known, 1):
            if mine is None:
                each.append(usual.replace("{n}", str(n)))
            else:
                each.append(re.sub(rf"^(\s*#){mine + 1}(?!\d)", rf"\g<1>{n}", before[mine]))
        if each and "\n" not in each[-1]:
            each[-1] += "\n"
        return Header(self.behind, self.last, tuple(each))


@dataclass(frozen=True, slots=True)
class LoopStyle:
    """How a loop is written.

    Attributes
    ----------
    labels : tuple of str
    header : Header
    forms : tuple of Form
        For each column.
    gaps : tuple of Gap
        For each column what stands before its value, and what ends the row.
    """

    labels: tuple[str, ...]
    header: Header
    forms: tuple[Form, ...]
    gaps: tuple[Gap, ...]

    def adapted(self, other: LoopStyle) -> LoopStyle:
        """The style for a table with other columns: those that it does not know are written as in another style."""
        if other.labels == self.labels:
            return self
        at = {label: i for i, label in enumerate(self.labels)}
        known = [at.get(label) for label in other.labels]
        forms = tuple(other.forms[i] if mine is None else self.forms[mine] for i, mine in enumerate(known))
        usual = Counter(self.gaps[1:-1] or other.gaps[1:-1] or (Gap(" "),)).most_common(1)[0][0]
        gaps = [self._gap(mine, usual if usual.text else other.gaps[i], i) for i, mine in enumerate(known)]
        header = self.header.adapted(known, len(self.labels))
        return LoopStyle(other.labels, header, forms, (*gaps, self.gaps[-1]))

    def _gap(self, mine: int | None, otherwise: Gap, position: int) -> Gap:
        """The gap of a column that has moved to a position."""
        lead = self.gaps[0]
        if mine is not None and (mine == 0) == (position == 0):
            return self.gaps[mine]
        gap = otherwise if mine is None else self.gaps[mine]
        if lead.right and gap.right and not gap.text:
            # One blank stands between columns, and none before the first.
            is_inner = mine is None or mine > 0
            return replace(gap, least=int(position > 0), fill=gap.fill + (position > 0) - is_inner)
        return lead if position == 0 else otherwise


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Texts that follow no rule, and the rows they stand in, ascending: int64[n]."""

    rows: NDArray[np.int64]
    texts: tuple[str, ...]

    def packed(self) -> Texts:
        return pack([text.encode() for text in self.texts])

    @property
    def pairs(self) -> list[tuple[int, str]]:
        """Rows and texts."""
        return list(zip(self.rows.tolist(), self.texts, strict=True))

    def moved(self, positions: Mapping[int, int]) -> Exceptions:
        """The exceptions of rows that have moved."""
        return Exceptions.of([(positions[row], text) for row, text in self.pairs if row in positions])

    @staticmethod
    def of(found: Sequence[tuple[int, str]]) -> Exceptions:
        """Exceptions from rows and texts."""
        ordered = sorted(found)
        return Exceptions(np.array([row for row, _ in ordered], np.int64), tuple(text for _, text in ordered))


@dataclass(frozen=True, slots=True)
class Departures:
    """Where a loop departs from its style: by column the texts of values, by gap what stands there."""

    cells: dict[int, Exceptions] = field(default_factory=dict)
    gaps: dict[int, Exceptions] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.cells or self.gaps)

    def without_comments(self) -> Departures:
        """The departures without comments: for rows of which nobody knows which they were."""
        gaps = {
            gap: Exceptions.of([(row, text) for row, text in each.pairs if "#" not in text])
            for gap, each in self.gaps.items()
        }
        return Departures(self.cells, gaps)

    def moved(self, rows: NDArray[np.int64], tail: int) -> Departures:
        """The departures of rows that have moved.

        Parameters
        ----------
        rows : int64[n]
            The row that each row of the table was; others, such as -1, for those that are new.
        tail : int
            The gap that ends a row. Where that is no end of a line, it stays only before the row that followed, or
            at the end: else two rows would run into each other.
        """
        if not self:
            return self
        positions = {row: i for i, row in enumerate(rows.tolist())}
        cells = {c: each.moved(positions) for c, each in self.cells.items()}
        gaps = {gap: each.moved(positions) for gap, each in self.gaps.items() if gap != tail}
        if tail in self.gaps:
            kept = [
                (positions[row], text)
                for row, text in self.gaps[tail].pairs
                if row in positions and ("\n" in text or positions[row] + 1 == positions.get(row + 1, len(rows)))
            ]
            gaps[tail] = Exceptions.of(kept)
        return Departures(cells, gaps)

    def adapted(self, before: Sequence[str], after: Sequence[str]) -> Departures:
        """The departures for a table with other columns."""
        if before == after:
            return self
        at = {label: i for i, label in enumerate(after)}
        cells = {at[before[c]]: each for c, each in self.cells.items() if before[c] in at}
        gaps = {at[before[gap]]: each for gap, each in self.gaps.items() if gap < len(before) and before[gap] in at}
        if len(before) in self.gaps:
            gaps[len(after)] = self.gaps[len(before)]
        return Departures(cells, gaps)


@dataclass(frozen=True, slots=True)
class Pair:
    """A label with its value: what stands between them, the value's text with quotes, and the end of the line."""

    label: str
    gap: str
    text: str
    end: str = "\n"

    @property
    def line(self) -> str:
        """The whole line."""
        return f"_{self.label}{self.gap}{self.text}{self.end}"


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop: its keyword with what stands behind it, its style, what departs from that, and how many rows it had."""

    keyword: str
    style: LoopStyle
    departures: Departures
    rows: int = 0


@dataclass(frozen=True, slots=True)
class BlockStyle:
    """A block: what stands before its name, keyword included; its name; and its items, strings being literal."""

    front: str
    name: str
    items: tuple[str | Pair | Loop, ...]


@dataclass(frozen=True, slots=True)
class FileStyle:
    """How a file is written.

    Attributes
    ----------
    blocks : tuple of BlockStyle
        What departs from them is not in them, so that files of one writer have one style.
    """

    blocks: tuple[BlockStyle, ...]

    @property
    def loops(self) -> list[Loop]:
        """The loops, in order."""
        return [item for block in self.blocks for item in block.items if isinstance(item, Loop)]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the loops, in order."""
        return tuple(label for loop in self.loops for label in loop.style.labels)


def joined(parts: Sequence[tuple[int, Departures]]) -> Departures:
    """The departures of tables that are written as one, given the row at which each begins, ascending."""
    cells: dict[int, list[tuple[int, Exceptions]]] = {}
    gaps: dict[int, list[tuple[int, Exceptions]]] = {}
    for begin, part in parts:
        for found, kept in ((part.cells, cells), (part.gaps, gaps)):
            for i, each in found.items():
                kept.setdefault(i, []).append((begin, each))
    return Departures(*({i: _joined(each) for i, each in kept.items()} for kept in (cells, gaps)))


def _joined(parts: Sequence[tuple[int, Exceptions]]) -> Exceptions:
    rows = np.concatenate([each.rows + begin for begin, each in parts])
    return Exceptions(rows, tuple(text for _, each in parts for text in each.texts))


def put_rows(
    columns: Sequence[Texts], gaps: Sequence[Gap], departing: Mapping[int, Exceptions], n_rows: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Write rows: the bytes, and where each row ends.

    Parameters
    ----------
    columns : sequence of Texts
    gaps : sequence of Gap
        One more than columns.
    departing : mapping
        By gap, the rows where something else stands.
    n_rows : int
    """
    rules, text = rules_of(gaps)
    addresses = np.array([column.data.ctypes.data for column in columns], np.int64)
    offsets = np.concatenate([column.offsets for column in columns])
    numbers = [each.rows * len(gaps) + gap for gap, each in departing.items()]
    order = np.argsort(np.concatenate(numbers)) if numbers else np.empty(0, np.int64)
    texts = [text.encode() for each in departing.values() for text in each.texts]
    others = pack([texts[i] for i in order.tolist()])
    in_order = np.concatenate(numbers)[order] if numbers else order
    most = sum(max(gap.least, gap.fill) + len(gap.text.encode()) for gap in gaps)
    text_size = sum(column.size for column in columns)
    out = np.empty(text_size + n_rows * most + others.size + SLACK, np.uint8)
    row_ends = np.empty(n_rows, np.int64)
    departing_gaps = in_order, others.data, others.offsets
    size = kernels.put_rows(addresses, offsets, n_rows, rules, text, *departing_gaps, out, row_ends)
    return out[:size], row_ends


def rules_of(gaps: Sequence[Gap]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Gaps as `tomoarrow.kernels.rows` takes them."""
    texts = pack([gap.text.encode() for gap in gaps])
    rules = np.empty((len(gaps), 6), np.int64)
    for i, gap in enumerate(gaps):
        rules[i] = gap.least, gap.fill, gap.left, gap.right, texts.offsets[i], texts.offsets[i + 1]
    return rules.ravel(), texts.data


def to_plain(style: LoopStyle) -> dict[str, Any]:
    """A style as plain values, for JSON; defaults are left out."""
    return {
        "labels": list(style.labels),
        "header": _sparse(style.header),
        "forms": [_sparse(form) for form in style.forms],
        "gaps": [_sparse(gap) for gap in style.gaps],
    }


def from_plain(plain: Mapping[str, Any]) -> LoopStyle:
    """The style that `to_plain` made plain.

    Raises
    ------
    ValueError, KeyError, TypeError
        It is none. All is looked at: kernels trust it.
    """
    header = dict(plain["header"])
    header["each"] = tuple(header.get("each", ()))
    style = LoopStyle(
        tuple(plain["labels"]),
        Header(**header),
        tuple(Form(**form) for form in plain["forms"]),
        tuple(Gap(**gap) for gap in plain["gaps"]),
    )
    if not len(style.labels) == len(style.forms) == len(style.gaps) - 1:
        raise ValueError("labels, forms and gaps do not match")
    for form in style.forms:
        if form.kind not in get_args(Kind) or form.quoting not in get_args(Quoting) or form.mark not in ("'", '"'):
            raise ValueError(f"no form: {form}")
        if not 0 <= form.precision <= _MOST_DIGITS:
            raise ValueError(f"no precision: {form.precision}")
    for gap in style.gaps:
        if not 0 <= gap.least <= _WIDEST or not 0 <= gap.fill <= _WIDEST or not isinstance(gap.text, str):
            raise ValueError(f"no gap: {gap}")
    return style


def _sparse(thing: Any) -> dict[str, Any]:
    values = ((each, getattr(thing, each.name)) for each in fields(thing))
    return {each.name: value for each, value in values if value != each.default}


def departures_to_plain(departures: Departures) -> dict[str, Any]:
    """Departures as plain values, for JSON."""
    return {
        kind: {str(i): [each.rows.tolist(), list(each.texts)] for i, each in found.items()}
        for kind, found in (("cells", departures.cells), ("gaps", departures.gaps))
        if found
    }


def departures_from_plain(plain: Mapping[str, Any]) -> Departures:
    """The departures that `departures_to_plain` made plain."""
    found = [
        {int(i): Exceptions(np.array(rows, np.int64), tuple(texts)) for i, (rows, texts) in plain.get(kind, {}).items()}
        for kind in ("cells", "gaps")
    ]
    departures = Departures(*found)
    for each in (*departures.cells.values(), *departures.gaps.values()):
        if len(each.rows) != len(each.texts) or (np.diff(each.rows) <= 0).any() or (each.rows < 0).any():
            raise ValueError("rows and texts do not match")
    return departures
