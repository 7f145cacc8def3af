"""Questions in SQL: what may be asked, what is refused, and how answers are written."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import tomoarrow as ta
from tomoarrow.dataset.reading.answers import Format, format_of, write_answer
from tomoarrow.dataset.reading.query import QUESTIONS, run_sql
from tomoarrow.example import make_project

FRAME = pl.DataFrame({"name": ["a", "b"], "value": [1.5, None], "frames": [[1, 0], []]})
TABLES = {"t": FRAME.lazy}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ta.Dataset:
    home = tmp_path_factory.mktemp("questions")
    made = make_project(home / "project", tomograms=6, tilts=9, particles=4)
    assert made.optimisation_set_star is not None
    ta.convert(made.optimisation_set_star, home / "dataset")
    return ta.Dataset(home / "dataset")


ANSWERED = [
    ("SELECT name FROM t", ["a", "b"]),
    ("  select name from t where value is null -- read_csv('x')\n", ["b"]),
    ("WITH u AS (SELECT * FROM t) SELECT name FROM u WHERE name <> 'read_csv('", ["a", "b"]),
    ("/* read_csv('x') */ SELECT 'it''s read_csv(''x'')' AS name FROM t LIMIT 1", ["it's read_csv('x')"]),
    ('SELECT name AS "read_csv" FROM t', ["a", "b"]),
    ("SELECT name FROM t WHERE name LIKE'a%'", ["a"]),
]


@pytest.mark.parametrize(("sql", "expected"), ANSWERED)
def test_what_is_answered(sql: str, expected: list[str]) -> None:
    assert run_sql(sql, TABLES).collect().to_series(0).to_list() == expected


REFUSED = [
    ("SELECT * FROM read_csv('{file}')", "read_csv"),
    ("SELECT * FROM Read_CSV ('{file}')", "Read_CSV"),
    ("SELECT * FROM read_parquet/* x */('{file}')", "read_parquet"),
    ("SELECT * FROM \"read_csv\"\n('{file}')", "read_csv"),
    ("SELECT * FROM `read_ndjson`('{file}')", "read_ndjson"),
    ("SELECT * FROM t WHERE name IN (SELECT name FROM read_ipc('{file}'))", "read_ipc"),
    ("SELECT * FROM t, scan_parquet('{file}')", "scan_parquet"),
    # The parser of Polars knows strings between dollars and nested comments: behind them, a quote is not one.
    ("SELECT $$'$$ AS x, * FROM read_csv('{file}')", "two ways"),
    ("SELECT $q$'$q$ AS x, * FROM read_csv('{file}')", "two ways"),
    ("SELECT /* /* */ ' */ 1 AS x, * FROM read_csv('{file}') --'", "two ways"),
    ("/* /* */ ' */ SELECT * FROM read_csv('{file}') --'", "not a question|two ways"),
    ("SELECT 'a", "two ways"),
    ("SELECT E'\\'' AS x, * FROM read_csv('{file}') --'", "two ways"),
    ("SELECT e'\\'' AS x, * FROM read_csv('{file}') --'", "two ways"),
    ("SELECT U&'\\'' AS x, * FROM read_csv('{file}') --'", "two ways"),
    ("SELECT Q'[']' AS x, * FROM read_csv('{file}') --'", "two ways"),
    ("SELECT nq'[']' AS x, * FROM read_csv('{file}') --'", "two ways"),
    ("SELECT * FROM '{file}'", "cannot be answered"),
    ('SELECT * FROM "{file}"', "cannot be answered"),
    ("COPY t TO '{file}'", "not a question"),
    ("CREATE TABLE u AS SELECT * FROM t", "not a question"),
    ("DROP TABLE t", "not a question"),
    ("DELETE FROM t", "not a question"),
    ("INSERT INTO t VALUES ('c', 1, NULL)", "not a question"),
    ("SELECT 1; DROP TABLE t", "cannot be answered"),
    ("SELECT nope FROM t", 'column "nope"'),
    ("SELECT * FROM nope", "'nope'"),
    ("SELEC", "not a question"),
    ("SELECT FROM WHERE", "cannot be answered"),
    ("", "not a question"),
    ("-- nothing", "not a question"),
]


@pytest.mark.parametrize(("sql", "message"), REFUSED)
def test_what_is_refused(sql: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ta.UsageError, match=message):
        run_sql(sql.replace("{file}", str(file)), TABLES).collect()
    assert file.read_text() == "a,b\n1,2\n"


def test_the_questions_from_the_field(dataset: ta.Dataset) -> None:
    tilts, particles = dataset.tilts.collect(), dataset.particles.collect()
    answers = {name: dataset.sql(question.sql).collect() for name, question in QUESTIONS.items()}
    assert all(dataset.lacking(question.needs) == [] for question in QUESTIONS.values())
    assert len(answers) == 6
    worst = {row[0]: row[1:] for row in answers["ctf"].cast({"rlnTomoName": pl.String}).iter_rows()}
    for (name,), own in tilts.group_by(pl.col("rlnTomoName").cast(pl.String)):
        assert worst[str(name)] == (own["rlnCtfMaxResolution"].max(), own["rlnCtfFigureOfMerit"].min())
    assert answers["motion"].height == tilts.filter(pl.col("rlnAccumMotionTotal") > 15).height
    assert answers["dose"]["dose_per_tilt"].to_list() == pytest.approx([3.0] * 6)
    length = (tilts["rlnTomoXShiftAngst"] ** 2 + tilts["rlnTomoYShiftAngst"] ** 2).sqrt()
    far = [
        abs(value - own.mean()) > 3 * own.std()
        for own in (length[i : i + 9] for i in range(0, 54, 9))
        for value in own.to_list()
    ]
    assert answers["shifts"].height == sum(far)
    assert answers["missing"].height == 0
    assert answers["particles"]["particles"].to_list() == [4] * 6
    assert particles.height == 24


def test_tomograms_with_missing_tilts(tmp_path: Path) -> None:
    made = make_project(tmp_path / "project", tomograms=3, tilts=5)
    series = made.directory / "Tomograms/job006/tilt_series/TS_02.star"
    lines = series.read_text().splitlines(keepends=True)
    series.write_text("".join(lines[:-2] + lines[-1:]))
    ta.convert(made.tomograms_star, tmp_path / "dataset")
    found = ta.Dataset(tmp_path / "dataset").sql(QUESTIONS["missing"].sql).collect()
    assert found.cast({"rlnTomoName": pl.String}).rows() == [("TS_02", 4, 5.0)]


def test_a_dataset_that_lacks_columns(tmp_path: Path) -> None:
    star = tmp_path / "x.star"
    star.write_text("data_a\nloop_\n_rlnTomoName\n_n\nT 1\n")
    ta.convert(star, tmp_path / "dataset")
    opened = ta.Dataset(tmp_path / "dataset")
    assert opened.lacking({"a": ("n", "m"), "tilts": ("n",)}) == ["a.m", "tilts.n"]
    assert opened.sql("SELECT n FROM a").collect().rows() == [(1,)]


FORMATS: list[tuple[str, Format]] = [
    ("x.csv", "csv"),
    ("x.JSONL", "jsonl"),
    ("x.ndjson", "jsonl"),
    ("x.parquet", "parquet"),
    ("x.arrow", "arrow"),
    ("x.feather", "arrow"),
    ("a.csv/x.star", "star"),
]


@pytest.mark.parametrize(("name", "expected"), FORMATS)
def test_the_end_of_a_name_is_a_format(name: str, expected: Format) -> None:
    assert format_of(Path(name)) == expected


def test_other_ends_are_none() -> None:
    with pytest.raises(ta.UsageError, match=r"'x\.xls' names no format"):
        format_of(Path("x.xls"))


def test_answers_are_written(tmp_path: Path) -> None:
    answer = FRAME
    for form in ("csv", "jsonl", "parquet", "arrow", "star"):
        write_answer(answer, tmp_path / form, form)
    assert (tmp_path / "csv").read_text() == 'name,value,frames\na,1.5,"[1,0]"\nb,,[]\n'
    assert [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()] == answer.to_dicts()
    assert pl.read_parquet(tmp_path / "parquet").equals(answer)
    assert pl.read_ipc(tmp_path / "arrow").equals(answer)
    read = ta.read_star(tmp_path / "star")["answer"].table
    assert read is not None
    assert read.column("name").to_pylist() == ["a", "b"]
    assert read.column("frames").to_pylist() == ["[1,0]", "[]"]


@pytest.mark.parametrize("value", [[[1], [2]], {"a": 1}, [{"a": 1}]])
def test_what_csv_has_no_form_for(value: object, tmp_path: Path) -> None:
    with pytest.raises(ta.UsageError, match="CSV has no form for the column x"):
        write_answer(pl.DataFrame({"x": [value]}), tmp_path / "a.csv", "csv")
    write_answer(pl.DataFrame({"x": [value]}), tmp_path / "a.jsonl", "jsonl")
