"""Documents: blocks in order, pairs and loops, selection, and what is refused with its place."""

import gc
import pickle
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tomoarrow import (
    Block,
    BlockNotFoundError,
    Document,
    SchemaError,
    StarSyntaxError,
    TomoarrowError,
    UsageError,
    read_star,
    read_table,
)

PARTICLES = b"""
# version 50001

data_general

_rlnTomoSubTomosAre2DStacks                       1
_labNote                                          two words
_rlnComment                                       "a  b"

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
           1 opticsGroup1
           2 "optics 2"

data_particles

loop_
_rlnTomoName #1
_rlnCenteredCoordinateXAngst #2
_rlnTomoVisibleFrames #3
_rlnOpticsGroup #4
  01   1.500000 [1,0,1]  1
  02  -2.500000      []  2
"""


def test_a_document_is_its_blocks_in_order() -> None:
    document = read_star(PARTICLES)
    assert document.names == ["general", "optics", "particles"]
    assert len(document) == 3
    assert [block.name for block in document] == document.names
    assert document[2] is document["particles"]
    assert document[-1] is document["particles"]
    assert "optics" in document
    assert "micrographs" not in document
    assert dict(document["general"].pairs) == {
        "rlnTomoSubTomosAre2DStacks": True,
        "labNote": "two words",
        "rlnComment": "a  b",
    }
    assert document["general"].table is None
    assert document["optics"].table == document["optics"].loops[0]
    table = document["particles"].table
    assert table is not None
    assert table.to_pydict() == {
        "rlnTomoName": ["01", "02"],
        "rlnCenteredCoordinateXAngst": [1.5, -2.5],
        "rlnTomoVisibleFrames": [[1, 0, 1], []],
        "rlnOpticsGroup": [1, 2],
    }
    assert [notice.code for notice in document.warnings] == ["blanks-in-value"]
    assert "3 blocks" in repr(document)
    assert "loop of 2 rows x 4 columns" in repr(document)


def test_a_block_that_is_not_there_is_a_key_error_that_says_which_are() -> None:
    with pytest.raises(KeyError, match="'data_general', 'data_optics', 'data_particles'") as missing:
        read_star(PARTICLES)["global"]
    assert isinstance(missing.value, BlockNotFoundError)
    assert isinstance(missing.value, TomoarrowError)


def test_a_block_is_found_while_another_thread_looks_for_one() -> None:
    found = []

    class Watched(tuple[Block, ...]):
        def __iter__(self) -> Iterator[Block]:
            for n, block in enumerate(tuple.__iter__(self)):
                if n == 1 and not found:
                    found.append(True)
                    found.append("z" in document)
                yield block

    document = Document(Watched([Block("a"), Block("z")]))
    assert "z" in document
    assert found == [True, True]


def test_names_that_repeat_are_found_by_position_only() -> None:
    document = read_star(b"data_x\n_rlnA 1\ndata_y\ndata_x\n_rlnA 2\n")
    assert [block.pairs.get("rlnA") for block in document] == [1, None, 2]
    with pytest.raises(SchemaError, match=r"2 blocks are named 'data_x'[^[]*\[0, 2\]"):
        document["x"]


@pytest.mark.parametrize(
    ("blocks", "names"),
    [
        ("optics", ["optics"]),
        (["particles", "general"], ["particles", "general"]),
        (1, ["optics"]),
        ([-1, 0], ["particles", "general"]),
        ([], []),
    ],
    ids=str,
)
def test_blocks_are_chosen_in_the_order_asked_for(blocks, names: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert read_star(PARTICLES, blocks=blocks).names == names


def test_what_is_not_chosen_is_not_read() -> None:
    text = b"data_a\nloop_\n_rlnVoltage\n_rlnTomoName\nnot_a_number x\n\ndata_b\nloop_\n_rlnVoltage\n300\n"
    with pytest.raises(SchemaError):
        read_star(text)
    assert read_star(text, blocks="b")[0].table.to_pydict() == {"rlnVoltage": [300.0]}  # type: ignore[union-attr]
    assert read_star(text, blocks="a", columns=["rlnTomoName"])[0].table.to_pydict() == {"rlnTomoName": ["x"]}  # type: ignore[union-attr]
    with pytest.raises(SchemaError, match="no column rlnNone"):
        read_star(text, blocks="b", columns=["rlnNone"])
    with pytest.raises(BlockNotFoundError, match="position 2"):
        read_star(text, blocks=2)
    with pytest.raises(KeyError):
        read_star(text, blocks="c")


def test_read_table_takes_the_one_loop_or_the_block_named() -> None:
    assert read_table(PARTICLES, "particles").num_rows == 2
    assert read_table(PARTICLES, block=1).num_rows == 2
    assert read_table(PARTICLES, "particles", columns=["rlnTomoName"]).column_names == ["rlnTomoName"]
    assert read_table(b"data_general\n_rlnA 1\ndata_x\nloop_\n_rlnB\n7\n").to_pydict() == {"rlnB": [7]}
    with pytest.raises(SchemaError, match="'data_optics', 'data_particles'"):
        read_table(PARTICLES)
    with pytest.raises(SchemaError, match="no loop"):
        read_table(PARTICLES, "general")
    with pytest.raises(SchemaError, match="0 blocks with a loop"):
        read_table(b"")


def test_messages_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.star"
    path.write_bytes(b"data_x\nloop_\n_rlnVoltage\nhigh\n")
    for read in (read_star, read_table):
        with pytest.raises(SchemaError) as refused:
            read(path)
        assert str(refused.value).startswith(f"{path}:4:1 (block 'data_x', label _rlnVoltage): 'high' is not a number")


def test_a_block_may_hold_pairs_and_several_loops() -> None:
    block = read_star(b"data_x\n_a 1\nloop_\n_b\n1\n2\n\nloop_\n_c\n_d\nx y\n\n_e 5\n")[0]
    assert dict(block.pairs) == {"a": 1, "e": 5}
    assert [loop.to_pydict() for loop in block.loops] == [{"b": [1, 2]}, {"c": ["x"], "d": ["y"]}]
    with pytest.raises(SchemaError, match="2 loops"):
        _ = block.table


def test_the_general_dialect() -> None:
    text = """#\\#CIF_1.1
data_cell
_cell.length_a 5.4 _cell.text
;first line
second line
;
LOOP_ _a _b 1 'x y'
  2 "it's"
save_one
_inner 1
save_inside _deeper 2 loop_ _empty stop_ save_
save_
"""
    block = read_star(text.encode(), dialect="star")[0]
    assert dict(block.pairs) == {"cell.length_a": 5.4, "cell.text": "first line\nsecond line"}
    assert block.table is not None
    assert block.table.to_pydict() == {"a": [1, 2], "b": ["x y", "it's"]}
    frame = block.frames[0]
    assert (frame.name, dict(frame.pairs), frame.loops) == ("one", {"inner": 1}, ())
    assert (frame.frames[0].name, dict(frame.frames[0].pairs)) == ("inside", {"deeper": 2})
    assert frame.frames[0].loops[0].to_pydict() == {"empty": []}


# ---- Malformed input: the message names the place and what to do ---------------------------------------------------

MALFORMED = [
    ("ragged row", "data_x\nloop_\n_a\n_b\n1 2\n3\n", 6, 1, "a row of 1 value in a loop of 2 labels"),
    ("long row", "data_x\nloop_\n_a\n_b\n1 2 3\n", 5, 1, "a row of 3 values in a loop of 2 labels"),
    ("row cut at the end", "data_x\nloop_\n_a\n_b\n1 2\n3", 6, 1, "cut short"),
    ("open quote", "data_x\nloop_\n_a\n_b\n1 'x y\n", 5, 3, "not closed"),
    ("quote closed inside a word", "data_x\n_a 'x'y\n", 2, 4, "not closed"),
    ("label twice in a loop", "data_x\nloop_\n_a\n_b\n_a\n1 2 3\n", 5, 1, "stands twice in one loop"),
    ("label twice in a list", "data_x\n_a 1\n_b 2\n_a 3\n", 4, 1, "stands twice in one block"),
    ("label without a value", "data_x\n_a\n_b 2\n", 2, 1, "a label without a value"),
    ("two values", "data_x\n_a 'x y' z\n", 2, 10, "more than one value"),
    ("value without a label", "data_x\n5\n", 2, 1, "a value cannot stand here"),
    ("loop without labels", "data_x\nloop_\n1 2\n", 3, 1, "a value cannot stand here"),
    ("loop without a block", "loop_\n_a\n1\n", 1, 1, "loop_ cannot stand here"),
    ("label line with a value", "data_x\nloop_\n_a\n_b 5\n_c\n", 4, 4, "a label of a loop that is followed by"),
    ("no block", "TS_01 1\nTS_02 2\n", 1, 1, "no data block"),
    ("a web page", "<!DOCTYPE html>\n<html lang='en'>\n", 1, 1, "no data block"),
    ("a text field", "data_x\nloop_\n_a\n1\n;text\n;\n", 5, 1, 'dialect="star"'),
    ("a save frame", "data_x\nsave_frame\n_a 1\nsave_\n", 2, 1, 'dialect="star"'),
    ("upper case", "DATA_x\n_a 1\n", 2, 1, 'dialect="star"'),
    ("byte 7", "data_x\n_a x\x07y\n", 2, 5, "byte 0x07"),
    ("after blank lines and CR LF", "data_x\r\n\r\nloop_\r\n_a\r\n_b\r\n1\r\n", 6, 1, "a row of 1 value"),
    ("columns count characters", "data_x\n_a été 'b\n", 2, 8, "not closed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "column", "message"), [case[1:] for case in MALFORMED], ids=[c[0] for c in MALFORMED]
)
def test_malformed_input_is_refused_with_its_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(StarSyntaxError) as refused:
        read_star(text.encode())
    place = refused.value.place
    assert (place.path, place.line, place.column) == ("<bytes>", line, column), str(refused.value)
    assert message in str(refused.value)
    assert refused.value.remedy
    assert place.text
    assert refused.value.exit_code == 3


def test_a_loop_of_the_general_dialect_must_fill_its_rows() -> None:
    with pytest.raises(StarSyntaxError, match="ends with 1 values behind its last whole row"):
        read_star(b"data_x loop_ _a _b 1 2 3\n4 5", dialect="star")


@pytest.mark.parametrize("value", ["[1 2]", "{'a':1}  {'b' : 2}", "{'a': 1}", "'''x\ny'''", '"""x\ny"""'])
@pytest.mark.parametrize("front", ["", "\ufeff"])
def test_what_only_cif_2_has_is_named(value: str, front: str) -> None:
    with pytest.raises(StarSyntaxError, match=r"CIF 1\.1"):
        read_star(f"{front}#\\#CIF_2.0\ndata_x\n_a {value}\n".encode(), dialect="star")
    with pytest.raises(StarSyntaxError) as refused:
        read_star(f"{front}data_x\n_a {value}\n".encode(), dialect="star")
    assert "CIF" not in str(refused.value)


def test_all_bad_values_are_reported_together() -> None:
    text = b"data_x\nloop_\n_rlnVoltage\n_rlnTomoHand\nx 1\n300 y\n300 1\n"
    with pytest.raises(SchemaError, match="2 values") as refused:
        read_star(text)
    assert [(error.place.line, error.place.label) for error in refused.value.errors] == [
        (5, "rlnVoltage"),
        (6, "rlnTomoHand"),
    ]
    document = read_star(text, on_bad_value="null")
    assert document[0].loops[0].to_pydict() == {"rlnVoltage": [None, 300.0, 300.0], "rlnTomoHand": [1.0, None, 1.0]}
    assert [(r.label, r.text, r.row, r.place.line) for r in document.rejects] == [
        ("rlnVoltage", "x", 0, 5),
        ("rlnTomoHand", "y", 1, 6),
    ]


def test_a_bad_value_behind_a_save_frame_is_in_its_block() -> None:
    text = b"data_x save_f _inner 1 save_ loop_ _rlnVoltage high"
    with pytest.raises(SchemaError) as refused:
        read_star(text, dialect="star")
    assert refused.value.place.block == "x"


def test_the_reader_travels_to_other_processes() -> None:
    for function in (read_star, read_table):
        assert pickle.loads(pickle.dumps(function)) is function
        assert function.__doc__


def test_columns_come_in_the_order_asked_for() -> None:
    text = b"data_x\nloop_\n_a\n_b\n_c\n1 2 3\n"
    assert read_table(text, columns=["c", "a"]).column_names == ["c", "a"]
    assert read_table(text, columns="b").to_pydict() == {"b": [2]}


def test_many_bad_values_are_told_of_in_part() -> None:
    with pytest.raises(SchemaError) as refused:
        read_star(b"data_x\nloop_\n_rlnVoltage\n" + b"x\n" * 10_000)
    assert len(refused.value.errors) == 100


def test_many_bad_values_are_all_rejected() -> None:
    rows = "".join(f"v{i}\n" if i % 3 else f"{i}\n" for i in range(1000))
    document = read_star(f"data_x\nloop_\n_rlnVoltage\n{rows}".encode(), on_bad_value="null")
    assert len(document.rejects) == 666
    assert document[0].loops[0].column(0).null_count == 666


@pytest.mark.parametrize("option", [{"dialect": "cif"}, {"on_bad_value": "skip"}], ids=str)
def test_wrong_calls(option: dict[str, str]) -> None:
    with pytest.raises(UsageError) as refused:
        read_star(b"", **option)  # type: ignore[arg-type]
    assert refused.value.exit_code == 2


# ---- Other libraries take what holds a table -----------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["block", "document"])
def test_polars_pandas_and_duckdb_take_blocks_directly(holder: str) -> None:
    document = read_star(PARTICLES, blocks="particles")
    held: Block | Document = document if holder == "document" else document[0]
    frame = pl.DataFrame(held)
    assert frame["rlnTomoName"].to_list() == ["01", "02"]
    assert frame["rlnTomoVisibleFrames"].to_list() == [[1, 0, 1], []]
    assert pa.table(held).num_rows == 2
    assert pd.DataFrame.from_arrow(held)["rlnCenteredCoordinateXAngst"].tolist() == [1.5, -2.5]
    assert duckdb.sql("SELECT sum(rlnOpticsGroup) FROM held").fetchall() == [(3,)]
    with pytest.raises(SchemaError):
        pl.DataFrame(read_star(PARTICLES))
    with pytest.raises(SchemaError):
        pl.DataFrame(read_star(PARTICLES)["general"])


def test_tables_outlive_the_text_they_were_read_from() -> None:
    table = read_table(b"data_x\nloop_\n_a\n_b\n" + b"".join(b"%d text%d\n" % (i, i) for i in range(5000)))
    gc.collect()
    table.validate(full=True)
    assert table.column("b")[4999].as_py() == "text4999"


def test_a_column_of_more_than_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"data_x\nloop_\n_rlnTomoName\n_a\n_b\n" + b"".join(b"TS_%d %d x%d\n" % (i % 3, i, i) for i in range(300))
    text += b"TS_1 1.5 y\n"
    whole = read_star(text)[0].table
    monkeypatch.setattr("tomoarrow.star.tables._PIECE_TEXT", 500)
    pieces = read_star(text)[0].table
    assert whole is not None
    assert pieces is not None
    assert pieces.column(1).num_chunks > 3
    assert pieces.schema == whole.schema
    assert pieces.to_pydict() == whole.to_pydict()
