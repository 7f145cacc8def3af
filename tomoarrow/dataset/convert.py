"""The main job: STAR files to one dataset."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from .._version import __version__
from ..errors import UsageError, check_choice
from ..relion.labels import LABELS
from ..relion.tomogram_set import MOST_HELD
from ..star.faults import refuse
from ..star.source import held_or_open, reads_again
from ..star.tables import Findings, OnBadValue, Options
from ..star.threads import cores
from .contents import Contents, Progress
from .manifest import Manifest
from .members import Request, check_members, find_members, write_members
from .noticed import NOTICES, REJECTS, write_notices, write_rejects
from .paths import told
from .report import INNER_TABLES, Report, WarningSummary, summarise
from .sources import SOURCES, write_sources
from .staging import check_target, commit, staged
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
        request = Request(path, again, home, missing, options, threads or cores())
        members = check_members(find_members(request, found), partition_by)
        stack.enter_context(told(target))
        staging = stack.enter_context(staged(target, force=force))
        contents = write_members(members, staging.folder, found=found, progress=progress)
        if strict:
            refuse(found.notices)
        manifest = commit(staging, _manifest(path, contents, found, staging.folder))
    return _report(os.fspath(dataset), manifest, contents, time.perf_counter() - started)


def _manifest(path: Path, contents: Contents, found: Findings, staging: Path) -> Manifest:
    tables = dict(contents.tables)
    tables[SOURCES] = write_sources(contents.sources, staging)
    if found.notices:
        tables[NOTICES] = write_notices(found.notices, staging)
    if found.rejects:
        tables[REJECTS] = write_rejects(found.rejects, staging)
    return Manifest(
        written_by=f"tomoarrow {__version__}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        kind=contents.kind,
        input=os.path.abspath(path),
        project=str(contents.project),
        tables=tables,
        warnings=[asdict(warning) for warning in summarise(found.notices)],
        rejects=len(found.rejects),
    )


def _report(dataset: str, manifest: Manifest, contents: Contents, seconds: float) -> Report:
    files = [part for table in manifest.tables.values() for part in table.files]
    rows = {name: table.rows for name, table in manifest.tables.items() if name not in INNER_TABLES}
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
