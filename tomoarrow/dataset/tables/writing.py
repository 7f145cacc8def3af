"""The files of a dataset, each as its tables."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from ...errors import DatasetError, Place, TomoarrowError
from ...relion.kinds import Kind
from ...star.document import Reject
from ...star.source import Held, reads_again
from ...star.tables import Findings, Options
from ..layout import clear_folder
from ..versions.manifest import SourceInfo, TableInfo
from .contents import Contents, Progress
from .members import Members
from .particles import OPTICS, Particles
from .plain import Evidence, StarFile, TypeGrew, Written, as_it_stands, file_evidence, write_pairs, write_plain
from .sources import as_table, source_info, with_digests
from .stacks import Keys, TomogramKeys, stack_file_evidence, write_stack
from .survey import changed_since
from .texts import KeptText, write_texts
from .tilts import Job
from .tomogram_sets import tilt_counts, write_set
from .trajectories import ParticleKeys


class Parts(Protocol):
    """The tilt series of a tomogram set, as other runs have read them."""

    @property
    def texts(self) -> Iterator[pa.Table]:
        """What they have kept of the files' texts."""
        ...

    def write_set(
        self, job: Job, staging: Path, written: Written, *, found: Findings, progress: Progress | None, optics: str
    ) -> Iterator[KeptText]:
        """See `tomoarrow.dataset.tables.tomogram_sets.write_set`; gives the text of the global file only."""
        ...


def write_members(
    members: Members, staging: Path, *, found: Findings, progress: Progress | None, parts: Parts | None = None
) -> Contents:
    """Write the tables of all files into a folder.

    `parts`: what other runs have made of the tomogram set.

    Columns of a file have the types that its front asks for. Where more of it asks for others, the file is looked
    through for the evidence, without keeping values, and the work begins again.
    """
    with ThreadPoolExecutor(1) as pool:
        others = [(source_info(os.path.abspath(file.path), file.path), file) for _, file in members.files]
        # Beside the reading, which leaves a core idle now and then.
        digests = [pool.submit(_digest, file) for _, file in others]
        written, star = _write_all(members, staging, found, progress, parts)
        sources = [replace(source, sha256=each.result()) for (source, _), each in zip(others, digests, strict=True)]
    # Who has made parts has looked at their tilt series, and at the set that names them.
    looked_at, absent = list(sources), 0
    if members.job is not None:
        looked_at += _not_held(members.job) if parts is None else []
        sources += with_digests(members.job.sources, written.digests)
        absent = members.job.table.table.num_rows - len(members.job.present)
    kind = "tomogram set" if members.kind == "RELION 4 tomogram set" else members.kind
    table = as_table(sources)
    tables = written.tables | {"star": star}
    series = [] if members.job is None else [file.path for file in members.job.files]
    home, how = members.project.directory, members.project.how
    changed = changed_since(looked_at, home, members.threads)
    return Contents(kind, home, how, tables, table, absent, series, changed)


def _not_held(job: Job) -> Sequence[SourceInfo]:
    """The sources of a set that are files of this machine: what is held of a store does not change."""
    if job.head is not None:
        return job.sources
    held = {file.path for file in job.files if file.part is not None}
    return [source for source in job.sources if source.path not in held]


def _digest(file: StarFile) -> str:
    """The SHA-256 of a file; empty where it can be read only once."""
    if isinstance(file.source, Held):
        return hashlib.sha256(file.source.data).hexdigest()
    if not isinstance(file.source, str | os.PathLike) or not reads_again(file.source):
        return ""
    with suppress(OSError), open(file.source, "rb") as opened:
        # What is wrong with it is told by who reads it for its values.
        return hashlib.file_digest(opened, "sha256").hexdigest()
    return ""


#: In the place of a loop: those of all blocks of a file, which are stacked.
_ALL: tuple[str, ...] = ("*",)


def _write_all(
    members: Members, staging: Path, found: Findings, progress: Progress | None, parts: Parts | None
) -> tuple[Written, TableInfo]:
    """Write the tables of all files, as often as it takes to know the types of their columns."""
    evidence: dict[str, Evidence] = {}
    while True:
        own, written = Findings(), Written()
        try:
            texts = _texts(members, evidence, staging, written, own, progress, parts)
            star = write_texts(texts, staging, None if parts is None else parts.texts)
            break
        except TypeGrew as grown:
            if grown.file.name in evidence:
                raise DatasetError("the file changed while it was read", place=Place(str(grown.file.path))) from grown
            kind = next(kind for kind, file in members.files if file == grown.file)
            asked = grown.file, members.options, members.threads
            is_stacked = _is_stacked(kind)
            evidence[grown.file.name] = {_ALL: stack_file_evidence(*asked)} if is_stacked else file_evidence(*asked)
            clear_folder(staging)
    found.add(own)
    write_pairs(written, staging)
    return written, star


def _is_stacked(kind: Kind) -> bool:
    return kind in ("trajectory set", "manifold set")


def _texts(
    members: Members,
    evidence: dict[str, Evidence],
    staging: Path,
    written: Written,
    found: Findings,
    progress: Progress | None,
    parts: Parts | None,
) -> Iterator[KeptText]:
    """Write one file after the other, and give what is kept of their texts.

    `evidence`: what is known of the columns of some files.
    """
    counts: dict[str, int | None] | None = None
    if members.job is not None:
        optics = OPTICS if not members.files else "tomogram_optics"
        job = replace(members.job, threads=members.threads)
        write = write_set if parts is None else parts.write_set
        yield from write(job, staging, written, found=found, progress=progress, optics=optics)
        counts = tilt_counts(written, staging)
    particles: Particles | None = None
    for number, (kind, file) in enumerate(members.files):
        known, options = evidence.get(file.name, {}), members.options
        follow = [other for other, _ in members.files[number:]]
        is_named = "trajectory set" in follow
        here = Particles.of(file, options, counts, keeps_names=is_named) if kind == "particle set" else None
        keys = _keys(kind, particles, counts)
        own = Findings()
        texts = _texts_of(file, here, keys, staging, written, options, known, members.threads, own)
        # The optimisation set itself, which is the first, is not left out.
        if members.on_bad_file == "skip" and number:
            texts = _unless_bad(texts, file, staging, written, own)
        yield from texts
        if here is not None and not own.errors:
            here.tell(own)
            particles = here
        own.errors = []
        found.add(own)


def _texts_of(
    file: StarFile,
    particles: Particles | None,
    keys: Keys | None,
    staging: Path,
    written: Written,
    options: Options,
    evidence: Evidence,
    threads: int,
    found: Findings,
) -> Iterator[KeptText]:
    """Write one file, and give what is kept of its text."""
    if keys is not None:
        options = replace(options, evidence=evidence.get(_ALL, {}))
        yield from write_stack(file, keys, staging, written, options=options, threads=threads, found=found)
        return
    shape = as_it_stands if particles is None else particles.shape
    yield from write_plain(
        file, staging, written, options=options, evidence=evidence, threads=threads, found=found, shape=shape
    )


def _unless_bad(
    texts: Iterator[KeptText], file: StarFile, staging: Path, written: Written, found: Findings
) -> Iterator[KeptText]:
    """What is kept of the text of a file; where that cannot be read it is left out, with its tables, and listed."""
    folders, tables, n_pairs = {*staging.iterdir()}, {*written.tables}, len(written.pairs)
    try:
        yield from list(texts)
    except TomoarrowError as error:
        for folder in {*staging.iterdir()} - folders:
            shutil.rmtree(folder)
        for name in {*written.tables} - tables:
            del written.tables[name]
        del written.pairs[n_pairs:]
        first = error.errors[0]
        reason = f"the file is left out: {first.problem}"
        found.notices.clear()
        found.rejects[:] = [Reject(first.place, first.place.label or "", first.place.text, reason)]
        found.errors.append(error)


def _keys(kind: Kind, particles: Particles | None, counts: dict[str, int | None] | None) -> Keys | None:
    """What stands beside the rows of stacked blocks; None for other sets."""
    if not _is_stacked(kind):
        return None
    return TomogramKeys() if kind == "manifold set" else _particle_keys(particles, counts)


def _particle_keys(particles: Particles | None, counts: dict[str, int | None] | None) -> ParticleKeys:
    names = tomograms = None
    if particles is not None and particles.names:
        names = pa.chunked_array(chain.from_iterable(each.chunks for each in particles.names)).combine_chunks()
        tomograms = pa.chunked_array(
            [chunk.cast(pa.string()) for each in particles.tomograms for chunk in each.chunks]
        ).combine_chunks()
    return ParticleKeys(names, tomograms, counts or {})
