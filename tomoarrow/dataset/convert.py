"""The main job: STAR files to one dataset."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
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
    """Convert a set of a RELION project, with all that it names, or any other STAR file, to a dataset.

    Parameters
    ----------
    source : path or URL, or sequence of them
        A STAR file. Its labels say what it is: an optimisation set, with all sets that it names; the global file of a
        tomogram set of any job (``tomograms.star``, ``tilt_series.star``), with the tilt series that it names or, as
        in RELION 4 and WarpTools, holds; a set of particles, trajectories or manifolds. Of any other STAR file each
        loop becomes a table. Several files, each of another project, make one dataset with a column ``project``.
    dataset : path or URL
        The folder to make, or the place in an object store.
    project : path or URL, optional
        The project directory. Found automatically where it is not given: see `tomoarrow.relion.project`.
    partition_by : str, optional
        A label of the global table: its values become Hive folders of ``tilts/``.
    threads : int, optional
        How many threads read and parse; by default as many as there are cores for this process.
    force : bool
        Replace an existing dataset.
    update : bool
        Bring an existing dataset up to date. Only STAR files that have changed (in size or time, then in checksum) are
        read again, and only the Parquet files that hold them are written. The rows are those of a new conversion.
    missing : "error" or "skip"
        Whether to refuse files that are named but not there, or to leave them out and list them.
    on_bad_value : "error" or "null"
        Whether to refuse values that do not fit their label's type, or to read them as null and list them.
    on_bad_file : "error" or "skip"
        Whether to refuse tilt-series files and members of an optimisation set that cannot be read, or to leave them
        out and list them.
    max_rejects : int, optional
        Refuse if more than this many values, files and tomograms would be left out.
    strict : bool
        Refuse, rather than warn of, what RELION's own reader would read as something else.
    allow_outside : bool
        Also read files outside of the project, where paths in STAR files lead there.
    progress : callable, optional
        Called with how many tomograms are done and how many there are; for several projects, counted anew for each.
    client : distributed.Client, optional
        The client of a dask cluster whose workers share a file system with this process: they convert the tilt series.
        It takes ``pip install tomoarrow[dask]``.
    name_by : "project" or "path"
        How to name several projects: by their directories, or by their paths from the folder above them all.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        The options do not go together, or not with the input.
    StarSyntaxError, SchemaError, MissingFileError
        A file is malformed, holds what does not fit, or is named but not there.
    DatasetError
        Something else is in the place of the dataset, another run is writing there, or the disk is full.

    After any of these nothing has been written, and a dataset that was there is as it was.
    """
    started = time.perf_counter()
    asked = Asked(missing, on_bad_value, on_bad_file, partition_by, allow_outside)
    call = _Call(dataset, project, asked, threads_for(threads), force, update, strict, max_rejects, progress)
    if not isinstance(source, str | os.PathLike):
        report = _convert_many(source, call, name_by, client)
    elif client is not None:
        report = _convert_with(client, source, call)
    else:
        report = _convert_one(source, call)
    return replace(report, seconds=round(time.perf_counter() - started, 3))


@dataclass(frozen=True, slots=True)
class _Call:
    """What was asked of `convert`, whatever the source."""

    dataset: str | os.PathLike[str]
    project: str | os.PathLike[str] | None
    asked: Asked
    threads: int
    force: bool
    update: bool
    strict: bool
    max_rejects: int | None
    progress: Progress | None


def _convert_one(source: str | os.PathLike[str], call: _Call) -> Report:
    """Convert one project in this process."""
    target = _target(source, call)
    with ExitStack() as stack:
        origin = stack.enter_context(origin_of(source, call.project))
        path = origin.path
        again = path if reads_again(path) else stack.enter_context(held_or_open(path, MOST_HELD))
        request = Request(path, again, origin.project, call.asked, call.threads, origin.series, origin.tried)
        if isinstance(target, Path):
            stack.enter_context(told(target))
            staging = stack.enter_context(staged(target, force=call.force or call.update))
        else:
            staging = stack.enter_context(staged_for_store(target, force=call.force))
        work = Work(request, staging.folder, call.progress)
        is_there = call.update and isinstance(target, Path) and (target / FILE_NAME).exists()
        old = open_snapshot(target) if is_there else None
        made = _told_of((None if old is None else renewed(work, old)) or all_anew(work), origin)
        if call.strict:
            refuse(made.found.notices)
        check_rejects(made.found.rejects, call.max_rejects)
        if old is not None and made.is_same:
            manifest = manifest_of(old.manifest)
        else:
            manifest = manifest_for(path, made, asdict(call.asked), staging.folder)
            manifest = replace(manifest, input=origin.told(manifest.input), project=origin.told(manifest.project))
            manifest = (commit if isinstance(target, Path) else commit_to_store)(staging, manifest)
    report = report_of(str(target) if isinstance(target, Remote) else os.fspath(call.dataset), manifest, made)
    return replace(report, project_how=origin.how or report.project_how)


def _told_of(made: Made, origin: Origin) -> Made:
    """What was made, with the URLs of what was copied."""
    if not origin.copy:
        return made
    sources = made.contents.sources
    paths = [origin.told(path) for path in sources.column("path").to_pylist()]
    sources = sources.set_column(0, sources.schema.field("path"), pa.array(paths, pa.string()))
    return replace(made, contents=replace(made.contents, sources=sources), found=origin.found(made.found))


def _target(source: str | os.PathLike[str], call: _Call) -> Path | Remote:
    """Where the dataset goes, if it may."""
    target = place_of(call.dataset)
    if call.update and (isinstance(target, Remote) or is_url(source)):
        raise UsageError(
            "only a dataset in a folder, of files in a folder, can be brought up to date", remedy="use --force"
        )
    if isinstance(target, Remote):
        look_at(target, force=call.force)
        return target
    target = Path(os.path.abspath(target))
    check_target(target, force=call.force or call.update)
    return target


def _convert_with(client: Client, source: str | os.PathLike[str], call: _Call) -> Report:
    """Convert one project by the workers of a cluster."""
    target = _target(source, call)
    for name, is_asked in (("update", call.update), ("strict", call.strict)):
        if is_asked:
            raise UsageError(f"{name} is for one process: a cluster converts everything", remedy=f"leave {name} out")
    if isinstance(target, Remote) or is_url(source) or not reads_again(source):
        raise UsageError(
            "a cluster converts files to a folder that all of its workers see", expected="paths, not URLs or pipes"
        )
    return convert_with(
        client,
        source,
        call.dataset,
        project=call.project,
        force=call.force,
        max_rejects=call.max_rejects,
        progress=call.progress,
        **asdict(call.asked),
    )


def _convert_many(
    sources: Sequence[str | os.PathLike[str]], call: _Call, name_by: NameBy, client: Client | None
) -> Report:
    """Convert each project into a folder of its own, then make one dataset of them."""
    _check_for_many(call, name_by, client)
    files = [folder_of(each, "a conversion of several projects") for each in sources]
    if not files:
        raise UsageError("no project to convert", expected="one file or more")
    target = Path(os.path.abspath(call.dataset))
    check_target(target, force=call.force)
    parts: list[Made] = []
    manifests: list[Manifest] = []
    with told(target), staged(target, force=call.force) as staging:
        for number, file in enumerate(files):
            folder = part_of(staging.folder, number)
            folder.mkdir()
            request = Request(file, file, None, call.asked, call.threads)
            parts.append(all_anew(Work(request, folder, call.progress)))
            manifests.append(manifest_for(file, parts[-1], asdict(call.asked), folder))
        check_rejects([reject for made in parts for reject in made.found.rejects], call.max_rejects)
        names = names_of([made.contents.project for made in parts], name_by)
        manifest = commit(staging, merged(dict(zip(names, manifests, strict=True)), staging.folder))
    return report_of(os.fspath(call.dataset), manifest, summed(parts))


def _check_for_many(call: _Call, name_by: NameBy, client: Client | None) -> None:
    """Refuse what is for one project."""
    check_choice("name_by", name_by, get_args(NameBy))
    alone = {"project": call.project, "update": call.update, "strict": call.strict, "client": client}
    for name, value in alone.items():
        if value is not None and value is not False:
            raise UsageError(f"{name} is for one project, not for several", remedy=f"leave {name} out")
    if is_url(call.dataset):
        raise UsageError("several projects can be converted to a folder only", remedy="convert to a folder")
