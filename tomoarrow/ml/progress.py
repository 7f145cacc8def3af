"""How far an epoch has come, as something to save beside a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import UsageError
from .plan import Order, Shard


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of an epoch has been handed out.

    Attributes
    ----------
    epoch, rank, world_size, workers : int
    worker : int or None
        Whose progress it is; None for all workers of the rank together, as a DataLoader asks them in turn.
    taken : int
        What was handed out: batches, or `each` of them at a time.
    each : int
    items : int
        Of the whole epoch: rows, or tilt series.
    order : Order
    """

    epoch: int
    rank: int
    world_size: int
    workers: int
    worker: int | None
    taken: int
    each: int
    items: int
    order: Order

    def state(self) -> dict[str, Any]:
        """As numbers and texts that JSON has, too."""
        return asdict(self)

    @classmethod
    def of_state(cls, state: Mapping[str, Any], items: int, order: Order) -> Progress:
        """Progress that was saved.

        Raises
        ------
        UsageError
            It is not the progress through these items in this order.
        """
        try:
            progress = cls(**{**state, "order": Order(**state["order"])})
        except (KeyError, TypeError) as error:
            raise UsageError(f"this is no state of a dataset: {error}") from error
        if progress.items != items or progress.order != order:
            raise UsageError(
                f"the state is that of {progress.items} items, {progress.order}",
                expected=f"{items} items, {order}",
                remedy="resume with the same dataset, filter and options",
            )
        return progress

    def goes_on(self, shard: Shard) -> tuple[Shard, int]:
        """Whose items a worker goes on with, and how many batches of them were handed out.

        A DataLoader asks its workers in turn. Resumed, it begins with the first again, which therefore goes on where
        the worker whose turn it is had stopped; so the order stays.

        Raises
        ------
        UsageError
            The state is that of another rank or worker, or of another number of them.
        """
        saved = Shard(self.rank, self.world_size, self.worker or 0, self.workers)
        now = shard if self.worker is not None else replace(shard, worker=0)
        if saved != now:
            raise UsageError(f"the state is that of {saved}", expected=f"{now}")
        if self.worker is not None:
            return shard, self.taken
        rounds, turn = divmod(self.taken, self.workers)
        owner = replace(shard, worker=(shard.worker + turn) % self.workers)
        return owner, (rounds + (owner.worker < turn)) * self.each
