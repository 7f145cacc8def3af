"""The main job: STAR files to one dataset."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..errors import UsageError, check_choice
from ..relion.labels import LABELS
from ..relion.tomogram_set import MOST_HELD
from ..star.faults import refuse
from ..star.source import held_or_open, reads_again
from ..star.tables import OnBadValue, Options
from ..star.threads import cores
from .cluster import convert_with
from .contents import Progress
from .making import Work, all_anew, check_rejects, manifest_for, renewed, report_of
from .manifest import FILE_NAME, manifest_of
from .members import Request
from .paths import told
from .report import Report
from .snapshot import open_snapshot
from .staging import check_target, commit, staged
from .tomogram_sets import OnBadFile, OnMissing

if TYPE_CHECKING:
    from distributed import Client


def convert(
    source: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    project: str | os.PathLike[str] | None = None,
    partition_by: str | None = None,
    threads: int | None = None,
    force: bool = False,
    update: bool = False,
    missing: OnMissing = "error",
    on_bad_value: OnBadValue = "error",
    on_bad_file: OnBadFile = "error",
    max_rejects: int | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    client: Client | None = None,
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
    update : bool
        Bring a dataset that is there up to date: only files that have changed are read again, by size and time, then
        by checksum, and only what holds them is written. What comes out has the rows of a new conversion.
    missing : "error" or "skip"
        What to do about files that are named and not there: refuse, or leave out and list.
    on_bad_value : "error" or "null"
        What to do about values that do not fit their label's type: refuse, or read as null and list.
    on_bad_file : "error" or "skip"
        What to do about tilt-series files, and sets that an optimisation set names, which cannot be read: refuse, or
        leave out and list.
    max_rejects : int, optional
        Refuse when more than so many values, files and tomograms would be left out.
    strict : bool
        Refuse what RELION's own reader would read as something else, instead of warning.
    progress : callable, optional
        Called with the number of tomograms done, and of all.
    client : distributed.Client, optional
        Of a dask cluster whose workers share a file system with this process: they convert the tilt series. It takes
        ``pip install tomoarrow[dask]``.

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
    check_choice("on_bad_file", on_bad_file, get_args(OnBadFile))
    if threads is not None and threads < 1:
        raise UsageError(f"threads={threads}", expected="1 or more")
    target = Path(os.path.abspath(dataset))
    check_target(target, force=force or update)
    path, home = Path(source), None if project is None else Path(project)
    if client is not None:
        _check_for_cluster(path, update=update, strict=strict)
        return convert_with(
            client,
            path,
            dataset,
            project=home,
            partition_by=partition_by,
            force=force,
            missing=missing,
            on_bad_value=on_bad_value,
            on_bad_file=on_bad_file,
            max_rejects=max_rejects,
            progress=progress,
        )
    asked = {"missing": missing, "on_bad_value": on_bad_value, "on_bad_file": on_bad_file, "partition_by": partition_by}
    with ExitStack() as stack:
        again = path if reads_again(path) else stack.enter_context(held_or_open(path, MOST_HELD))
        options = Options(LABELS, {}, on_bad_value)
        request = Request(path, again, home, missing, on_bad_file, options, threads or cores())
        stack.enter_context(told(target))
        staging = stack.enter_context(staged(target, force=force or update))
        work = Work(request, partition_by, staging.folder, asked, progress)
        old = open_snapshot(target) if update and (target / FILE_NAME).exists() else None
        made = (None if old is None else renewed(work, old)) or all_anew(work)
        if strict:
            refuse(made.found.notices)
        check_rejects(made.found.rejects, max_rejects)
        if old is not None and made.is_same:
            manifest = manifest_of(old.manifest)
        else:
            manifest = commit(staging, manifest_for(path, made, asked, staging.folder))
    return report_of(os.fspath(dataset), manifest, made, time.perf_counter() - started)


def _check_for_cluster(path: Path, *, update: bool, strict: bool) -> None:
    """Refuse what a cluster cannot do."""
    for name, is_asked in (("update", update), ("strict", strict)):
        if is_asked:
            raise UsageError(f"{name} is for one process: a cluster converts everything", remedy=f"leave {name} out")
    if not reads_again(path):
        raise UsageError(f"{path} can be read only once", expected="a file that workers can read, too")
