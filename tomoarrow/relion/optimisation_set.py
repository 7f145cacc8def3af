"""An optimisation set: the file that names the sets which belong together.

RELION's C++ programs write it as a list in an unnamed block, its Python programs as a loop of one row; its first
block is read either way (``src/jaz/tomography/optimisation_set.cpp``: OptimisationSet::read).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import Place, SchemaError
from ..star.document import Document

PARTICLES_FILE = "rlnTomoParticlesFile"
TOMOGRAMS_FILE = "rlnTomoTomogramsFile"
TRAJECTORIES_FILE = "rlnTomoTrajectoriesFile"
MANIFOLDS_FILE = "rlnTomoManifoldsFile"

#: The labels that name STAR files of a project, and what is in those.
MEMBERS: Mapping[str, str] = {
    TOMOGRAMS_FILE: "tomogram set",
    PARTICLES_FILE: "particle set",
    TRAJECTORIES_FILE: "trajectory set",
    MANIFOLDS_FILE: "manifold set",
}

#: All labels of an optimisation set: those of references are read by RELION, and never written.
FILE_LABELS = frozenset(
    [
        *MEMBERS,
        "rlnTomoReferenceMap1File",
        "rlnTomoReferenceMap2File",
        "rlnTomoReferenceMaskFile",
        "rlnTomoReferenceFscFile",
    ]
)


@dataclass(frozen=True, slots=True)
class OptimisationSet:
    """What an optimisation set names.

    Attributes
    ----------
    members : dict
        The paths of the sets by label, as they stand; those that are empty are not in it.
    references : dict
        The paths of reference maps, their mask and their FSC, by label.
    """

    members: dict[str, str]
    references: dict[str, str]


def optimisation_set(path: str, document: Document) -> OptimisationSet:
    """What an optimisation set names, given its file.

    Raises
    ------
    SchemaError
        Its first block names no set, or its loop does not have exactly one row.
    """
    block = document[0] if len(document) else None
    place = Place(path, block=None if block is None else block.name)
    named: dict[str, str] = {}
    if block is not None:
        if block.table is not None and block.table.num_rows != 1:
            raise SchemaError(f"an optimisation set of {block.table.num_rows} rows", place=place, expected="one row")
        rows = [block.pairs, *(block.table.to_pylist() if block.table is not None else [])]
        named = {label: str(value) for row in rows for label, value in row.items() if value}
    members = {label: named[label] for label in MEMBERS if label in named}
    if not members:
        raise SchemaError(
            "an optimisation set that names no set",
            place=place,
            expected=f"one or more of {', '.join(MEMBERS)} in the first block",
        )
    return OptimisationSet(members, {label: text for label, text in named.items() if label not in MEMBERS})
