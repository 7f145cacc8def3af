"""The commands of a conversion in parts, as `cases` has the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import tomoarrow as ta
from tomoarrow.dataset.parts.partition import finished
from tomoarrow.dataset.parts.planning import part_folder, parts_folder, read_plan
from tomoarrow.errors import DatasetError

from .cases import Case, Found, Ground, convert, find_dataset, nothing, old_dataset

PARTS = 2


def keep_plans(ground: Ground) -> None:
    """Plan the project in parts, and convert them, once: the cases begin with copies.

    A plan knows where its dataset will be, so it is made there, and moved.
    """
    ground.work.mkdir(exist_ok=True)
    target = ground.work / "ds"
    for kept, parts, is_forced, done in (
        ("old.parts", 3, False, 3),
        ("planned.parts", PARTS, False, 0),
        ("done.parts", PARTS, False, PARTS),
        ("forced.parts", PARTS, True, PARTS),
    ):
        ta.plan(ground.star, target, parts=parts, force=is_forced)
        for part in range(done):
            ta.partition(target, part)
        shutil.move(parts_folder(target), ground.kept / kept)


def _with_parts(kept: str) -> Callable[[Path, Ground], object]:
    return lambda work, ground: shutil.copytree(ground.kept / kept, parts_folder(work / "ds"))


def _plan(ground: Ground) -> list[str]:
    return ["plan", str(ground.star), str(ground.work / "ds"), "--parts", str(PARTS)]


def _partition(ground: Ground) -> list[str]:
    return ["partition", str(ground.work / "ds"), "--part", "0", "--threads", "1"]


def _finalise(ground: Ground) -> list[str]:
    return ["finalise", str(ground.work / "ds"), "--threads", "1"]


def _find_plan(ground: Ground) -> Found:
    """The old plan with its parts, or the new one without any, or none."""
    try:
        plan = read_plan(ground.work / "ds")
    except DatasetError as error:
        if "no plan" not in str(error):
            raise
        return "nothing"
    if plan.parts == PARTS:
        assert not any(part_folder(ground.work / "ds", part).exists() for part in range(PARTS))
        return "new"
    assert all(finished(plan, part) is not None for part in range(plan.parts))
    return "old"


def _find_part(ground: Ground) -> Found:
    """The part that was converted, or none."""
    return "nothing" if finished(read_plan(ground.work / "ds"), 0) is None else "new"


def _find_finalised(ground: Ground) -> Found:
    """The dataset of all parts; or what was there before, and all parts."""
    found = find_dataset()(ground)
    if found != "new":
        plan = read_plan(ground.work / "ds")
        assert all(finished(plan, part) is not None for part in range(plan.parts))
    return found


def _replaced(work: Path, ground: Ground) -> None:
    old_dataset(work, ground)
    shutil.copytree(ground.kept / "forced.parts", parts_folder(work / "ds"))


PART_CASES = {
    case.name: case
    for case in (
        Case("plan", _plan, nothing, _find_plan, _plan),
        Case("plan, again", _plan, _with_parts("old.parts"), _find_plan, _plan),
        Case("partition", _partition, _with_parts("planned.parts"), _find_part, _partition),
        # Who does not know whether it is finalised is told so, and brings it up to date.
        Case("finalise", _finalise, _with_parts("done.parts"), _find_finalised, convert("--update"), "it is finalised"),
        Case("finalise, replace", _finalise, _replaced, _find_finalised, convert("--update"), "it is finalised"),
    )
}
