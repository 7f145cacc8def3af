"""The dask cluster that the command line names."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def cluster_client(scheduler: str | None, processes: int | None) -> Iterator[Client | None]:
    """A client of the cluster at an address, or of one of some processes of this machine; None where neither is named.

    Raises
    ------
    UsageError
        Both are named, dask is not installed, or nothing answers at the address.
    """
    if scheduler is None and processes is None:
        yield None
        return
    if scheduler is not None and processes is not None:
        raise UsageError("--scheduler and --local-cluster cannot both be given", expected="one of them")
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UsageError("dask is not installed", remedy="pip install 'tomoarrow[dask]'") from error
    logging.getLogger("distributed").setLevel(logging.ERROR)
    if processes is not None:
        with (
            LocalCluster(n_workers=processes, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout="20s")
    except (OSError, ValueError) as error:
        raise UsageError(f"no dask scheduler answers at {scheduler}", expected="such as tcp://host:8786") from error
    with client:
        yield client
