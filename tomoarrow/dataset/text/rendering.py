"""A dataset as the text of the STAR files that it came from, changed where its tables were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import DatasetError, Place
from ...relion.labels import LABELS
from ...relion.series import text_of_series
from ...relion.tomogram_set import NAME, SERIES_FILE, text_of_global
from ...star.columns import evidence_for
from ...star.convention import check_labels, check_name
from ...star.files import Leaf, render_leaves, render_tables
from ...star.guess import is_text
from ...star.reread import equal_values
from ...star.tables import Options
from ...star.texts import FileText
from ..layout import TILT_INDEX
from ..reading.stored import Stored, integers, open_table, rows_by_name
from ..stores.urls import Remote
from ..tables.texts import KeptText
from ..versions.snapshot import Snapshot

#: Tilt series are rendered so many rows at a time.
_ROWS_AT_A_TIME = 1 << 16


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text of one file.

    Attributes
    ----------
    path : str
        Its path as the project has it.
    data : bytes
    tables : dict
        The values in it: ``tilts``, or those of the global file.
    tomogram : str or None
        The tomogram whose tilts they are.
    """

    path: str
    data: bytes
    tables: dict[str, pa.Table]
    tomogram: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are to be rendered.

    Attributes
    ----------
    tomograms : frozenset of str or None
        Names; None for all.
    tilts : bool[rows of tilts] or None
        None for all.
    """

    tomograms: frozenset[str] | None = None
    tilts: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be rendered.

    Attributes
    ----------
    tilts : Stored
    tomograms : pyarrow.Table
        The rows of the global table that are left, with its labels.
    tilt_counts : int64[tomograms]
        How many tilts each had when it was converted; -1 where that is not known.
    gone : frozenset of str
        The names of tomograms that are not left.
    removed : frozenset of str
        Those of them that are not in the table tomograms any more.
    optics : pyarrow.Table or None
    order : int64[tilts]
        The rows of tilts, tomogram after tomogram as these stand in the global table.
    counts : int64[tomograms]
        How many of them belong to each.
    index : int64[tilts]
        For each of them the row of its file that it was.
    texts : list of KeptText
    dropped : tuple of str
        Tomograms that are left out because no tilt of theirs is left.
    stray : int
        Tilts that are left out because their tomogram is not there.
    differing : dict
        For labels of the global table how many tilts have another value than their tomogram has: it counts.
    """

    tilts: Stored
    tomograms: pa.Table
    tilt_counts: NDArray[np.int64]
    gone: frozenset[str]
    removed: frozenset[str]
    optics: pa.Table | None
    order: NDArray[np.int64]
    counts: NDArray[np.int64]
    index: NDArray[np.int64]
    texts: list[KeptText]
    dropped: tuple[str, ...]
    stray: int
    differing: dict[str, int]


def plan(snapshot: Snapshot, texts: list[KeptText], selection: Selection) -> Plan:
    """Find out which rows make which files, given what is kept of the text of the files of a tomogram set.

    Raises
    ------
    DatasetError
        The folder is no dataset of a tomogram set, or is damaged.
    """
    tilts = open_table(snapshot, "tilts")
    table, tilt_counts = _tomograms(snapshot, is_one_file=_is_one_file(texts))
    had_tilts = tilt_counts != 0
    names = table.column(NAME).to_pylist()
    keys = tilts.read([NAME, TILT_INDEX])
    _check_keys(keys, tilts.folder)
    owner = rows_by_name(keys.column(NAME), names)
    stray = int(np.count_nonzero(owner < 0))
    if selection.tilts is not None:
        owner[~selection.tilts] = -1
    left = np.bincount(owner[owner >= 0], minlength=len(names)) > 0
    chosen = np.ones(len(names), bool)
    if selection.tomograms is not None:
        chosen = np.array([name in selection.tomograms for name in names], bool)
    kept = chosen & (left | ~had_tilts if selection.tilts is None else left)
    dropped = tuple(name for name, lost in zip(names, chosen & ~kept, strict=True) if lost)
    owner[owner >= 0] = np.where(kept, np.cumsum(kept) - 1, -1)[owner[owner >= 0]]
    index = _index(keys.column(TILT_INDEX), tilts.folder)
    order = np.lexsort((index, owner))
    order = order[np.searchsorted(owner[order], 0) :]
    counts = np.bincount(owner[order], minlength=int(kept.sum())).astype(np.int64)
    left_over = table.filter(pa.array(kept))
    differing = _differing(tilts, left_over, order, counts) if tilts.is_changed else {}
    removed = frozenset(text.tomogram for text in texts if text.tomogram is not None).difference(names)
    return Plan(
        tilts=tilts,
        tomograms=left_over,
        tilt_counts=tilt_counts[kept],
        gone=removed.union(name for name, is_kept in zip(names, kept, strict=True) if not is_kept),
        removed=removed,
        optics=_optics(snapshot, texts),
        order=order,
        counts=counts,
        index=index[order],
        texts=texts,
        dropped=dropped,
        stray=stray,
        differing=differing,
    )


def _optics(snapshot: Snapshot, texts: Sequence[KeptText]) -> pa.Table | None:
    """The optics table of the global file, if it has one."""
    name = next((name for text in texts for name in text.tables if name not in ("tilts", "tomograms")), None)
    if name is None:
        return None
    stored = open_table(snapshot, name)
    labels = stored.labels(name)
    check_new_labels(stored, name)
    return stored.read(list(labels)).rename_columns(list(labels.values()))


def _is_one_file(texts: Sequence[KeptText]) -> bool:
    """Whether the tilt series are parts of the global file, as RELION 4 has them."""
    return len({text.file for text in texts}) == 1 and not any(SERIES_FILE in _labels_of(text) for text in texts)


def _labels_of(kept: KeptText) -> set[str]:
    """The labels of a file's loops; of one that is kept as text, no more than whether it says so."""
    if kept.text.raw:
        return {SERIES_FILE} if SERIES_FILE in kept.text.raw else set()
    return {*kept.text.style.labels}


def _differing(
    tilts: Stored, tomograms: pa.Table, order: NDArray[np.int64], counts: NDArray[np.int64]
) -> dict[str, int]:
    """For labels of the global table how many tilts have another value than their tomogram."""
    found = {}
    rows = pa.array(np.repeat(np.arange(tomograms.num_rows), counts))
    for column, label in tilts.labels("global").items():
        # Where the file goes, only the table tomograms says.
        if column in tilts.origins and label not in (NAME, SERIES_FILE) and label in tomograms.column_names:
            copy = _take(tilts, [column], order).column(0).combine_chunks()
            true = tomograms.column(label).combine_chunks().take(rows)
            n = count_unlike(copy, true)
            if n:
                found[label] = n
    return found


def count_unlike(copy: pa.Array, true: pa.Array) -> int:
    """How many values of a copy are not what they should be, whatever type other tools gave it."""
    try:
        return int(np.count_nonzero(~equal_values(copy.cast(true.type), true)))
    except pa.ArrowException:
        return len(true)


def _tomograms(snapshot: Snapshot, *, is_one_file: bool) -> tuple[pa.Table, NDArray[np.int64]]:
    """The global table with its labels, and how many tilts tomograms had when they were converted."""
    stored = open_table(snapshot, "tomograms")
    labels = stored.labels("global")
    for needed in (NAME,) if is_one_file else (NAME, SERIES_FILE):
        if needed not in labels.values():
            raise DatasetError(f"the table tomograms has no column {needed}", place=Place(str(stored.folder)))
    check_new_labels(stored, "global")
    table = stored.read(list(labels)).rename_columns(list(labels.values()))
    for label in (NAME, SERIES_FILE):
        if label in table.column_names and not is_text(table.column(label).type):
            problem = f"{label} is {table.column(label).type}"
            raise DatasetError(problem, place=Place(str(stored.folder)), expected="text")
    _check_names(table.column(NAME).to_pylist(), stored.folder)
    count = next((column for column, origin in stored.origins.items() if origin == "count"), None)
    if count is None or count not in stored.columns:
        return table, np.full(table.num_rows, -1, np.int64)
    counts = integers(stored.read([count]).column(0), count, stored.folder)
    return table, np.asarray(counts.fill_null(0).to_numpy(), np.int64)


def check_new_labels(stored: Stored, origin: str) -> None:
    """Refuse labels of columns that were added, where they would not read back; and labels that repeat."""
    labels = stored.labels(origin)
    check_labels([label for column, label in labels.items() if column not in stored.origins], origin)
    repeated = [label for label, count in Counter(labels.values()).items() if count > 1]
    if repeated:
        raise DatasetError(f"columns of the same label: {', '.join(repeated)}", place=Place(str(stored.folder)))


def _check_names(names: Sequence[str | None], folder: Path | Remote) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1 or name is None]
    if repeated:
        raise DatasetError(
            f"tomograms that stand twice or have no name: {', '.join(map(str, repeated[:10]))}",
            place=Place(str(folder), label=NAME),
            expected="each rlnTomoName once",
            remedy="remove or rename the rows that repeat",
        )


def _index(column: pa.ChunkedArray, folder: Path | Remote) -> NDArray[np.int64]:
    """The row of its file that each tilt was; new ones come last."""
    return np.asarray(integers(column, TILT_INDEX, folder).fill_null(np.iinfo(np.int64).max).to_numpy(), np.int64)


def _check_keys(keys: pa.Table, folder: Path | Remote) -> None:
    for needed in (NAME, TILT_INDEX):
        if needed not in keys.column_names:
            raise DatasetError(
                f"the table tilts has no column {needed}",
                place=Place(str(folder)),
                remedy="write it with that column: it says to which tomogram and row of its file a tilt belongs",
            )


def render(plan: Plan) -> Iterator[Rendered]:
    """The files, the global one last; where it holds the tilt series too, it is the only one."""
    kept = next(text for text in plan.texts if text.tomogram is None)
    if not _is_one_file(plan.texts):
        yield from _render_series(plan)
        yield _render_global(plan, kept)
        return
    head = _render_global(plan, kept, has_series=True)
    series = {str(each.tomogram): each for each in _render_series(plan)}
    # As they stood in the file; new ones come last.
    names = dict.fromkeys([text.tomogram for text in plan.texts if text.tomogram in series] + list(series))
    data = b"".join([head.data, *(series[str(name)].data for name in names)])
    order = [name for name in plan.tomograms.column(NAME).to_pylist() if name in series]
    tilts = [series[name].tables["tilts"] for name in order] or [pa.table({})]
    yield Rendered(kept.file, data, head.tables | {"tilts": pa.concat_tables(tilts, promote_options="permissive")})


def _render_global(plan: Plan, kept: KeptText, *, has_series: bool = False) -> Rendered:
    """The global file."""
    given = [plan.tomograms if name == "tomograms" else plan.optics for name in kept.tables]
    there = [table if table is not None else pa.table({}) for table in given]
    at = {name: i for i, name in enumerate(kept.names)}
    own = np.array([at.get(name, -1) for name in plan.tomograms.column(NAME).to_pylist()], np.int64)
    rows = [
        own if name == "tomograms" else np.arange(table.num_rows)
        for name, table in zip(kept.tables, there, strict=True)
    ]
    text = kept.text
    if text.raw:
        text = text_of_global(text.raw.encode(), Options(LABELS, {}, "null"), has_series=has_series)
    data = render_tables(text, there, rows, LABELS)
    return Rendered(kept.file, data, dict(zip(kept.tables, there, strict=True)))


def _render_series(plan: Plan) -> Iterator[Rendered]:
    """The tilt-series files, some thousand rows at a time."""
    labels = plan.tilts.labels("tilt_series")
    check_new_labels(plan.tilts, "tilt_series")
    if not labels and plan.counts.any():
        raise DatasetError("no label of the tilt series is left", place=Place(str(plan.tilts.folder)))
    texts = {kept.tomogram: kept for kept in plan.texts if kept.tomogram is not None}
    by_path = {kept.file: kept for kept in plan.texts if kept.tomogram is not None}
    names = plan.tomograms.column(NAME).to_pylist()
    file = plan.texts[0].file
    is_one_file = _is_one_file(plan.texts)
    paths = [file] * len(names) if is_one_file else plan.tomograms.column(SERIES_FILE).to_pylist()
    ends = np.cumsum(plan.counts)
    first = 0
    while first < len(names):
        begin = int(ends[first] - plan.counts[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + _ROWS_AT_A_TIME, side="right")))
        own = slice(begin, int(ends[last - 1]))
        table = _take(plan.tilts, list(labels), plan.order[own]).rename_columns(list(labels.values()))
        leaves = []
        for t in range(first, last):
            # A tomogram that was renamed keeps its file.
            kept = texts.get(names[t]) or (None if is_one_file else by_path.get(paths[t]))
            if names[t] not in texts and (kept is not None or plan.counts[t]):
                check_name(names[t])
            index = plan.index[ends[t] - plan.counts[t] : ends[t]]
            leaves.append(Leaf(names[t], _full(kept, table.schema) if kept else None, index))
        known = plan.tilts.origins
        new = {label for column, label in labels.items() if column not in known}
        for t, data, rows in render_part(leaves, table, new):
            yield Rendered(paths[first + t], data, {"tilts": rows}, names[first + t])
        first = last


def render_part(leaves: Sequence[Leaf], table: pa.Table, new: set[str]) -> Iterator[tuple[int, bytes, pa.Table]]:
    """The text of files with one table each, given their rows; not of those that never were and have no rows.

    `new`: labels that no file had. Each text comes with the number of its file and its rows.
    """
    sizes = np.array([len(leaf.rows) for leaf in leaves], np.int64)
    owner = np.repeat(np.arange(len(leaves)), sizes)
    filled = {label: _filled(table.column(label), owner, len(leaves)) for label in table.column_names}
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, leaf in enumerate(leaves):
        if leaf.text is None and not sizes[i]:
            continue
        loops = leaf.text.style.loops if leaf.text else []
        had = loops[0].style.labels if loops else ()
        more = [label for label in table.column_names if label not in had and (label in new or filled[label][i])]
        groups.setdefault((*(label for label in had if label in filled), *more), []).append(i)
    for labels, members in groups.items():
        rows = np.flatnonzero(np.isin(owner, members))
        part = table.select(list(labels))
        part = part if len(rows) == table.num_rows else part.take(pa.array(rows))
        begin = 0
        for i, data in zip(members, render_leaves([leaves[i] for i in members], part, LABELS), strict=True):
            yield i, data, part.slice(begin, sizes[i])
            begin += sizes[i]


def _filled(column: pa.ChunkedArray, owner: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """For each tomogram whether any of its values is not null."""
    if not column.null_count:
        return np.bincount(owner, minlength=n) > 0
    there = column.is_valid().combine_chunks().to_numpy(zero_copy_only=False)
    return np.bincount(owner[there], minlength=n) > 0


def _full(kept: KeptText, schema: pa.Schema) -> FileText:
    """The text of a file with its style, also where only its bytes were kept."""
    if not kept.text.raw:
        return kept.text
    evidence = {field.name: evidence_for(field.type) for field in schema}
    return text_of_series(kept.text.raw.encode(), kept.tomogram or "", Options(LABELS, evidence, "null"))


def _take(stored: Stored, columns: Sequence[str], rows: NDArray[np.int64]) -> pa.Table:
    """Some rows of a table, in an order."""
    if not len(rows):
        return stored.read(columns, 0, 0)
    begin, end = int(rows.min()), int(rows.max()) + 1
    table = stored.read(columns, begin, end)
    if end - begin == len(rows) and (np.diff(rows) == 1).all():
        return table
    return table.take(pa.array(rows - begin))
