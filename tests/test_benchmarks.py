"""The benchmarks measure what they say: their files are always the same, and what differs is seen."""

import io
from pathlib import Path

import pyarrow as pa
import pytest

import tomoarrow as ta
from benchmarks import data
from benchmarks.agree import DisagreementError, check_agreement, with_vectors_as_text
from benchmarks.contest import Contest, hold
from benchmarks.measure import Contestant
from benchmarks.results import Figure, Result, Row, Run, as_markdown, load, save, shortfalls, to_keep, with_kept_aims
from benchmarks.scale import Line

ROWS = 200


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.particles_star(tmp_path_factory.mktemp("particles") / "particles.star", ROWS)


def test_the_particles_are_always_the_same(star: Path, tmp_path: Path) -> None:
    again = data.particles_star(tmp_path / "again.star", ROWS)
    assert again.read_bytes() == star.read_bytes()


def test_the_particles_lie_as_relion_writes_them(star: Path) -> None:
    document = ta.read_star(star)
    assert document.names == ["general", "optics", "particles"]
    table = document["particles"].table
    types = [str(ta.LABELS[label].type) for label in table.column_names]
    assert (table.num_rows, table.num_columns) == (ROWS, 30)
    assert [types.count(type_) for type_ in ("float64", "int64", "list<int64>")] == [20, 5, 1]
    assert {len(frames) for frames in table["rlnTomoVisibleFrames"].to_pylist()} == {data.TILTS}
    rows = [line for line in star.read_text().splitlines() if "stack2d" in line]
    assert len(rows) == ROWS
    assert all(line.startswith("    TS_") and line.endswith(" ") for line in rows)


def test_other_layouts_hold_the_same(star: Path, tmp_path: Path) -> None:
    table = ta.read_table(star, "particles")
    by_hand = ta.read_table(data.by_hand_star(tmp_path / "by-hand.star", star))
    shuffled = ta.read_table(data.shuffled_star(tmp_path / "shuffled.star", ROWS), "particles")
    assert by_hand.equals(table)
    assert shuffled.column_names != table.column_names
    check_agreement(table, shuffled, who="shuffled")


def test_the_csv_holds_the_same(star: Path, tmp_path: Path) -> None:
    import pyarrow.csv

    csv = pyarrow.csv.read_csv(data.particles_csv(tmp_path / "particles.csv", star))
    check_agreement(ta.read_table(star, "particles"), csv, who="pyarrow")


def test_motion_has_a_block_for_each_particle(tmp_path: Path) -> None:
    document = ta.read_star(data.motion_star(tmp_path / "motion.star", 3))
    assert document["general"].pairs == {"rlnParticleNumber": 3}
    assert document.names[1:] == ["TS_001/1", "TS_101/2", "TS_201/3"]
    assert {block.table.num_rows for block in document.blocks[1:]} == {data.TILTS}


def test_the_rows_of_the_pipe_are_those_of_the_file(star: Path, tmp_path: Path) -> None:
    head, rows = data.split_particles(star)
    data.feed(tmp_path / "twice.star", head, rows, 2)
    once, twice = ta.read_table(star, "particles"), ta.read_table(tmp_path / "twice.star", "particles")
    assert twice.equals(pa.concat_tables([once, once]).unify_dictionaries().combine_chunks())


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        ({"x": [1.0, 2.0], "n": ["a", "b"]}, "1 of 3|2 rows"),
        ({"x": [1.0, 2.0, 4.0], "n": ["a", "b", "c"]}, "other values in x: 1 of 3"),
        ({"x": [1.0, 2.0, None], "n": ["a", "b", "c"]}, "other values in x: 1 of 3"),
        ({"x": [1.0, 2.0, 3.0], "n": ["a", "b", "B"]}, "other values in n: 1 of 3"),
        ({"x": [1.0, 2.0, 3.0]}, "other columns: n"),
    ],
)
def test_a_difference_is_seen(theirs: dict[str, list[object]], reason: str) -> None:
    ours = pa.table({"x": [1.0, 2.0, 3.0], "n": pa.array(["a", "b", "c"]).dictionary_encode(), "tilt_index": [0, 1, 2]})
    with pytest.raises(DisagreementError, match=reason):
        check_agreement(ours, pa.table(theirs), who="a peer")


def test_what_means_the_same_agrees() -> None:
    ours = pa.table({"x": [1.0, float("nan"), None], "b": [True, False, None], "v": [[0, 1], [1], None]})
    theirs = pa.table({"v": ["[0,1]", "[1]", None], "x": [1.0, float("nan"), None], "b": [1, 0, None]})
    check_agreement(ours, theirs, who="a peer")
    assert with_vectors_as_text(ours)["v"].to_pylist() == ["[0,1]", "[1]", None]


def contest(peer: pa.Table, needs: tuple[str, ...] = ()) -> Contest:
    table = pa.table({"x": [1, 2]})
    ours = Contestant("tomoarrow", lambda: table, lambda made: made)
    other = Contestant("peer", lambda: peer, lambda made: made, needs=needs, aim=1e-9)
    return Contest("W0", "nothing", "small", ours, (other,), Contestant("floor", io.BytesIO))


def test_what_disagrees_is_not_timed() -> None:
    with pytest.raises(DisagreementError, match="peer"):
        hold(contest(pa.table({"x": [1, 3]})), rounds=1)


def test_a_peer_that_is_not_installed_is_left_out_and_named() -> None:
    result = hold(contest(pa.table({"x": [1, 2]}), needs=("no_such_package",)), rounds=1)
    assert result.left_out == ("peer: no_such_package not installed",)
    assert [row.name for row in result.rows] == ["floor"]


def test_results_are_stored_and_works_measured_again_replace_them(tmp_path: Path) -> None:
    result = hold(contest(pa.table({"x": [1, 2]})), rounds=3)
    stored = tmp_path / "results.json"
    save(Run("machine", {}, [result, Result("W1", "kept", "small")]), stored)
    save(Run("machine", {}, [Result("W0", "new", "small", figures=(Figure("memory", 5.0, "MB", 6.0),))]), stored)
    assert [(found.work, found.title) for found in load(stored).results] == [("W0", "new"), ("W1", "kept")]
    assert "memory: 5 MB, at most 6" in as_markdown(load(stored))


def test_half_of_a_kept_ratio_is_still_good_and_less_is_not() -> None:
    result = hold(contest(pa.table({"x": [1, 2]})), rounds=1)
    kept = to_keep([result])
    assert not shortfalls(with_kept_aims(result, kept, 2.0), steady=True)
    more = {key: {name: 3 * ratio for name, ratio in ratios.items()} for key, ratios in kept.items()}
    assert len(shortfalls(with_kept_aims(result, more, 2.0), steady=True)) == 1
    assert not shortfalls(with_kept_aims(result, {}, 2.0), steady=True)


@pytest.mark.parametrize(
    ("best", "cpu", "is_short"), [(2.0, 3.0, False), (0.9, 3.0, False), (2.0, 0.9, False), (0.9, 0.9, True)]
)
def test_a_busy_machine_is_no_regression(best: float, cpu: float, is_short: bool) -> None:
    row = Row("peer", False, 1, 1, 1, 1, ratio=0.5, best_ratio=best, cpu_ratio=cpu, aim=1.0)
    assert bool(shortfalls(Result("W1", "a project", "small", rows=(row,)), steady=True)) is is_short


@pytest.mark.parametrize(("fixed", "each"), [(2.0, 0.5), (0.0, 0.1), (3.0, 0.0)])
def test_a_line_through_points_of_one_is_that_line(fixed: float, each: float) -> None:
    counts = [10, 100, 1000]
    line = Line.through(counts, [fixed + each * n for n in counts])
    assert (line.fixed, line.each) == pytest.approx((fixed, each), abs=1e-9)
    assert line.at(10**6) == pytest.approx(fixed + each * 10**6)


def test_a_line_has_no_negative_numbers() -> None:
    falling = Line.through([10, 20, 30], [3.0, 2.0, 1.0])
    assert falling.fixed >= 0
    assert falling.each >= 0
    steep = Line.through([10, 20], [1.0, 4.0])
    assert steep.fixed == 0
