"""Datasets for ``torch.utils.data.DataLoader``: what `batches` has, as tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Unpack

import torch
import torch.distributed
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..errors import UsageError
from .arrays import Block
from .batches import Batches, Options, Settings, join_lists, open_rows, open_series
from .matrices import Projections
from .plan import Shard
from .reading import Form


class _Batches(IterableDataset[Any]):
    """Batches of this rank, or of the worker of a DataLoader that iterates.

    A DataLoader takes the batches as they are, with ``batch_size=None``. Each of its workers has its own share.
    `set_epoch` reaches workers that are kept between epochs, too.
    """

    def __init__(self, batches: Batches, settings: Settings) -> None:
        super().__init__()
        self._batches = batches
        self._given: tuple[int, int] | None = None
        if settings.rank is not None and settings.world_size is not None:
            self._given = settings.rank, settings.world_size
        # In memory that workers share, so that those that are kept between epochs see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        """How many batches an epoch has for this rank, all its workers together."""
        return len(self._of_this_process())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._of_this_process())

    def __getstate__(self) -> dict[str, Any]:
        # Workers that are spawned do not know of torch.distributed.
        return {**self.__dict__, "_given": self._ranks()}

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order; before each epoch. Workers see it when they begin to iterate."""
        self._epoch.fill_(epoch)
        self._batches.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """How far this process has come in this epoch.

        ``StatefulDataLoader`` of torchdata asks its workers for it. A ``DataLoader`` does not: with workers,
        `loader_state` says how far it is.
        """
        return self._of_this_process().state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another had stopped, when next iterated; before the workers of a ``DataLoader`` start.

        With these, iterating begins there until `set_epoch` chooses another epoch.

        Raises
        ------
        UsageError
            The state is of another dataset, or of other options; when iterating, of another rank or number of workers.
        """
        self._batches.load_state_dict(state)
        self._epoch.fill_(self._batches.epoch)

    def loader_state(self, taken: int, workers: int, each: int) -> dict[str, Any]:
        """How far workers are together; see the function `loader_state`."""
        return self._of_this_process().loader_state(taken, workers, each)

    def _of_this_process(self) -> Batches:
        worker = get_worker_info()
        rank, world_size = self._ranks()
        self._batches.shard = Shard(rank, world_size, *((0, 1) if worker is None else (worker.id, worker.num_workers)))
        self._batches.set_epoch(int(self._epoch))
        return self._batches

    def _ranks(self) -> tuple[int, int]:
        if self._given is not None:
            return self._given
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1


class TiltSeriesDataset(_Batches):
    """Tilt series, one an item, as dicts of tensors.

    Parameters are those of `tomoarrow.ml.batches.series_batches`, and `Options`. Items are as there, with tensors in
    place of arrays; with `batch_size`, they are padded: `pad_series`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        projections: Projections | None = "4x4",
        image_size: tuple[int, int] | None = None,
        **options: Unpack[Options],
    ) -> None:
        settings = Settings(**options)
        super().__init__(open_series(path, projections, image_size, settings, TORCH), settings)


class TiltDataset(_Batches):
    """Tilt images as dicts of tensors: one a row of ``tilts/``, or batches of these.

    Parameters are those of `tomoarrow.ml.batches.table_batches`, and `Options`.
    """

    def __init__(self, path: str | os.PathLike[str], **options: Unpack[Options]) -> None:
        settings = Settings(**options)
        super().__init__(open_rows(path, "tilts", settings, TORCH), settings)


class ParticleDataset(_Batches):
    """Particles as dicts of tensors: one a row of ``particles/``, or batches of these.

    Parameters are those of `tomoarrow.ml.batches.table_batches`, and `Options`.
    """

    def __init__(self, path: str | os.PathLike[str], **options: Unpack[Options]) -> None:
        settings = Settings(**options)
        super().__init__(open_rows(path, "particles", settings, TORCH), settings)


def loader_state(loader: DataLoader[Any], taken: int) -> dict[str, Any]:
    """How far a ``DataLoader`` is, whose workers read ahead of what it hands out.

    Parameters
    ----------
    loader : DataLoader
        Of a dataset of this module, handing out batches in order, as it does by default.
    taken : int
        How many batches it has handed out since it was last begun.

    Returns
    -------
    dict
        For `load_state_dict` of such a dataset, to go on by a loader with as many workers and the same batch size.
    """
    dataset = loader.dataset
    if not isinstance(dataset, _Batches):
        raise UsageError(
            f"the loader is one of a {type(dataset).__name__}", expected="one of a dataset of tomoarrow.ml"
        )
    if not loader.num_workers:
        return dataset.state_dict()
    return dataset.loader_state(taken, loader.num_workers, loader.batch_size or 1)


def tensors(block: Block) -> dict[str, Any]:
    """Arrays as tensors that share their memory; text and lists as lists of Python."""
    return {
        name: values.tolist() if values.dtype == object else torch.from_numpy(values) for name, values in block.items()
    }


def pad_series(series: Sequence[Mapping[str, Any]], value: float = 0) -> dict[str, Any]:
    """Make one batch of tilt series of different length; a ``collate_fn``.

    Parameters
    ----------
    series : sequence of dict
    value : float
        What fills up the shorter ones.

    Returns
    -------
    dict
        Tensors as [series, tilts of the longest, ...], single numbers as [series], all else as lists; and ``mask``,
        bool[series, tilts], true where there is a tilt: as many as the first tensor of a series is long.
    """
    batch: dict[str, Any] = {}
    for name in series[0]:
        values = [each[name] for each in series]
        batch[name] = _padded(values, value) if all(isinstance(each, torch.Tensor) for each in values) else values
    lengths = torch.tensor([next((len(each) for each in one.values() if _is_column(each)), 0) for one in series])
    batch["mask"] = torch.arange(int(lengths.max())) < lengths[:, None]
    return batch


def _is_column(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0


def _padded(values: list[torch.Tensor], value: float) -> torch.Tensor:
    if values[0].dim() == 0:
        return torch.stack(values)
    return pad_sequence(values, batch_first=True, padding_value=value)


def _cut(values: Any, stops: list[int]) -> Sequence[Any]:
    sizes = [stop - start for start, stop in pairwise([0, *stops])]
    if isinstance(values, torch.Tensor):
        return values.split_with_sizes(sizes)
    return [values[start:stop] for start, stop in pairwise([0, *stops])]


def _joined(parts: list[Any]) -> Any:
    return join_lists(parts) if isinstance(parts[0], list) else torch.cat(parts)


TORCH = Form(tensors, _cut, _joined, pad_series)
