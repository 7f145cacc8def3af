"""The tables of a dataset, all made anew, or only what has changed since."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from ..._version import __version__
from ...errors import DatasetError, Place, SchemaError, UsageError, counted
from ...star.document import Reject
from ...star.source import reads_again
from ...star.tables import Findings
from ..layout import clear_folder
from ..report import INNER_TABLES, Report, WarningSummary, summarise
from ..tables.contents import Contents, Progress
from ..tables.members import Request, find_members
from ..tables.noticed import NOTICES, REJECTS, by_series, read_notices, read_rejects, write_notices, write_rejects
from ..tables.sources import SOURCES, sources_table, write_sources
from ..tables.survey import Survey, survey
from ..tables.tilts import Job
from ..tables.writing import write_members
from ..versions.manifest import Manifest
from ..versions.snapshot import Snapshot
from .previous import Old, open_old
from .rewriting import TakesAll
from .update import update

#: What is being written while it is read is tried so often.
MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be made, and where.

    Attributes
    ----------
    request : Request
    staging : Path
        The folder to write tables into.
    progress : callable or None
    """

    request: Request
    staging: Path
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class Made:
    """What was made.

    Attributes
    ----------
    contents : Contents
    found : Findings
    read_ns : int
        When reading began.
    read_again : int or None
        How many files have changed and were read; None where all were read.
    is_same : bool
        Whether nothing has changed, and nothing was written.
    """

    contents: Contents
    found: Findings
    read_ns: int
    read_again: int | None = None
    is_same: bool = False


def all_anew(work: Work) -> Made:
    """Convert everything; again, where a file changes meanwhile.

    Raises
    ------
    DatasetError
        Files change whenever they are read.
    TomoarrowError
        As for `tomoarrow.convert`.
    """
    for _ in range(MOST_TRIES):
        read_ns, found = time.time_ns(), Findings()
        members = find_members(work.request, found)
        contents = write_members(members, work.staging, found=found, progress=work.progress)
        if not contents.changed:
            return Made(contents, _sorted(found, contents), read_ns)
        if not reads_again(work.request.path):
            break
        clear_folder(work.staging)
    raise changed_meanwhile(contents.changed, work.request.path)


def changed_meanwhile(changed: Sequence[str], path: Path) -> DatasetError:
    """The error of files of a set, given their paths and its own, that change whenever they are read."""
    return DatasetError(
        f"{counted(len(changed), 'file')} changed while being read, such as {changed[0]}",
        place=Place(os.fspath(path)),
        remedy="wait until the job that writes them is done",
    )


def renewed(work: Work, old: Snapshot) -> Made | None:
    """Convert what has changed; None where everything is to be converted."""
    manifest, request = old.manifest, work.request
    is_alike = (
        manifest["written_by"] == f"tomoarrow {__version__}"
        and manifest["input"] == os.path.abspath(request.path)
        and manifest["asked"] == asdict(request.asked)
        and (request.project is None or str(request.project.resolve()) == manifest["project"])
    )
    try:
        then = open_old(old)
        if not is_alike:
            return None
        read_ns, found = time.time_ns(), Findings()
        project = Path(manifest["project"])
        seen = survey(sources_table(old), project, manifest["read_ns"])
        # Files that were missing or bad may be there now.
        is_whole = not manifest["rejects"] or request.asked.missing == request.asked.on_bad_file == "error"
        if seen.is_same and is_whole:
            return _same(then, project, seen)
        job = None if is_whole and _only_series(then, seen) else _job(work, then, found)
        contents = update(then, job, seen, request.asked.options, work.staging, found)
        if contents.changed:
            raise TakesAll
        return Made(contents, _sorted(found, contents), read_ns, len(seen.changed))
    except TakesAll:
        clear_folder(work.staging)
        return None


def _same(then: Old, project: Path, seen: Survey) -> Made:
    """What is there already."""
    found = Findings(read_notices(then.snapshot), read_rejects(then.snapshot))
    missing = then.series.table.num_rows - len(then.series.rows)
    contents = Contents(then.snapshot.manifest["kind"], project, "as before", {}, seen.sources, missing)
    return Made(contents, found, then.snapshot.manifest["read_ns"], 0, is_same=True)


def _sorted(found: Findings, contents: Contents) -> Findings:
    """What was found, file after file, so that it does not depend on how many were read at a time."""
    return Findings(by_series(found.notices, contents.series), by_series(found.rejects, contents.series))


def _only_series(then: Old, seen: Survey) -> bool:
    """Whether no other files have changed than tilt series."""
    return not seen.gone and seen.changed <= {*then.series.paths.to_pylist()}


def _job(work: Work, then: Old, found: Findings) -> Job:
    """The tomogram set as it is now."""
    if then.snapshot.manifest["kind"] != "tomogram set" or work.request.asked.on_bad_file == "skip":
        raise TakesAll
    members = find_members(work.request, found)
    if members.job is None or str(members.project.directory) != then.snapshot.manifest["project"]:
        raise TakesAll
    return members.job


def check_rejects(rejects: Sequence[Reject], most: int | None) -> None:
    """Refuse when more is left out than was allowed.

    Raises
    ------
    SchemaError
        There are more rejects than that.
    UsageError
        That is a negative number.
    """
    if most is not None and most < 0:
        raise UsageError(f"max_rejects={most}", expected="0 or more")
    if most is not None and len(rejects) > most:
        first = rejects[0]
        raise SchemaError(
            f"{counted(len(rejects), 'reject')}, more than {most}: nothing was written",
            place=first.place,
            expected=first.reason,
            remedy="correct the files, or allow more with --max-rejects",
        )


def manifest_for(path: Path, made: Made, asked: dict[str, Any], staging: Path) -> Manifest:
    """The manifest of what was made, with the tables that say where it came from."""
    contents, found = made.contents, made.found
    tables = dict(contents.tables)
    # An update has written them beside other work.
    if SOURCES not in tables:
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
        asked=asked,
        read_ns=made.read_ns,
    )


def report_of(dataset: str, manifest: Manifest, made: Made, seconds: float = 0.0) -> Report:
    """What is told of a conversion."""
    contents = made.contents
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
        source_files=contents.sources.num_rows,
        source_bytes=pc.sum(contents.sources.column("bytes"), min_count=0).as_py(),
        seconds=round(seconds, 3),
        rejects=manifest.rejects,
        version=manifest.version,
        read_again=made.read_again,
        warnings=[WarningSummary(**warning) for warning in manifest.warnings],
    )
