"""What a STAR file of a RELION project is, by the blocks and labels at its front."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..star.pieces import Piece, always, read_pieces
from ..star.source import Held, Source
from .optimisation_set import FILE_LABELS, MEMBERS
from .tomogram_set import MOST_HELD, NAME, SERIES_FILE

Kind = Literal[
    "optimisation set",
    "tomogram set",
    "RELION 4 tomogram set",
    "particle set",
    "trajectory set",
    "manifold set",
    "STAR file",
]

ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")

MANIFOLD_TYPE = "rlnTomoManifoldType"

#: One of these, beside the name of a tomogram, makes a row a particle.
_COORDINATES = {"rlnCenteredCoordinateXAngst", "rlnCoordinateX", "rlnTomoParticleName", "rlnImageName"}

#: One of these makes a row a tilt image.
_TILT_LABELS = {"rlnTomoProjX", "rlnTomoYTilt", "rlnMicrographPreExposure", "rlnDefocusU"}

#: So many blocks of a piece are looked at: what a file with more of them is, these tell.
_MOST_BLOCKS = 1000


@dataclass(frozen=True, slots=True)
class _Outline:
    """The labels of one block: of its pairs, and of each loop. `position` is that of the block in the file."""

    position: int
    name: str
    pairs: tuple[str, ...]
    loops: tuple[tuple[str, ...], ...]


def kind_of(source: Source | Held) -> Kind:
    """What a STAR file is. Of a long file only the front is looked at.

    A tomogram set of RELION 5 points to tilt-series files; one of RELION 4 holds a block for each tomogram
    (``src/jaz/tomography/tomogram_set.cpp``: TomogramSet::read). A particle set has a block ``particles``, or rows with
    the name of a tomogram and coordinates. A trajectory set has a block of shifts for each particle
    (``motion/trajectory.cpp``: Trajectory::read), a manifold set a block of surfaces for each tomogram. An
    optimisation set has nothing but names of files in its first block (``optimisation_set.cpp``).
    """
    seen, has_global = 0, False
    with closing(read_pieces(source, "relion", _outlines, stands=always, threads=1)) as pieces:
        for read in pieces:
            for block in read.result:
                kind = _kind_of_block(block, has_global=has_global)
                if kind is not None:
                    return kind
                has_global |= block.name == "global" and any(NAME in labels for labels in block.loops)
            seen += len(read.piece.structure.text.buffer)
            if seen > MOST_HELD:
                break
    return "STAR file"


def other_than_tilts(labels: Collection[str]) -> Kind | None:
    """What a file is that has a loop of such labels, where these say that its rows are no tilt images."""
    if _TILT_LABELS.intersection(labels):
        return None
    return next(_kinds_of_loops(_Outline(0, "", (), (tuple(labels),)), has_global=False), None)


def _outlines(piece: Piece) -> list[_Outline]:
    structure = piece.structure
    first = piece.within.position if piece.within else 0
    roots = np.flatnonzero(structure.parent < 0).tolist()
    # Loops and pairs stand in the order of their blocks.
    loops = np.searchsorted(structure.loop_container, [*roots, len(structure.heading)]).tolist()
    pairs = np.searchsorted(structure.pair_container, [*roots, len(structure.heading)]).tolist()
    return [
        _Outline(
            first + i,
            structure.name(root),
            tuple(structure.string(tag) for tag in structure.pair_tag[pairs[i] : pairs[i + 1]].tolist()),
            tuple(tuple(structure.labels(loop)) for loop in range(loops[i], loops[i + 1])),
        )
        for i, root in enumerate(roots[:_MOST_BLOCKS])
    ]


def _kind_of_block(block: _Outline, *, has_global: bool) -> Kind | None:
    """What a file is, if a block of it tells."""
    if block.position == 0 and _names_files(block):
        return "optimisation set"
    if SERIES_FILE in block.pairs:
        return "tomogram set"
    return next(_kinds_of_loops(block, has_global=has_global), None)


def _names_files(block: _Outline) -> bool:
    labels = {*block.pairs, *(label for loop in block.loops for label in loop)}
    return bool(labels & set(MEMBERS)) and labels <= FILE_LABELS


def _kinds_of_loops(block: _Outline, *, has_global: bool) -> Iterator[Kind]:
    for labels in map(set, block.loops):
        if SERIES_FILE in labels:
            yield "tomogram set"
        elif has_global and labels & _TILT_LABELS:
            yield "RELION 4 tomogram set"
        elif labels & _COORDINATES and (block.name == "particles" or NAME in labels):
            yield "particle set"
        elif labels == set(ORIGINS):
            yield "trajectory set"
        elif MANIFOLD_TYPE in labels:
            yield "manifold set"
