"""Save frames: many of them, and one in the other."""

from __future__ import annotations

import time

import pytest

import tomoarrow as ta
from tomoarrow.star.limits import MOST_FRAMES_DEEP
from tomoarrow.star.source import lay_out, read_text
from tomoarrow.star.structure import analyse


def nested(depth: int) -> bytes:
    return b"data_a\n" + b"save_x\n" * depth + b"_n 1\n" + b"save_\n" * depth


def test_as_deep_as_may_be() -> None:
    block = ta.read_star(nested(MOST_FRAMES_DEEP), dialect="star")["a"]
    depth = 0
    while block.frames:
        (block,) = block.frames
        depth += 1
    assert (depth, block.pairs) == (MOST_FRAMES_DEEP, {"n": 1})


@pytest.mark.parametrize("depth", [MOST_FRAMES_DEEP + 1, 50_000])
def test_deeper_is_refused(depth: int) -> None:
    with pytest.raises(ta.StarSyntaxError, match="more than 100 deep") as caught:
        ta.read_star(nested(depth), dialect="star")
    assert (caught.value.place.line, caught.value.place.column) == (MOST_FRAMES_DEEP + 2, 1)


def test_many_side_by_side_and_items_behind_them() -> None:
    n = 20_000
    frames = b"".join(b"save_f%d\n_n 1\nsave_\n" % i for i in range(n))
    pairs = b"".join(b"_p%d 1\n" % i for i in range(5_000))
    started = time.process_time()
    structure = analyse(read_text(b"data_a\n" + frames + pairs), "star")
    # Each that looks back over all before it would take minutes.
    assert time.process_time() - started < 10
    assert structure.parent.tolist() == [-1] + [0] * n
    assert structure.pair_container.tolist() == [*range(1, n + 1), *[0] * 5_000]


GOOD = b"data_g\nsave_y\n_n 1\nsave_\n_m 2\n"


@pytest.mark.parametrize(
    "bad",
    [
        b"data_a\nsave_x\n_n 1\nsave_\n_broken\n",
        b"data_a\nsave_x\n_n 1\nsave_\nloop_\n_a\n'x\n",
        b"data_a\nsave_x\nsave_y\n_n 1\nsave_\n",
        b"save_x\n_n 1\nsave_\n",
        b"data_a\nsave_x\n_n 1\nsave_\nsave_\n",
        nested(MOST_FRAMES_DEEP + 1),
    ],
    ids=["no value", "open quote", "open frame", "no block", "closed twice", "too deep"],
)
@pytest.mark.parametrize("bad_first", [True, False])
def test_a_malformed_file_harms_no_other(bad: bytes, bad_first: bool) -> None:
    with pytest.raises(ta.StarSyntaxError):
        ta.read_star(bad, dialect="star")
    files = [("bad", bad), ("good", GOOD)] if bad_first else [("good", GOOD), ("bad", bad)]
    structure = analyse(lay_out(files)[0], "star")
    assert [fault.place.path for fault in structure.faults] == ["bad"]
    assert (structure.parent.tolist(), structure.pair_container.tolist()) == ([-1, 0], [1, 0])
