"""`validate`: finds what RELION would trip over in a project, before it does."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .checks import CHECKS
from .checks.finding import Finding, Severity
from .kinds import Kind
from .loading import load_sets
from .sets import Sets

_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class SetSeen:
    """A file that was checked.

    Attributes
    ----------
    path : str
        Relative to the project directory.
    kind : Kind
    counts : dict
        What it holds, such as tomograms and tilts, and how many of each.
    """

    path: str
    kind: Kind
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What is wrong with a project.

    Attributes
    ----------
    source : str
        The file that was given.
    project : str
        The project directory.
    sets : tuple of SetSeen
    findings : tuple of Finding
        Errors first, then warnings, then notes. All places with the same fault make one finding.
    checks : int
        How many checks were made.
    strict : bool
        Whether warnings count as errors.
    seconds : float
    """

    source: str
    project: str
    sets: tuple[SetSeen, ...]
    findings: tuple[Finding, ...]
    checks: int
    strict: bool
    seconds: float

    @property
    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in _ORDER}

    @property
    def exit_code(self) -> int:
        """1 with an error, or in a strict report a warning; else 0."""
        return int(self.counts["error"] > 0 or (self.strict and self.counts["warning"] > 0))

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, as ``--json`` prints it."""
        return asdict(self) | {"counts": self.counts, "exit_code": self.exit_code}


def validate(
    source: str | os.PathLike[str],
    *,
    project: str | os.PathLike[str] | None = None,
    files: bool = False,
    strict: bool = False,
    allow_outside: bool = False,
) -> ValidationReport:
    """Check a project for what would stop RELION, what it would misread, and what may have been mixed up.

    Parameters
    ----------
    source : path
        Any STAR file of a project. An optimisation set pulls in all that it names.
    project : path, optional
        The project directory, to which paths are relative. By default it is found from the paths in the STAR files.
    files : bool
        Also look whether the images that sets name are there, which asks the disk about each.
    strict : bool
        Count warnings as errors.
    allow_outside : bool
        Also look at files outside of the project, where paths in STAR files lead there.

    Raises
    ------
    MissingFileError
        The file or the project directory that was given is not there. All else that is wrong becomes a finding.
    """
    started = time.perf_counter()
    home = None if project is None else Path(project)
    sets = load_sets(Path(source), home, looks_at_files=files, allow_outside=allow_outside)
    findings = [finding for check in CHECKS for finding in check(sets)]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    seen = tuple(SetSeen(path, kind, _counts(sets, kind)) for path, kind in sets.seen)
    seconds = time.perf_counter() - started
    return ValidationReport(
        os.fspath(source), str(sets.project), seen, tuple(findings), len(CHECKS), strict, round(seconds, 3)
    )


def _counts(sets: Sets, kind: Kind) -> dict[str, int]:
    """What a set holds, and how many of each."""
    if kind in ("tomogram set", "RELION 4 tomogram set") and sets.tomograms is not None:
        return {"tomograms": len(sets.tomograms.names), "tilts": int(sets.tomograms.tilts.begins[-1])}
    if kind == "particle set" and sets.particles is not None:
        return {"particles": sets.particles.rows.table.num_rows}
    if kind == "trajectory set" and sets.trajectories is not None:
        return {"trajectories": len(sets.trajectories.names)}
    if kind == "manifold set" and sets.manifolds is not None:
        return {"manifolds": sets.manifolds.table.num_rows}
    return {}
