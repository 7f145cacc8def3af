"""The main job: STAR files to one dataset."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pyarrow as pa

from .._version import __version__
from ..errors import UsageError, check_choice
from ..relion.labels import LABELS
from ..relion.tomogram_set import MOST_HELD
from ..star.document import Reject
from ..star.faults import refuse
from ..star.source import held_or_open, reads_again
from ..star.tables import Findings, OnBadValue, Options
from ..star.threads import cores
from .contents import Contents, Progress
from .layout import write_table
from .manifest import Manifest, TableInfo, column_infos, write_manifest
from .members import Request, check_members, find_members, write_members
from .paths import told
from .report import Report, WarningSummary, summarise
from .staging import check_target, staged
from .tomogram_sets import OnMissing


def convert(
    source: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    project: str | os.PathLike[str] | None = None,
    partition_by: str | None = None,
    threads: int | None = None,
    force: bool = False,
    missing: OnMissing = "error",
    on_bad_value: OnBadValue = "error",
    strict: bool = False,
    allow_outside: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Convert a set of a RELION project, all that an optimisation set names, or any other STAR file, to a dataset.

    Parameters
    ----------
    source : path
        What it is, is found out from its labels: an optimisation set, which brings all sets that it names; the
        global file of a tomogram set of any job (``tomograms.star``, ``tilt_series.star``), which brings its tilt
        series, or holds them, as RELION 4 and WarpTools have it; a set of particles, trajectories or manifolds. Of
        any other STAR file each loop becomes a table.
    dataset : path
        The folder to make.
    project : path, optional
        The project directory. Found by itself where not given: see `tomoarrow.relion.project`.
    partition_by : str, optional
        A label of the global table: its values become Hive folders of ``tilts/``.
    threads : int, optional
        How many threads read and parse; by default as many as there are cores for this process.
    force : bool
        Replace a dataset that is there.
    missing : "error" or "skip"
        What to do about files that are named and not there: refuse, or leave out and list.
    on_bad_value : "error" or "null"
        What to do about values that do not fit their label's type: refuse, or read as null and list.
    strict : bool
        Refuse what RELION's own reader would read as something else, instead of warning.
    allow_outside : bool
        Read files outside of the project as well, where paths in STAR files lead there.
    progress : callable, optional
        Called with the number of tomograms done, and of all.

    Returns
    -------
    Report

    Raises
    ------
    TomoarrowError
        Nothing is written then.
    """
    started = time.perf_counter()
    check_choice("missing", missing, get_args(OnMissing))
    check_choice("on_bad_value", on_bad_value, get_args(OnBadValue))
    if threads is not None and threads < 1:
        raise UsageError(f"threads={threads}", expected="1 or more")
    target = Path(os.path.abspath(dataset))
    check_target(target, force=force)
    found = Findings()
    path = Path(source)
    with ExitStack() as stack:
        again = path if reads_again(path) else stack.enter_context(held_or_open(path, MOST_HELD))
        home = None if project is None else Path(project)
        options = Options(LABELS, {}, on_bad_value)
        request = Request(path, again, home, missing, options, threads or cores(), allow_outside)
        members = check_members(find_members(request, found), partition_by)
        stack.enter_context(told(target))
        staging = stack.enter_context(staged(target, force=force))
        contents = write_members(members, staging, found=found, progress=progress)
        if strict:
            refuse(found.notices)
        warnings = summarise(found.notices)
        manifest = _manifest(path, contents, warnings, found, staging)
        write_manifest(manifest, staging)
    return _report(os.fspath(dataset), manifest, contents, time.perf_counter() - started)


def _manifest(
    path: Path, contents: Contents, warnings: list[WarningSummary], found: Findings, staging: Path
) -> Manifest:
    tables = dict(contents.tables)
    if found.rejects:
        tables["rejects"] = _write_rejects(found.rejects, staging)
    return Manifest(
        written_by=f"tomoarrow {__version__}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        kind=contents.kind,
        input=os.path.abspath(path),
        project=str(contents.project),
        tables=tables,
        sources=contents.sources,
        warnings=[asdict(warning) for warning in warnings],
        rejects=len(found.rejects),
    )


def _report(dataset: str, manifest: Manifest, contents: Contents, seconds: float) -> Report:
    files = [part for table in manifest.tables.values() for part in table.files]
    rows = {name: table.rows for name, table in manifest.tables.items() if name not in ("star", "rejects")}
    return Report(
        dataset=dataset,
        kind=manifest.kind,
        project=manifest.project,
        project_how=contents.project_how,
        rows=rows,
        missing=contents.missing,
        files=len(files),
        bytes=sum(part.bytes for part in files),
        source_files=len(contents.sources),
        source_bytes=sum(source.bytes for source in contents.sources),
        seconds=round(seconds, 3),
        rejects=manifest.rejects,
        warnings=[WarningSummary(**warning) for warning in manifest.warnings],
    )


def _write_rejects(rejects: Sequence[Reject], staging: Path) -> TableInfo:
    table = pa.table(
        {
            "file": [reject.place.path for reject in rejects],
            "line": [reject.place.line or None for reject in rejects],
            "column": [reject.place.column or None for reject in rejects],
            "block": [reject.place.block for reject in rejects],
            "label": [reject.label for reject in rejects],
            "text": [reject.text for reject in rejects],
            "reason": [reject.reason for reject in rejects],
        },
        schema=pa.schema(
            [
                ("file", pa.string()),
                ("line", pa.int64()),
                ("column", pa.int64()),
                ("block", pa.string()),
                ("label", pa.string()),
                ("text", pa.string()),
                ("reason", pa.string()),
            ]
        ),
    )
    return TableInfo(table.num_rows, column_infos(table.schema, {}), write_table(table, staging / "rejects", staging))
