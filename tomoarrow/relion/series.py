"""Tilt series: a table with a row a tilt image for each tomogram, read many at a time.

RELION 5 keeps each in a file of its own, whose block has the name of the tomogram
(``src/jaz/tomography/tomogram_set.cpp``: TomogramSet::read); RELION 4 keeps all in the global file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from ..errors import Place, SchemaError, TomoarrowError
from ..star.buffers import Text
from ..star.faults import Notice
from ..star.learn import learn_loops
from ..star.source import lay_out, read_slab
from ..star.stack import Stack, group_loops, read_stack, stack_evidence
from ..star.structure import Structure, analyse
from ..star.tables import Findings, Options, read_loop
from ..star.texts import FileText, FileTexts
from .kinds import other_than_tilts
from .tomogram_set import MOST_HELD


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """A tilt-series file, or the part of a file that is one.

    Attributes
    ----------
    tomogram : str
    path : str
        What the global table calls it.
    file : str
        Where it is. (A plain string: objects of pathlib cost more than reading a small file.)
    part : bytes-like or None
        Its text, where it is a part of the file, or is held already.
    first_line : int
        The number of the first line of that part.
    """

    tomogram: str
    path: str
    file: str
    part: memoryview | None = None
    first_line: int = 1


def read_series(files: Sequence[SeriesFile], options: Options, found: Findings, *, digests: bool = False) -> Stack:
    """Read tilt-series files as one slab: a row a tilt image, tomogram after tomogram.

    Parameters
    ----------
    files : sequence of SeriesFile
    options : Options
    found : Findings
        Notices, rejects and errors are added. The rows of a file with an error are left out.
    digests : bool
        Whether the SHA-256 of each file is wanted, too.
    """
    slab = _read_slab(files, found)
    names = [file.tomogram for file in files]
    series, file_texts = read_stack(slab.structure, slab.structure, slab.groups, names, options, found)
    for f in slab.without_loop:
        series.texts[f] = file_texts.without_loop(f, names[f])
    if digests:
        series = replace(series, digests=tuple(slab.structure.text.digest(f) for f in range(len(files))))
    return series


def series_evidence(files: Sequence[SeriesFile], options: Options, found: Findings) -> dict[str, int]:
    """What tilt-series files hold that the types of their columns depend on, by label, in the order of appearance.

    See `tomoarrow.star.columns.gather_evidence`. Errors are added to `found`.
    """
    slab = _read_slab(files, found)
    return stack_evidence(slab.structure, slab.groups, options)


def text_of_series(data: bytes, tomogram: str, options: Options) -> FileText:
    """How a tilt-series file is written, given its bytes; never the bytes themselves."""
    text, _ = lay_out([(tomogram, data)])
    file = SeriesFile(tomogram, tomogram, tomogram)
    slab = _Slab([file], text, [], Findings())
    ((loop,),) = slab.groups.values()
    table = read_loop(slab.structure, loop, options, None, Findings())
    (learned,) = learn_loops(slab.structure, [loop], table)
    return FileTexts(slab.structure).of_loop(0, tomogram, loop, learned, whole=False)


def _read_slab(files: Sequence[SeriesFile], found: Findings) -> _Slab:
    parts = [(file.path, bytes(file.part)) for file in files if file.part is not None]
    if parts:
        text, errors = lay_out(parts, MOST_HELD)
        text = replace(text, first_lines=tuple(file.first_line for file in files))
    else:
        text, errors = read_slab([file.file for file in files], [file.path for file in files], MOST_HELD)
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
        names = [file.tomogram for file in files]
        loops = np.array(self._loops_of(names, faulty), np.int64)
        groups = group_loops(self.structure, loops, found)
        series = {labels: self._series_of(labels, own, names) for labels, own in groups.items()}
        self.groups = {labels: own for labels, own in series.items() if own}

    def _series_of(self, labels: Sequence[str], loops: Sequence[int], names: Sequence[str]) -> Sequence[int]:
        """Those of some loops of the same labels that are tilt series: a set may name itself as one, or its particles.

        In a block that has the name of its tomogram a loop is one, whatever its labels.
        """
        kind = other_than_tilts(labels)
        if kind is None:
            return loops
        structure = self.structure
        containers = structure.loop_container[np.array(loops)].tolist()
        is_series = [structure.name(each) == names[int(structure.file[each])] for each in containers]
        self._found.errors += [
            SchemaError(
                f"the file of a tilt series is a {kind}",
                place=structure.place_of_heading(container),
                expected="a loop with a row a tilt image",
                remedy="check which file the global table names for this tomogram",
            )
            for container, is_own in zip(containers, is_series, strict=True)
            if not is_own
        ]
        return list(compress(loops, is_series))

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
                message = f"{len(containers) - 1} blocks beside that of the tomogram, which are not read"
                place = Place(structure.text.names[f], block=name)
                self._found.notices.append(Notice("other-blocks", message, place, len(containers) - 1))
            return named[0]
        if len(containers) == 1 and not named:
            only = containers[0]
            message = f"the block does not have the name of its tomogram, {name!r}: RELION would not find it"
            self._found.notices.append(Notice("block-name", message, structure.place_of_heading(only)))
            return only
        there = ", ".join(f"data_{structure.name(c)}" for c in containers) or "none"
        self._found.errors.append(
            SchemaError(
                f"{len(named) or 'no'} blocks have the name of the tomogram, {name!r}",
                place=Place(structure.text.names[f]),
                expected=f"one block data_{name}; there is: {there}",
                remedy="check which file the global table names for this tomogram",
            )
        )
        return None
