"""The main job: STAR files to one dataset."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pyarrow as pa

from ..errors import UsageError, check_choice
from ..relion.tomogram_set import MOST_HELD
from ..star.faults import refuse
from ..star.source import held_or_open, reads_again
from ..star.tables import OnBadValue
from ..star.threads import threads_for
from .asked import Asked, OnBadFile, OnMissing
from .origin import Origin, origin_of
from .parts.cluster import convert_with
from .paths import told
from .projects import NameBy, merged, names_of, part_of, summed
from .report import Report
from .stores.urls import Remote, folder_of, is_url, place_of
from .tables.contents import Progress
from .tables.members import Request
from .updating.making import Made, Work, all_anew, check_rejects, manifest_for, renewed, report_of
from .versions.manifest import FILE_NAME, Manifest, manifest_of
from .versions.snapshot import open_snapshot
from .versions.staging import check_target, commit, staged
from .versions.uploading import commit_to_store, look_at, staged_for_store

if TYPE_CHECKING:
    from distributed import Client


def convert(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
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
    allow_outside: bool = False,
    progress: Progress | None = None,
    client: Client | None = None,
    name_by: NameBy = "project",
) -> Report:
    """Convert a set of a RELION project, all that an optimisation set names, or any other STAR file, to a dataset.

    Parameters
    ----------
    source : path or URL
        What it is, is found out from its labels: an optimisation set, which brings all sets that it names; the
        global file of a tomogram set of any job (``tomograms.star``, ``tilt_series.star``), which brings its tilt
        series, or holds them, as RELION 4 and WarpTools have it; a set of particles, trajectories or manifolds. Of
        any other STAR file each loop becomes a table. Several, each of another project, make one dataset with a column
        ``project``.
    dataset : path or URL
        The folder to make, or the place in an object store.
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
    allow_outside : bool
        Read files outside of the project as well, where paths in STAR files lead there.
    progress : callable, optional
        Called with the number of tomograms done, and of all; of several projects for each anew.
    client : distributed.Client, optional
        Of a dask cluster whose workers share a file system with this process: they convert the tilt series. It takes
        ``pip install tomoarrow[dask]``.
    name_by : "project" or "path"
        What several projects are called: as their directories, or by their paths from the folder above all.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        The options do not go together, or not with the input.
    StarSyntaxError, SchemaError, MissingFileError
        A file is malformed, or holds what does not fit; or it is named and not there.
    DatasetError
        What is in the place of the dataset is in the way, another run is writing there, or the disk is full.

    Nothing is written then, and a dataset that was there is as it was.
    """
    started = time.perf_counter()
    asked = Asked(missing, on_bad_value, on_bad_file, partition_by, allow_outside)
    n_threads = threads_for(threads)
    if not isinstance(source, str | os.PathLike):
        alone = {"project": project is not None, "update": update, "strict": strict, "client": client is not None}
        _check_for_many(alone, dataset, name_by)
        files = [folder_of(each, "a conversion of several projects") for each in source]
        requests = [Request(file, file, None, asked, n_threads) for file in files]
        report = _convert_many(requests, dataset, name_by, max_rejects, progress, force=force)
    elif client is not None:
        _check_for_cluster(source, _target(dataset, source, force=force, update=update), update=update, strict=strict)
        report = convert_with(
            client,
            source,
            dataset,
            project=project,
            force=force,
            max_rejects=max_rejects,
            progress=progress,
            **asdict(asked),
        )
    else:
        report = _convert_one(
            source,
            dataset,
            project,
            asked,
            n_threads,
            max_rejects,
            progress,
            force=force,
            update=update,
            strict=strict,
        )
    return replace(report, seconds=round(time.perf_counter() - started, 3))


def _convert_one(
    source: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    project: str | os.PathLike[str] | None,
    asked: Asked,
    threads: int,
    max_rejects: int | None,
    progress: Progress | None,
    *,
    force: bool,
    update: bool,
    strict: bool,
) -> Report:
    """Convert one project in this process."""
    target = _target(dataset, source, force=force, update=update)
    with ExitStack() as stack:
        origin = stack.enter_context(origin_of(source, project))
        path = origin.path
        again = path if reads_again(path) else stack.enter_context(held_or_open(path, MOST_HELD))
        request = Request(path, again, origin.project, asked, threads, origin.series)
        if isinstance(target, Path):
            stack.enter_context(told(target))
            staging = stack.enter_context(staged(target, force=force or update))
        else:
            staging = stack.enter_context(staged_for_store(target, force=force))
        work = Work(request, staging.folder, progress)
        is_there = update and isinstance(target, Path) and (target / FILE_NAME).exists()
        old = open_snapshot(target) if is_there else None
        made = (None if old is None else renewed(work, old)) or all_anew(work)
        made = _told_of(made, origin)
        if strict:
            refuse(made.found.notices)
        check_rejects(made.found.rejects, max_rejects)
        if old is not None and made.is_same:
            manifest = manifest_of(old.manifest)
        else:
            manifest = manifest_for(path, made, asdict(asked), staging.folder)
            manifest = replace(manifest, input=origin.told(manifest.input), project=origin.told(manifest.project))
            manifest = (commit if isinstance(target, Path) else commit_to_store)(staging, manifest)
    report = report_of(str(target) if isinstance(target, Remote) else os.fspath(dataset), manifest, made)
    return replace(report, project_how=origin.how or report.project_how)


def _told_of(made: Made, origin: Origin) -> Made:
    """What was made, with the URLs of what was copied."""
    if not origin.copy:
        return made
    sources = made.contents.sources
    paths = [origin.told(path) for path in sources.column("path").to_pylist()]
    sources = sources.set_column(0, sources.schema.field("path"), pa.array(paths, pa.string()))
    return replace(made, contents=replace(made.contents, sources=sources), found=origin.found(made.found))


def _target(
    dataset: str | os.PathLike[str], source: str | os.PathLike[str], *, force: bool, update: bool
) -> Path | Remote:
    """Where the dataset goes, if it may."""
    target = place_of(dataset)
    if update and (isinstance(target, Remote) or is_url(source)):
        raise UsageError(
            "only a dataset in a folder, of files in a folder, can be brought up to date", remedy="use --force"
        )
    if isinstance(target, Remote):
        look_at(target, force=force)
        return target
    target = Path(os.path.abspath(target))
    check_target(target, force=force or update)
    return target


def _check_for_cluster(source: str | os.PathLike[str], target: Path | Remote, *, update: bool, strict: bool) -> None:
    """Refuse what a cluster cannot do."""
    for name, is_asked in (("update", update), ("strict", strict)):
        if is_asked:
            raise UsageError(f"{name} is for one process: a cluster converts everything", remedy=f"leave {name} out")
    if isinstance(target, Remote) or is_url(source) or not reads_again(source):
        raise UsageError(
            "a cluster converts files to a folder, which all of its workers see", expected="paths, no URLs and no pipes"
        )


def _check_for_many(alone: dict[str, bool], dataset: str | os.PathLike[str], name_by: NameBy) -> None:
    """Refuse what is for one project."""
    check_choice("name_by", name_by, get_args(NameBy))
    for name, is_asked in alone.items():
        if is_asked:
            raise UsageError(f"{name} is for one project, not for several", remedy=f"leave {name} out")
    if is_url(dataset):
        raise UsageError("several projects can be converted to a folder only", remedy="convert to a folder")


def _convert_many(
    requests: Sequence[Request],
    dataset: str | os.PathLike[str],
    name_by: NameBy,
    max_rejects: int | None,
    progress: Progress | None,
    *,
    force: bool,
) -> Report:
    """Convert each project into a folder of its own, then make one dataset of them."""
    if not requests:
        raise UsageError("no project to convert", expected="one file or more")
    target = Path(os.path.abspath(dataset))
    check_target(target, force=force)
    parts: list[Made] = []
    manifests: list[Manifest] = []
    with told(target), staged(target, force=force) as staging:
        for number, request in enumerate(requests):
            folder = part_of(staging.folder, number)
            folder.mkdir()
            parts.append(all_anew(Work(request, folder, progress)))
            manifests.append(manifest_for(request.path, parts[-1], asdict(request.asked), folder))
        check_rejects([reject for made in parts for reject in made.found.rejects], max_rejects)
        names = names_of([made.contents.project for made in parts], name_by)
        manifest = commit(staging, merged(dict(zip(names, manifests, strict=True)), staging.folder))
    return report_of(os.fspath(dataset), manifest, summed(parts))
