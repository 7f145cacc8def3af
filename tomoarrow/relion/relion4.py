"""A tomogram set of RELION 4, as WarpTools writes it too: the global table and all tilt series in one file.

A block ``data_global`` comes first, then one block for each tomogram, named as it
(``src/jaz/tomography/tomogram_set.cpp``: TomogramSet::read).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import Place, SchemaError
from ..star.buffers import Text
from ..star.columns import read_strings
from ..star.stack import block_begins
from ..star.structure import Structure, analyse
from ..star.tables import loop_cells
from .series import SeriesFile
from .tomogram_set import NAME


@dataclass(frozen=True, slots=True)
class Relion4Set:
    """The parts of a file.

    Attributes
    ----------
    head : bytes
        All that stands before the first tilt series: the global table, and the optics table of some.
    series : dict
        The part of each tomogram, in the order of the file.
    """

    head: bytes
    series: dict[str, SeriesFile]


def split_set(text: Text, path: str) -> Relion4Set:
    """Take a file apart; blocks behind the first tilt series that are of no tomogram stay with the part before them.

    Parameters
    ----------
    text : Text
        Of one file.
    path : str
        What the project calls the file.

    Raises
    ------
    StarSyntaxError
        The text is malformed.
    SchemaError
        There is no ``data_global`` with names, or a tomogram has two blocks.
    """
    structure = analyse(text, "relion")
    for fault in structure.faults:
        raise fault
    roots = np.flatnonzero(structure.parent < 0).tolist()
    names = [structure.name(root) for root in roots]
    at, tomograms = _global_names(structure, roots, path)
    own = [i for i in range(at + 1, len(names)) if names[i] in tomograms]
    repeated = [name for name, count in Counter(names[i] for i in own).items() if count > 1]
    if repeated:
        raise SchemaError(
            f"{len(repeated)} tomograms have more than one block: {', '.join(repeated[:10])}",
            place=Place(path),
            expected="one block for each tomogram of data_global",
            remedy="remove or rename the blocks that repeat",
        )
    file_end = int(text.ends[0])
    data = text.buffer[:file_end].tobytes()
    begins = block_begins(structure)[own].tolist()
    head = data[int(text.begins[0]) : begins[0] if begins else file_end]
    line = 1 + head.count(b"\n")
    series = {}
    for i, (begin, end) in zip(own, pairwise([*begins, file_end]), strict=True):
        part = memoryview(data)[begin:end]
        series[names[i]] = SeriesFile(names[i], path, path, part, line)
        line += data.count(b"\n", begin, end)
    return Relion4Set(head, series)


def _global_names(structure: Structure, roots: Sequence[int], path: str) -> tuple[int, set[str]]:
    """The position of the block ``data_global``, and the names of its tomograms."""
    for i, root in enumerate(roots):
        if structure.name(root) == "global":
            for loop in np.flatnonzero(structure.loop_container == root).tolist():
                labels = structure.labels(loop)
                if NAME in labels and structure.loop_values[loop] % len(labels) == 0:
                    cells = loop_cells(structure, [loop])
                    return i, set(read_strings(cells, labels.index(NAME)).to_pylist())
    raise SchemaError(
        "no table of tomograms", place=Place(path), expected=f"a loop in the block data_global with the label _{NAME}"
    )
