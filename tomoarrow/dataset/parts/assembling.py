"""Parts of a conversion made one dataset: their files are linked as they are, where their columns are those of all."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...errors import DatasetError, Place, counted, first_of
from ...star.tables import Findings, add_evidence
from ...star.threads import threads_for
from ..layout import Part, PartWriter, write_table
from ..paths import told
from ..report import Report
from ..tables.contents import Progress
from ..tables.join import TiltSchema, tilt_schema
from ..tables.members import Request, find_members
from ..tables.noticed import by_series, read_notices, read_rejects
from ..tables.plain import Written
from ..tables.sources import Known
from ..tables.texts import KeptTable, KeptText
from ..tables.tilts import Job, tilt_fields
from ..tables.tomogram_sets import add_tilts, texts_of_set, write_global
from ..tables.writing import write_members
from ..updating.making import Made, changed_meanwhile, check_rejects, manifest_for, report_of
from ..versions.manifest import FILE_NAME, SourceInfo, read_manifest
from ..versions.snapshot import Snapshot
from ..versions.staging import commit, staged
from .partition import DonePart, check_global, check_unchanged, convert_part, finished
from .planning import Plan, read_plan, remove_parts

_MOST_NAMED = 20


def finalise(
    dataset: str | os.PathLike[str],
    *,
    threads: int | None = None,
    max_rejects: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make one dataset of all parts of a plan, in one step, and remove the parts.

    Parameters
    ----------
    dataset : path
        As it was given to `plan`.
    threads, max_rejects, progress
        As for `convert`.

    Returns
    -------
    Report
        Of all parts together.

    Raises
    ------
    DatasetError
        Parts are not done, or the project has changed since; the message says what to do. Nothing has changed then.
    TomoarrowError
        As for `convert`.
    """
    started = time.perf_counter()
    n_threads = threads_for(threads)
    plan = read_plan(dataset)
    target = Path(plan.dataset)
    with told(target), staged(target, force=plan.force or _is_finalised(plan)) as staging:
        # Another run may have finalised meanwhile.
        plan = read_plan(dataset)
        check_global(plan)
        done = _all_parts(plan, n_threads)
        read_ns, found = min(each.snapshot.manifest["read_ns"] for each in done), Findings()
        given = Path(plan.input)
        known = {info.path: Known(info) for each in done for info in each.sources}
        members = find_members(Request(given, given, Path(plan.project), plan.asked, n_threads, known), found)
        assert members.job is not None
        check_unchanged(plan, members.job.sources[0].sha256)
        parts = FinishedParts(plan, done)
        contents = write_members(members, staging.folder, found=found, progress=progress, parts=parts)
        if contents.changed:
            raise changed_meanwhile(contents.changed, given)
        sorted_ = Findings(by_series(found.notices, contents.series), by_series(found.rejects, contents.series))
        check_rejects(sorted_.rejects, max_rejects)
        made = Made(contents, sorted_, read_ns)
        manifest = commit(staging, manifest_for(given, made, asdict(plan.asked), staging.folder))
        with suppress(OSError):
            remove_parts(staging)
    return report_of(os.fspath(dataset), manifest, made, time.perf_counter() - started)


def _is_finalised(plan: Plan) -> bool:
    """Whether the dataset is that of these parts: a run was killed before it removed them."""
    target = Path(plan.dataset)
    if not (target / FILE_NAME).exists():
        return False
    parts = [finished(plan, part) for part in range(plan.parts)]
    read_ns = [part.snapshot.manifest["read_ns"] for part in parts if part is not None]
    return len(read_ns) == plan.parts and read_manifest(target)["read_ns"] == min(read_ns)


def _all_parts(plan: Plan, threads: int) -> list[DonePart]:
    """All parts, opened.

    Raises
    ------
    DatasetError
        Some are not done.
    """
    found = {part: finished(plan, part, threads) for part in range(plan.parts)}
    absent = [part for part, done in found.items() if done is None]
    if absent:
        named = first_of(absent, _MOST_NAMED)
        raise DatasetError(
            f"{len(absent)} of {plan.parts} parts are not done, or their tilt series have changed since: {named}",
            place=Place(plan.dataset),
            remedy=f"tomoarrow partition {shlex.quote(plan.dataset)} --part {absent[0]}, and so on",
        )
    return [done for done in found.values() if done is not None]


@dataclass(frozen=True, slots=True)
class FinishedParts:
    """The tilt series of a set as all parts have them."""

    plan: Plan
    done: list[DonePart]

    @property
    def snapshots(self) -> list[Snapshot]:
        """The small dataset of each part."""
        return [each.snapshot for each in self.done]

    @property
    def texts(self) -> Iterator[pa.Table]:
        """What is kept of the texts of tilt-series files, part after part."""
        # Of the list itself, in which parts that are converted again take the place of others before the first is read.
        return (KeptTable.of(part.snapshot).table for part in self.done if "star" in part.snapshot.tables)

    def write_set(
        self, job: Job, staging: Path, written: Written, *, found: Findings, progress: Progress | None, optics: str
    ) -> Iterator[KeptText]:
        """Link or write ``tilts/``, and write the tables of the global file; give the text of that."""
        schema, evidence = self._schema(job)
        fitting = [self._fitting(part, schema, evidence, job) for part in self.done]
        again = [
            source for new, old in zip(fitting, self.done, strict=True) if new is not old for source in new.sources
        ]
        _check_same(job, again)
        written.digests |= {source.path: source.sha256 for source in again}
        self.done[:] = fitting
        counts = self._counts(job)
        parts: list[Part] = []
        for done, snapshot in enumerate(self.snapshots, 1):
            parts += _take_over(snapshot, schema, job, staging, len(parts))
            found.notices += read_notices(snapshot)
            found.rejects += read_rejects(snapshot)
            if progress is not None:
                progress(self.plan.bounds[done], self.plan.bounds[-1])
        known = np.flatnonzero(counts >= 0)
        write_global(job, known, counts[known], staging, written, found=found, optics=optics)
        parts = parts or write_table(schema.schema.empty_table(), staging / "tilts", staging)
        add_tilts(written, job, schema, sorted(parts, key=_folder), int(counts[known].sum()))
        yield next(texts_of_set(job, [None] * len(job.files), optics))

    def _schema(self, job: Job) -> tuple[TiltSchema, dict[str, int]]:
        """The columns of all parts, in the order in which the files have them first."""
        union: dict[str, int] = {}
        for snapshot in self.snapshots:
            add_evidence(union, snapshot.manifest["asked"]["evidence"])
        order: dict[str, None] = {}
        for table in map(KeptTable.of, (each for each in self.snapshots if "star" in each.tables)):
            for labels in table.all_labels():
                order |= dict.fromkeys(labels)
        evidence = {label: union[label] for label in [*order, *union] if label in union}
        return tilt_schema(tilt_fields(evidence, job.options), job.table.table), evidence

    def _fitting(self, done: DonePart, schema: TiltSchema, evidence: dict[str, int], job: Job) -> DonePart:
        """A part; converted again where a column has another type in all: how it is written depends on that, too."""
        stored = _stored_types(done.snapshot)
        for field in schema.tilt:
            there = stored.get(f"tilt_series/{field.name}")
            if there is not None and there != field.type:
                part = done.snapshot.manifest["asked"]["part"]
                return convert_part(self.plan, part, evidence, job.threads)
        return done

    def _counts(self, job: Job) -> NDArray[np.int64]:
        """How many tilts each tomogram has; -1 where its tilt series is not there."""
        counts: list[int | None] = []
        for snapshot in self.snapshots:
            columns = snapshot.manifest["tables"]["tomograms"]["columns"]
            name = next(column["name"] for column in columns if column["origin"] == "count")
            for file in snapshot.tables["tomograms"]:
                counts += pq.read_table(file.source, columns=[name]).column(0).to_pylist()
        if len(counts) != job.table.table.num_rows:
            raise DatasetError(f"{len(counts)} tomograms in parts, {job.table.table.num_rows} in all: a bug")
        found = np.array([-1 if count is None else count for count in counts], np.int64)
        absent = np.setdiff1d(np.flatnonzero(found >= 0), job.present)
        if len(absent):
            name = job.table.names[int(absent[0])]
            problem = f"the tilt series of {counted(len(absent), 'tomogram is', 'tomograms are')} gone, such as {name}"
            raise DatasetError(problem, place=Place(self.plan.set_file), remedy="plan again")
        return found


def _check_same(job: Job, again: list[SourceInfo]) -> None:
    """Refuse files that were read again and are others than those that the columns of all are known from.

    Raises
    ------
    DatasetError
    """
    then = {source.path: (source.bytes, source.mtime_ns) for source in job.sources}
    now = {source.path: (source.bytes, source.mtime_ns) for source in again}
    changed = [path for path in now if then.get(path) != now[path]]
    if changed:
        raise changed_meanwhile(changed, job.file.path)


def _folder(part: Part) -> str:
    return str(PurePosixPath(part.path).parent)


def _stored_types(snapshot: Snapshot) -> dict[str, pa.DataType]:
    """The types of the columns of ``tilts/``, by where they came from; not of those that are folders."""
    schema = pq.read_schema(snapshot.tables["tilts"][0].source)
    columns = snapshot.manifest["tables"]["tilts"]["columns"]
    return {each["origin"]: schema.field(each["name"]).type for each in columns if each["name"] in schema.names}


def _take_over(snapshot: Snapshot, schema: TiltSchema, job: Job, staging: Path, first: int) -> list[Part]:
    """The files of a part in the dataset: linked, or written with the columns of all."""
    partition_by = schema.column_of(job.partition_by)
    wanted = schema.schema
    if partition_by is not None:
        wanted = wanted.remove(wanted.get_field_index(partition_by))
    listed = {each["path"]: Part(**each) for each in snapshot.manifest["tables"]["tilts"]["files"]}
    origins = {each["name"]: each["origin"] for each in snapshot.manifest["tables"]["tilts"]["columns"]}
    found: list[Part] = []
    for file in snapshot.tables["tilts"]:
        part = listed[file.path]
        if not part.rows:
            continue
        folder = staging / _folder(part)
        path = folder / f"part-{first + len(found):05d}.parquet"
        if pq.read_schema(file.source).equals(wanted):
            folder.mkdir(parents=True, exist_ok=True)
            _link(Path(file.place), path)
            found.append(replace(part, path=path.relative_to(staging).as_posix()))
            continue
        table = pq.read_table(file.source, partitioning=None)
        by_origin = {origins[name]: table.column(name) for name in table.column_names}
        columns = [_as(by_origin.get(schema.origins[field.name]), field.type, table.num_rows) for field in wanted]
        with PartWriter(folder, staging, wanted, first=first + len(found), file_rows=table.num_rows + 1) as writer:
            writer.write(pa.Table.from_arrays(columns, schema=wanted))
        found += writer.parts
    return found


def _as(column: pa.ChunkedArray | None, type_: pa.DataType, rows: int) -> pa.ChunkedArray | pa.Array:
    if column is None:
        return pa.nulls(rows, type_)
    return column if column.type == type_ else column.cast(type_)


def _link(file: Path, path: Path) -> None:
    try:
        os.link(file, path)
    except OSError:
        # Not all file systems have links.
        shutil.copyfile(file, path)
        with path.open("rb") as copied:
            os.fsync(copied.fileno())
