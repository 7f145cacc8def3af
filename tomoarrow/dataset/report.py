"""What a conversion did, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..star.faults import Notice

#: The tables that say how files were written, where they were, and what was noticed of them: nothing to ask of.
INNER_TABLES = ("star", "sources", "notices", "rejects")


@dataclass(frozen=True, slots=True)
class WarningSummary:
    """All notices of one kind."""

    code: str
    message: str
    count: int
    files: int
    first: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a conversion did.

    Attributes
    ----------
    dataset, project : str
    project_how : str
        How the project directory was found.
    rows : dict
        How many rows each table has.
    missing : int
        Tomograms whose tilt-series file is not there.
    files, bytes : int
        Parquet files written, and their size.
    source_files, source_bytes : int
    seconds : float
    rejects : int
        What was left out; listed in the table ``rejects``.
    version : int
        How many times the dataset has been written.
    read_again : int or None
        How many STAR files had changed and were read again by an update; None where all files were read.
    warnings : list of WarningSummary
    """

    dataset: str
    kind: str
    project: str
    project_how: str
    rows: dict[str, int]
    missing: int
    files: int
    bytes: int
    source_files: int
    source_bytes: int
    seconds: float
    rejects: int
    version: int = 1
    read_again: int | None = None
    warnings: list[WarningSummary] = field(default_factory=list)

    @property
    def tomograms(self) -> int:
        """How many tomograms there are."""
        return self.rows.get("tomograms", 0)

    @property
    def tilts(self) -> int:
        """How many tilt images there are."""
        return self.rows.get("tilts", 0)

    @property
    def exit_code(self) -> int:
        """0, or 1 where something was left out."""
        return 1 if self.rejects else 0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self) | {"tomograms": self.tomograms, "tilts": self.tilts}


def summarise(notices: Sequence[Notice]) -> list[WarningSummary]:
    """One line for each kind of notice."""
    kinds: dict[str, list[Notice]] = {}
    for notice in notices:
        kinds.setdefault(notice.code, []).append(notice)
    return [
        WarningSummary(
            code,
            same[0].message,
            sum(notice.count for notice in same),
            len({notice.place.path for notice in same}),
            str(same[0].place),
        )
        for code, same in kinds.items()
    ]
