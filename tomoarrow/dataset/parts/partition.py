"""One part of a conversion: a small dataset of some tomograms, beside the dataset to be."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DatasetError, Place, UsageError
from ...star.source import read_text
from ...star.tables import Findings
from ...star.threads import threads_for
from ..layout import clear_folder
from ..paths import told
from ..report import Report
from ..tables.contents import Contents, Progress
from ..tables.particles import OPTICS
from ..tables.plain import StarFile, Written
from ..tables.sources import as_table, read_sources, with_digests
from ..tables.survey import changed_since
from ..tables.texts import write_texts
from ..tables.tomogram_sets import prepare_rows, write_set
from ..updating.making import MOST_TRIES, Made, changed_meanwhile, manifest_for, report_of
from ..versions.lock import Busy
from ..versions.manifest import FILE_NAME, SourceInfo, manifest_of
from ..versions.snapshot import Snapshot, open_snapshot
from ..versions.staging import commit, staged
from .planning import Plan, part_folder, read_plan, read_rows

#: How often a part looks whether another run of the same is done.
_PATIENCE_S = 0.2


@dataclass(frozen=True, slots=True)
class DonePart:
    """A part that is done, and the tilt-series files that it was made of."""

    snapshot: Snapshot
    sources: list[SourceInfo]


def partition(
    dataset: str | os.PathLike[str],
    part: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Convert one part of a plan.

    A part that is done is not converted again, unless its tilt series have changed since. While another run converts
    the same part, this one waits for it.

    Parameters
    ----------
    dataset : path
        As it was given to `plan`.
    part : int
        Which one, counted from 0.
    threads : int, optional
        How many threads to use; by default as many as there are cores. With 1, no more than one core is used.
    progress : callable, optional
        Called with how many tomograms of this part are done and how many it has.

    Returns
    -------
    Report
        Of this part.

    Raises
    ------
    DatasetError
        There is no plan, or its global file has changed since.
    UsageError
        There is no such part, or no such number of threads.
    TomoarrowError
        As for `convert`.
    """
    started = time.perf_counter()
    n_threads = threads_for(threads)
    plan = read_plan(dataset)
    if not 0 <= part < plan.parts:
        raise UsageError(f"there is no part {part}", expected=f"one from 0 to {plan.parts - 1}")
    done = convert_part(plan, part, plan.evidence, n_threads, progress)
    snapshot = done.snapshot
    contents = Contents(snapshot.manifest["kind"], Path(plan.project), "as planned", {}, as_table(done.sources))
    manifest = manifest_of(snapshot.manifest)
    return report_of(str(snapshot.folder), manifest, Made(contents, Findings(), 0), time.perf_counter() - started)


def finished(plan: Plan, part: int, threads: int = 1) -> DonePart | None:
    """A part as it was made, if it was, by this plan, is whole, and its tilt series are the same still."""
    folder = part_folder(Path(plan.dataset), part)
    if not (folder / FILE_NAME).exists():
        return None
    snapshot = open_snapshot(folder, is_checked=False)
    if snapshot.changed_tables() or snapshot.manifest["asked"].get("plan") != plan.id:
        return None
    sources = read_sources(snapshot)
    return None if changed_since(sources, Path(plan.project), threads) else DonePart(snapshot, sources)


def check_global(plan: Plan) -> None:
    """Refuse a plan whose global file has changed: to look at it again costs more than what most parts are.

    Raises
    ------
    DatasetError
    """
    known = SourceInfo(plan.set_file, plan.size, plan.mtime_ns, plan.sha256)
    if changed_since([known], Path(plan.project), 1):
        check_unchanged(plan, read_text(plan.set_file).digest(0))


def check_unchanged(plan: Plan, sha256: str) -> None:
    """Refuse a plan whose global file has another checksum now.

    Raises
    ------
    DatasetError
    """
    if sha256 != plan.sha256:
        place = Place(plan.set_file)
        raise DatasetError("the global file has changed since the plan", place=place, remedy="plan again")


def convert_part(
    plan: Plan, part: int, evidence: Mapping[str, int], threads: int, progress: Progress | None = None
) -> DonePart:
    """Convert a part, if that is not done, with what is known of the columns of all."""
    target = part_folder(Path(plan.dataset), part)
    while True:
        there = finished(plan, part)
        if there is not None and _knows(there, evidence):
            return there
        try:
            with told(target), staged(target, force=True) as staging:
                # The run that was waited for may have done it.
                there = finished(plan, part)
                if there is None or not _knows(there, evidence):
                    made, known = _make(plan, part, evidence, threads, staging.folder, progress)
                    _check_current(plan)
                    asked = {"plan": plan.id, "part": part, "evidence": dict(known)}
                    commit(staging, manifest_for(Path(plan.set_file), made, asked, staging.folder))
        except Busy:
            time.sleep(_PATIENCE_S)


def _check_current(plan: Plan) -> None:
    """Refuse a part of a plan that another one has replaced meanwhile: it would take the place of a part of that.

    Raises
    ------
    DatasetError
    """
    if read_plan(plan.dataset).id != plan.id:
        place = Place(plan.dataset)
        raise DatasetError("another plan has been made meanwhile", place=place, remedy="convert the parts of that one")


def _knows(there: DonePart, evidence: Mapping[str, int]) -> bool:
    """Whether the columns of a part were made with this in mind."""
    known = there.snapshot.manifest["asked"]["evidence"]
    return all(bits & ~known.get(label, 0) == 0 for label, bits in evidence.items())


def _make(
    plan: Plan, part: int, evidence: Mapping[str, int], threads: int, staging: Path, progress: Progress | None
) -> tuple[Made, Mapping[str, int]]:
    """Write the tables of a part."""
    file = StarFile(plan.set_name, Path(plan.set_file), Path(plan.set_file))
    check_global(plan)
    rows = read_rows(plan, part)
    for _ in range(MOST_TRIES):
        read_ns, found, written = time.time_ns(), Findings(), Written()
        job = prepare_rows(file, Path(plan.project), plan.asked, rows)
        job = replace(job, threads=threads, evidence=evidence)
        texts = write_set(job, staging, written, found=found, progress=progress, optics=OPTICS)
        next(texts)
        of_series = [*texts]
        tables = written.tables | ({"star": write_texts(of_series, staging)} if of_series else {})
        sources = with_digests(job.sources, written.digests)
        changed = changed_since(sources, job.project.directory, threads)
        if not changed:
            missing = rows.num_rows - len(job.present)
            paths = [each.path for each in job.files]
            home, table = job.project.directory, as_table(sources)
            contents = Contents("tomogram set", home, "as planned", tables, table, missing, paths)
            return Made(contents, found, read_ns), written.evidence
        clear_folder(staging)
    raise changed_meanwhile(changed, file.path)
