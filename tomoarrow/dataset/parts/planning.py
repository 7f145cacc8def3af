"""A conversion in parts, by many processes or machines that share a file system: who does what.

Three steps, and no server: `plan` cuts the tomograms of a set into parts of like size, `partition` converts one part,
`finalise` makes one dataset of them. Between these, all there is is the folder ``NAME.parts`` beside the dataset: the
plan, the rows of the global table for each part, and the parts.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from ...errors import DatasetError, Place, UsageError
from ...relion.series import series_evidence
from ...star.tables import Findings, OnBadValue
from ...star.threads import cores
from ..asked import Asked, OnBadFile, OnMissing
from ..layout import flush_folders
from ..paths import told
from ..stores.urls import folder_of
from ..tables.members import Request, find_members
from ..tables.tilts import Job
from ..versions.staging import Staging, check_target, staged

#: How many tilt series are looked at to guess the columns of all; where others have more, `finalise` mends that.
_SAMPLE = 64

_FORMAT = "tomoarrow plan 1"

_PLAN, _ROWS = "plan.json", "rows.arrow"


@dataclass(frozen=True, slots=True)
class Plan:
    """Who does what.

    Attributes
    ----------
    id : str
    input, dataset, project : str
    set_file, set_name : str
        The global file, and its path as the project has it.
    sha256, size, mtime_ns : str, int, int
        Of the global file.
    asked : Asked
    force : bool
        Whether a dataset that is there is replaced.
    bounds : list of int
        Part ``k`` has the tomograms of the rows from ``bounds[k]`` to ``bounds[k + 1]`` of the global table.
    sizes : list of int
        The bytes of the tilt series of each part.
    evidence : dict
        What some tilt series hold that the types of their columns depend on.
    """

    id: str
    input: str
    dataset: str
    project: str
    set_file: str
    set_name: str
    sha256: str
    size: int
    mtime_ns: int
    asked: Asked
    force: bool
    bounds: list[int]
    sizes: list[int]
    evidence: dict[str, int]

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return len(self.sizes)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain values, for JSON."""
        return asdict(self) | {"parts": self.parts}


def plan(
    source: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    parts: int | Callable[[int, int], int],
    project: str | os.PathLike[str] | None = None,
    partition_by: str | None = None,
    force: bool = False,
    missing: OnMissing = "error",
    on_bad_value: OnBadValue = "error",
    on_bad_file: OnBadFile = "error",
    allow_outside: bool = False,
) -> Plan:
    """Cut a conversion into parts; the other parameters are those of `tomoarrow.convert`.

    This looks whether the tilt series are there, and into some of them for their columns. None is converted.

    Parameters
    ----------
    parts : int or callable
        How many parts to make; or a function that says so, given the bytes of all tilt series and the number of
        tomograms.
    force : bool
        Let `finalise` replace an existing dataset.

    Returns
    -------
    Plan
        It is also kept in ``NAME.parts/plan.json``, in the place of any that was there.

    Raises
    ------
    UsageError
        The input is no tomogram set of tilt-series files, nor an optimisation set with one.
    TomoarrowError
        As for `convert`.
    """
    asked = Asked(missing, on_bad_value, on_bad_file, partition_by, allow_outside)
    if isinstance(parts, int) and parts < 1:
        raise UsageError(f"parts={parts}", expected="1 or more")
    target, path = Path(os.path.abspath(folder_of(dataset, "a plan"))), folder_of(source, "a plan")
    check_target(target, force=force)
    home = None if project is None else folder_of(project, "a plan")
    job = find_members(Request(path, path, home, asked, cores()), Findings()).job
    if job is None or job.head is not None:
        raise UsageError(
            f"{path} is no set of tilt-series files: nothing else can be converted in parts",
            remedy="convert it with convert, which reads files of any size piece by piece",
        )
    n_parts = parts if isinstance(parts, int) else parts(sum(job.sizes), job.table.table.num_rows)
    bounds, sizes = _cut(job, n_parts)
    made = Plan(
        id=secrets.token_hex(8),
        input=os.path.abspath(path),
        dataset=os.fspath(target),
        project=str(job.project.directory),
        set_file=os.path.abspath(job.file.path),
        set_name=job.file.name,
        sha256=job.sources[0].sha256,
        size=job.sources[0].bytes,
        mtime_ns=job.sources[0].mtime_ns,
        asked=asked,
        force=force,
        bounds=bounds,
        sizes=sizes,
        evidence=_evidence(job),
    )
    _keep(made, job.table.table, target)
    return made


def parts_folder(target: Path) -> Path:
    """Where the parts of a dataset are, until it is finalised."""
    return target.with_name(f"{target.name}.parts")


def part_folder(target: Path, part: int) -> Path:
    """Where a part is, when it is done: a small dataset."""
    return parts_folder(target) / f"part-{part:05d}"


def read_plan(dataset: str | os.PathLike[str]) -> Plan:
    """The plan of a dataset.

    Raises
    ------
    DatasetError
        There is none, or it is damaged.
    UsageError
        The dataset is a URL.
    """
    path = parts_folder(Path(os.path.abspath(folder_of(dataset, "a plan")))) / _PLAN
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") != _FORMAT:
            raise ValueError("another version of tomoarrow made it")
        return Plan(**found | {"asked": Asked(**found["asked"])})
    except FileNotFoundError as error:
        raise DatasetError(
            "there is no plan for this dataset: none was made, or it is finalised",
            place=Place(os.fspath(dataset)),
            expected=str(path),
            remedy=f"tomoarrow plan INPUT {shlex.quote(os.fspath(dataset))} --parts N",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise DatasetError(f"the plan cannot be read: {error}", place=Place(str(path)), remedy="plan again") from error


def read_rows(plan: Plan, part: int) -> pa.Table:
    """The rows of the global table that a part has.

    Raises
    ------
    DatasetError
        The file of them is damaged.
    """
    path = parts_folder(Path(plan.dataset)) / _ROWS
    try:
        with pa.OSFile(str(path)) as file:
            rows = pa.Table.from_batches([pa.ipc.open_file(file).get_batch(part)])
            rows.validate(full=True)
            return rows
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"the plan cannot be read: {error}", place=Place(str(path)), remedy="plan again") from error


def slurm_script(made: Plan, *, threads: int = 4) -> str:
    """A job array for Slurm, with a job behind it that finalises."""
    dataset = shlex.quote(made.dataset)
    return f"""#!/bin/bash
# Parts of like size: submit with `sbatch convert.sh`, on nodes that share the file system.
#SBATCH --job-name=tomoarrow
#SBATCH --array=0-{made.parts - 1}
#SBATCH --cpus-per-task={threads}
#SBATCH --mem={2 + threads // 4}G
#SBATCH --time=01:00:00
set -euo pipefail
if [ "$SLURM_ARRAY_TASK_ID" = 0 ]; then
  # It waits for all of this array, and refuses to run when one of them failed.
  sbatch --job-name=tomoarrow-finalise --dependency="afterok:$SLURM_ARRAY_JOB_ID" --kill-on-invalid-dep=yes \\
    --cpus-per-task={threads} --mem=8G --time=01:00:00 --wrap={shlex.quote(f"tomoarrow finalise {dataset}")}
fi
tomoarrow partition {dataset} --part "$SLURM_ARRAY_TASK_ID" --threads "$SLURM_CPUS_PER_TASK"
"""


def _cut(job: Job, parts: int) -> tuple[list[int], list[int]]:
    """Rows of the global table for each part: of like size in bytes, none without a row."""
    rows = job.table.table.num_rows
    sizes = np.zeros(rows, np.int64)
    sizes[job.present] = job.sizes
    ends = np.cumsum(sizes)
    n = max(1, min(parts, rows))
    wanted = np.arange(1, n) * (int(ends[-1]) if rows else 0) / n
    inner = np.searchsorted(ends, wanted, side="left") + 1
    # Each part has a row at least, whatever the sizes.
    inner = np.maximum.accumulate(np.maximum(inner - np.arange(n - 1), 1)) + np.arange(n - 1)
    inner = np.minimum(inner, rows - np.arange(n - 1, 0, -1))
    bounds = [0, *inner.tolist(), rows]
    return bounds, [int(sizes[begin:end].sum()) for begin, end in pairwise(bounds)]


def _evidence(job: Job) -> dict[str, int]:
    """What some tilt series hold, the first and the last among them; bad ones are told of by who converts them."""
    chosen = np.unique(np.linspace(0, max(0, len(job.files) - 1), _SAMPLE).astype(int)).tolist()
    return series_evidence([job.files[i] for i in chosen if i < len(job.files)], job.options, Findings())


def _keep(made: Plan, table: pa.Table, target: Path) -> None:
    """Write the plan and the global table; parts of a plan that was there are gone then."""
    folder = parts_folder(target)
    with told(folder), staged(target, force=made.force) as staging:
        if folder.exists() and not (folder / _PLAN).exists() and any(folder.iterdir()):
            raise DatasetError("something is in the way of the plan", place=Place(str(folder)), remedy="move it")
        new = staging.folder / "new"
        new.mkdir()
        with (new / _ROWS).open("wb") as file:
            _write_rows(table, made.bounds, file)
            file.flush()
            os.fsync(file.fileno())
        with (new / _PLAN).open("w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT} | asdict(made), file)
            file.flush()
            os.fsync(file.fileno())
        flush_folders([new])
        remove_parts(staging)
        try:
            os.rename(new, folder)
        except OSError:
            with suppress(OSError):
                os.rename(_removed(staging), folder)
            raise
        flush_folders([folder.parent])


def _write_rows(table: pa.Table, bounds: list[int], file: IO[bytes]) -> None:
    """Write a record batch for each part, so that none reads the rows of the others."""
    table = table.unify_dictionaries()
    with pa.ipc.new_file(file, table.schema) as writer:
        for begin, end in pairwise(bounds):
            columns = [column.combine_chunks() for column in table.slice(begin, end - begin).columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=table.schema))


def remove_parts(staging: Staging) -> None:
    """Move all parts to where the next sweep removes them: a killed run leaves no half of them in the way."""
    assert isinstance(staging.target, Path)
    folder = parts_folder(staging.target)
    if folder.exists():
        # A commit may have made the staged folder the dataset.
        staging.folder.mkdir(exist_ok=True)
        os.rename(folder, _removed(staging))


def _removed(staging: Staging) -> Path:
    return staging.folder / "parts"
