"""One work, done by tomoarrow, by its peers, and by a floor that no reader can pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import pyarrow as pa

from .agree import DisagreementError, check_agreement
from .measure import Contestant, Times, in_turns, timed
from .results import Result, Row


@dataclass(frozen=True, slots=True)
class Contest:
    """Who does what.

    Attributes
    ----------
    work : str
        ``W1`` and so on.
    title, size : str
        What is done, and on how much.
    ours : Contestant
    peers : tuple of Contestant
    floor : Contestant, optional
        Its `aim` is how much of tomoarrow's time it should be, at least.
    """

    work: str
    title: str
    size: str
    ours: Contestant
    peers: tuple[Contestant, ...]
    floor: Contestant | None = None


def hold(contest: Contest, rounds: int) -> Result:
    """Check that all find the same, then time them in turns.

    Raises
    ------
    DisagreementError
        A peer finds something else: nothing is timed.
    """
    absent = {peer.name: missing for peer in contest.peers if (missing := _missing(peer))}
    others = [peer for peer in contest.peers if peer.name not in absent]
    _check(contest.ours, others)
    if contest.floor is not None:
        timed(contest.floor)
        others.append(contest.floor)
    ours, *theirs = in_turns([contest.ours, *others], rounds)
    return Result(
        work=contest.work,
        title=contest.title,
        size=contest.size,
        ours_s=ours.median_s,
        ours_best_s=ours.best_s,
        ours_cpu_s=ours.cpu_s,
        rounds=len(ours.seconds),
        rows=tuple(
            _row(peer, times, ours, is_floor=peer is contest.floor) for peer, times in zip(others, theirs, strict=True)
        ),
        left_out=tuple(f"{name}: {' and '.join(missing)} not installed" for name, missing in absent.items()),
    )


def _missing(peer: Contestant) -> list[str]:
    return [package for package in peer.needs if find_spec(package) is None]


def _check(ours: Contestant, others: Sequence[Contestant]) -> None:
    """Compare what each makes; these runs also warm up."""
    reference = _made(ours)
    for peer in others:
        theirs = _made(peer)
        if reference is None or theirs is None:
            continue
        part = reference.slice(0, reference.num_rows // peer.scale)
        check_agreement(part, theirs, who=peer.name, within=peer.within)


def _made(contestant: Contestant) -> pa.Table | None:
    *_, result = timed(contestant)
    if contestant.table is None:
        return None
    table = contestant.table(result)
    if not table.num_rows:
        raise DisagreementError(f"{contestant.name} found no rows")
    return table


def _row(peer: Contestant, theirs: Times, ours: Times, *, is_floor: bool) -> Row:
    return Row(
        name=peer.name,
        is_floor=is_floor,
        median_s=theirs.median_s,
        best_s=theirs.best_s,
        rounds=len(theirs.seconds),
        scale=peer.scale,
        ratio=theirs.median_s / ours.median_s,
        cpu_ratio=theirs.cpu_s / ours.cpu_s if ours.cpu_s else 0.0,
        best_ratio=theirs.best_s / ours.best_s,
        aim=peer.aim,
    )
