"""A conversion by the workers of a dask cluster: plan here, partition there, finalise here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DatasetError, Place
from ..report import Report
from ..tables.contents import Progress
from .assembling import finalise
from .partition import partition
from .planning import parts_folder, plan

if TYPE_CHECKING:
    from distributed import Client, Future

#: A part has no fewer tilt series than this: a task costs milliseconds, a tilt series less than one.
_LEAST_SERIES = 200

#: A part has no more text than this, which takes one thread a few seconds.
_MOST_BYTES = 256 << 20

#: How many parts each worker has, so that the last one to end does not keep all others waiting.
PARTS_A_THREAD = 2

#: A part is begun so often when workers are lost.
_RETRIES = 3

#: Parts that go on when others have failed are waited for so long.
_PATIENCE_S = 60.0


def convert_with(
    client: Client,
    source: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    max_rejects: int | None,
    progress: Progress | None,
    **options: Any,
) -> Report:
    """Convert a set by the workers of a cluster, which share a file system with this process.

    Parameters
    ----------
    client : distributed.Client
    source, dataset : path
    max_rejects : int or None
    progress : callable or None
    **options
        Those of `tomoarrow.plan`.

    Raises
    ------
    DatasetError
        Workers were lost again and again, or do not see the same files.
    TomoarrowError
        As for `tomoarrow.convert`.
    """
    from distributed import as_completed  # noqa: PLC0415  (takes an extra)
    from distributed.scheduler import KilledWorker  # noqa: PLC0415

    threads = sum(client.nthreads().values()) or 1
    made = plan(source, dataset, parts=partial(_parts_for, threads), **options)
    target = Path(made.dataset)
    futures: list[Future[int]] = []
    try:
        futures = client.map(
            _partition,
            [made.dataset] * made.parts,
            range(made.parts),
            retries=_RETRIES,
            pure=False,
            key="tomoarrow-part",
        )
        done = 0
        for future in as_completed(futures):
            part = future.result()
            done += made.bounds[part + 1] - made.bounds[part]
            if progress is not None:
                progress(done, made.bounds[-1])
        return finalise(dataset, max_rejects=max_rejects)
    except KilledWorker as error:
        raise DatasetError(
            f"workers were lost, {_RETRIES + 1} times with the same part",
            place=Place(made.dataset),
            remedy="look into the logs of the workers: most are killed for their memory",
        ) from error
    finally:
        _give_up(client, [future for future in futures if not future.done()])
        shutil.rmtree(parts_folder(target), ignore_errors=True)


def _give_up(client: Client, futures: Sequence[Future[int]]) -> None:
    """Let no further part begin, and wait for those that have: nothing stops them, and they write to the folder."""
    from distributed import wait  # noqa: PLC0415  (takes an extra)

    if not futures or client.status != "running":
        return
    # A cluster that does not answer any more has no parts that go on.
    with suppress(OSError, TimeoutError):
        begun = {key for keys in client.processing().values() for key in keys}
        client.cancel([future for future in futures if future.key not in begun])
        wait([future for future in futures if future.key in begun], timeout=_PATIENCE_S)


def _parts_for(threads: int, size: int, tomograms: int) -> int:
    """How many parts: of several seconds each, but some for each thread."""
    parts = max(PARTS_A_THREAD * threads, -(-size // _MOST_BYTES))
    return min(parts, max(threads, tomograms // _LEAST_SERIES))


def _partition(dataset: str, part: int) -> int:
    """One part, by one thread: a worker has as many of these at once as it has threads."""
    partition(dataset, part, threads=1)
    return part
