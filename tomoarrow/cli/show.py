"""What the commands print of their reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import typer

from ..errors import counted

if TYPE_CHECKING:
    from ..dataset.export import ExportReport
    from ..dataset.report import Report
    from ..dataset.verify import VerifyReport
    from ..dataset.versions.integrity import IntegrityReport

_MB = 1e6

#: What the rows of the tables of a set are: of one, and of several.
_ROWS = {
    "tomograms": ("tomogram", "tomograms"),
    "tilts": ("tilt", "tilts"),
    "particles": ("particle", "particles"),
    "trajectories": ("tilt of trajectories", "tilts of trajectories"),
    "manifolds": ("manifold", "manifolds"),
}

#: What is counted in sets: of one, by what it is called of several.
_ONE = {
    "files": "file",
    "manifolds": "manifold",
    "optics groups": "optics group",
    "particles": "particle",
    "rows": "row",
    "tilts": "tilt",
    "tomograms": "tomogram",
    "trajectories": "trajectory",
}

_SETS = ("tomogram set", "projects", "optimisation set", "particle set", "trajectory set", "manifold set")

#: Of the differences between a dataset and its files so many are shown.
_MOST_DIFFERENCES = 40


class _Told(Protocol):
    """A report of a command."""

    @property
    def exit_code(self) -> int: ...

    def to_dict(self) -> dict[str, Any]: ...


_R = TypeVar("_R", bound=_Told)


def leave_with(report: _R, show: Callable[[_R], None], *, as_json: bool) -> NoReturn:
    """Print a report, as JSON or for people, and leave with its exit code."""
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        show(report)
    raise typer.Exit(report.exit_code)


def show_report(report: Report) -> None:
    """Print what a conversion did."""
    print(
        f"{report.dataset}: {_rows(report)} in {counted(report.files, 'file')}, "
        f"{report.bytes / _MB:.1f} MB, from {counted(report.source_files, 'STAR file')} "
        f"of {report.source_bytes / _MB:.1f} MB in {report.seconds:.2f} s",
    )
    if report.read_again is not None:
        again = counted(
            report.read_again, "STAR file has changed and was read again", "STAR files have changed and were read again"
        )
        print(again if report.read_again else "up to date: no STAR file has changed")
    print(f"project directory: {report.project} ({report.project_how})")
    for warning in report.warnings:
        where = f"{warning.count} in {counted(warning.files, 'file')}, first {warning.first}"
        print(f"warning: {warning.message} [{warning.code}]: {where}")
    if report.missing:
        print(f"left out: {counted(report.missing, 'tomogram')} whose tilt-series file is missing")
    if report.rejects:
        print(f"rejects: {report.rejects}, listed in {report.dataset}/rejects")


def _rows(report: Report) -> str:
    if report.kind in _SETS:
        return (
            ", ".join(counted(report.rows[name], *what) for name, what in _ROWS.items() if name in report.rows)
            or "no table"
        )
    return ", ".join(f"{name} of {counted(rows, 'row')}" for name, rows in report.rows.items()) or "no table"


def show_export(report: ExportReport) -> None:
    """Print what an export wrote."""
    is_set = report.kind == "tomogram set" or report.tilts > 0
    what = f"{counted(report.tomograms, 'tomogram')}, {counted(report.tilts, 'tilt')} in " if is_set else ""
    files = counted(report.files, "STAR file")
    print(f"{report.directory}: {what}{files}, {report.bytes / _MB:.1f} MB in {report.seconds:.2f} s")
    for warning in report.warnings:
        print(f"warning: {warning}")


def show_verification(report: VerifyReport) -> None:
    """Print what a comparison found."""
    for each in report.differences[:_MOST_DIFFERENCES]:
        print(f"{each.file}: {each.kind}: {each.what}")
    if len(report.differences) > _MOST_DIFFERENCES:
        print(f"... and {len(report.differences) - _MOST_DIFFERENCES} more (all of them with --json)")
    print(
        f"{report.dataset} against {report.against}: {counted(report.files, 'file')}, "
        f"values equal in {report.values_equal}, bytes equal in {report.bytes_equal}, in {report.seconds:.2f} s",
    )


def show_integrity(report: IntegrityReport) -> None:
    """Print what a comparison with the manifest found."""
    for each in report.damages[:_MOST_DIFFERENCES]:
        print(f"{each.file}: {each.kind}: {each.what}")
    what = "as they were written" if not report.damages else f"{len(report.damages)} of them are not as they were"
    print(
        f"{report.dataset}, version {report.version}: {counted(report.files, 'file')}, "
        f"{report.bytes / _MB:.1f} MB, {what}, in {report.seconds:.2f} s",
    )


def held(counts: dict[str, int]) -> str:
    """What a set holds, in words."""
    return ", ".join(counted(n, _ONE[what], what) for what, n in counts.items())
