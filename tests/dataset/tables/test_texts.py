"""``star/``: what it costs to keep how files are written, and that it says what it was told."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import starfile

import tomoarrow as ta
from tests.dataset.projects import write_project
from tests.dataset.test_export import NAME, SERIES_FILE, WRITTEN, files_below
from tomoarrow.example import make_project
from tomoarrow.star.forms import Form
from tomoarrow.star.style import BlockStyle, Departures, Exceptions, FileStyle, Gap, Header, Loop, LoopStyle, Pair
from tomoarrow.star.texts import departures_from_json, departures_json, style_from_json, style_json

#: What a Parquet file has around its data.
PARQUET_BYTES = 4096


def size(folder: Path) -> int:
    return sum(len(data) for data in files_below(folder).values())


def shares(dataset: Path) -> float:
    """What part of the dataset ``star/`` is."""
    return size(dataset / "star") / size(dataset)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project ``p`` as RELION writes it, of 200 tomograms, and its dataset ``ds``."""
    folder = tmp_path_factory.mktemp("large")
    ta.convert(make_project(folder / "p", tomograms=200).tomograms_star, folder / "ds")
    return folder


def test_files_that_relion_wrote_cost_little(large: Path) -> None:
    assert shares(large / "ds") <= 0.03


def test_files_that_starfile_wrote_cost_little(large: Path, tmp_path: Path) -> None:
    for path in (large / "p").rglob("*.star"):
        target = tmp_path / "p" / path.relative_to(large / "p")
        target.parent.mkdir(parents=True, exist_ok=True)
        (block,) = ta.read_star(path)
        assert block.table is not None
        starfile.write({block.name: block.table.to_pandas()}, target)
    ta.convert(next((tmp_path / "p").rglob("tomograms.star")), tmp_path / "ds")
    assert shares(tmp_path / "ds") <= 0.03


def test_files_of_one_writer_have_one_style(large: Path) -> None:
    kept = pq.read_table(large / "ds" / "star").to_pylist()
    assert len(kept) == 201
    assert len({row["style"] for row in kept if row["tomogram"]}) == 1
    assert not {"departures", "raw"} & set(kept[0])


def odd_text(rng: random.Random) -> str:
    """A number written in one of many ways, in a random width."""
    value = rng.choice([rng.uniform(-100, 100), rng.lognormvariate(0, 8), float(rng.randint(-5, 5))])
    text = f"{value:{rng.choice(['', '+', '0', '#'])}.{rng.randint(1, 15)}{rng.choice('feEgG')}}"
    return text.rjust(rng.randint(1, 30)) + " " * rng.randint(1, 5)


def odd_file(name: str, n_rows: int, rng: random.Random) -> str:
    labels = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot"]
    header = "".join(f"_{label}{' ' * rng.randint(0, 9)}#{rng.randint(0, 99)}\n" for label in labels)
    rows = "".join("".join(odd_text(rng) for _ in labels) + "\n" * rng.randint(1, 2) for _ in range(n_rows))
    return f"# {rng.random()}\ndata_{name}\nloop_\n{header}{rows}"


@pytest.mark.parametrize(("n_files", "n_rows"), [(1, 2000), (20, 60), (80, 3)])
def test_files_that_no_rule_describes_cost_what_they_have_compressed(tmp_path: Path, n_files: int, n_rows: int) -> None:
    rng = random.Random(n_files)
    series = {f"t{i}": odd_file(f"t{i}", n_rows, rng) for i in range(n_files)}
    star = write_project(tmp_path / "p", series)
    source = files_below(tmp_path / "p")
    ta.convert(star, tmp_path / "ds")
    compressed = sum(len(pa.compress(data, "zstd", asbytes=True)) for data in source.values())
    assert size(tmp_path / "ds" / "star") <= compressed + PARQUET_BYTES
    ta.export(tmp_path / "ds", tmp_path / "out")
    assert files_below(tmp_path / "out") == source


def odd_global_row(name: str, path: str, n_columns: int, rng: random.Random) -> str:
    """A row with quotes, tabs, blanks and a comment where they happen to be."""
    words = [mark + text + mark for text, mark in zip((name, path), rng.choices(["", "'", '"'], k=2), strict=True)]
    words += [odd_text(rng).strip() for _ in range(n_columns)]
    gaps = ["".join(rng.choices(" \t", k=rng.randint(1, 9))) for _ in words]
    end = rng.choice(["\n", f"# {rng.randint(0, 999)}\n"])
    return "".join(word + gap for word, gap in zip(words, gaps, strict=True)) + end


@pytest.mark.parametrize(("n_tomograms", "n_columns"), [(300, 4), (40, 2)])
def test_a_global_file_that_no_rule_describes(tmp_path: Path, n_tomograms: int, n_columns: int) -> None:
    rng = random.Random(1)
    names = [f"t{i}" for i in range(n_tomograms)]
    series = {name: f"data_{name}\nloop_\n_rlnVoltage\n300\n" for name in names}
    star = write_project(tmp_path / "p", series)
    rows = {name: odd_global_row(name, f"tilt_series/{i}.star", n_columns, rng) for i, name in enumerate(names)}
    labels = "".join(f"_{label}\n" for label in [NAME, SERIES_FILE, *(f"labOdd{i}" for i in range(n_columns))])
    star.write_text(f"data_global\nloop_\n{labels}" + "".join(rows.values()))
    source = files_below(tmp_path / "p")
    ta.convert(star, tmp_path / "ds")
    kept = pq.read_table(tmp_path / "ds" / "star").to_pylist()
    others = "".join(row["style"] + row["file"] + (row["tomogram"] or "") for row in kept).encode()
    compressed = sum(len(pa.compress(data, "zstd", asbytes=True)) for data in (star.read_bytes(), others))
    assert size(tmp_path / "ds" / "star") <= compressed + PARQUET_BYTES
    ta.export(tmp_path / "ds", tmp_path / "out")
    assert files_below(tmp_path / "out") == source
    ta.export(tmp_path / "ds", tmp_path / "some", tomograms=names[7:90:3])
    found = (tmp_path / "some" / star.name).read_text()
    assert found == f"data_global\nloop_\n{labels}" + "".join(rows[name] for name in names[7:90:3])


# ---- JSON ----------------------------------------------------------------------------------------------------------

ODD = "a\n\t\"'\\\0\r # é漢😀 {n} #1"

STYLES = {
    "nothing": FileStyle(()),
    "an empty block": FileStyle((BlockStyle("data_", "", ()),)),
    "odd text": FileStyle((BlockStyle(ODD, ODD, (ODD, Pair(ODD, ODD, ODD, ODD), ODD)),)),
    "a pair without an end": FileStyle((BlockStyle("data_", "a", ("\n", Pair("rlnA", " ", "''", ""))),)),
    "defaults": FileStyle(
        (BlockStyle("", "a", (Loop("loop_\n", LoopStyle(("a",), Header(), (Form(),), (Gap(), Gap())), Departures()),)),)
    ),
    "nothing as usual": FileStyle(
        (
            BlockStyle("\ufeffdata_", "a", ("", Pair("x", "\t", "1"))),
            BlockStyle(
                "\n",
                "b",
                (
                    Loop(
                        ODD,
                        LoopStyle(
                            ("a", ODD),
                            Header("x", "y", ("z", ODD)),
                            (
                                Form("fixed", 6, False, "always", "'", ODD),
                                Form("relion", 3, True, "relion", '"', ""),
                            ),
                            (Gap(ODD, 1, 2, True, False), Gap("", 0, 13, False, True), Gap("\r\n", 3, 4, True, True)),
                        ),
                        Departures(),
                    ),
                    "tail",
                ),
            ),
        )
    ),
    "no labels": FileStyle((BlockStyle("", "", (Loop("", LoopStyle((), Header(), (), (Gap("\n"),)), Departures()),)),)),
}


@pytest.mark.parametrize("name", STYLES)
def test_styles_as_json(name: str) -> None:
    text = style_json(STYLES[name])
    assert "\n" not in text
    text.encode()
    assert style_from_json(text) == STYLES[name]


def test_departures_as_json() -> None:
    some = Departures(
        {0: Exceptions(np.array([0, 7]), ("1.50", ODD)), 3: Exceptions(np.array([2**40]), ("",))},
        {4: Exceptions(np.array([1]), (" # é\n",))},
    )
    text = departures_json((Departures(), some))
    none, again = departures_from_json(text, 2)
    assert not none
    for found, kept in ((again.cells, some.cells), (again.gaps, some.gaps)):
        assert found.keys() == kept.keys()
        for i, each in kept.items():
            assert found[i].rows.tolist() == each.rows.tolist()
            assert found[i].rows.dtype == np.int64
            assert found[i].texts == each.texts
    assert departures_json((Departures(), Departures())) == ""
    assert not any(departures_from_json("", 2))


def test_what_is_kept_of_files_of_many_writers_is_their_styles_as_json(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=len(WRITTEN), tilts=3)
    folder = made.tomograms_star.parent / "tilt_series"
    for path, change in zip(sorted(folder.iterdir()), WRITTEN.values(), strict=True):
        path.write_bytes(change(path.read_text()).encode())
    ta.convert(made.tomograms_star, tmp_path / "ds")
    kept = pq.read_table(tmp_path / "ds" / "star").to_pylist()
    assert [row["file"] for row in kept[1:]] == [
        path.relative_to(tmp_path / "p").as_posix() for path in sorted(folder.iterdir())
    ]
    for text in {row["style"] for row in kept}:
        assert style_json(style_from_json(text)) == text


# ---- What is damaged -----------------------------------------------------------------------------------------------


def changed_styles(dataset: Path, old: str, new: str) -> None:
    """Put another text into the styles of ``star/``."""
    (path,) = (dataset / "star").glob("*.parquet")
    table = pq.read_table(path)
    styles = [style.replace(old, new) for style in table.column("style").to_pylist()]
    assert styles != table.column("style").to_pylist()
    pq.write_table(table.set_column(table.column_names.index("style"), "style", pa.array(styles)), path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"kind":"relion"', '"kind":"fixed","precision":20000'),
        ('"kind":"relion"', '"kind":"fixed","precision":-1'),
        ('"kind":"relion"', '"kind":"other"'),
        ('"forms":[', '"forms":[{"quoting":"never"},'),
        ('"gaps":[', '"gaps":[{},'),
        ('"gaps":[', '"gaps":[' + "{}," * 4000),
        ('"least":1', '"least":-100000'),
        ('"fill":13', '"fill":100000000'),
        ('"labels":["', '"labels":["more","'),
        ('"header":', '"head":'),
        ("[[", "[["[:1]),
    ],
)
def test_damaged_styles_are_refused(tmp_path: Path, old: str, new: str) -> None:
    project = make_project(tmp_path / "p", tomograms=2, tilts=3)
    ta.convert(project.tomograms_star, tmp_path / "ds")
    changed_styles(tmp_path / "ds", old, new)
    for use in (lambda: ta.export(tmp_path / "ds", tmp_path / "out"), lambda: ta.verify(tmp_path / "ds")):
        with pytest.raises(ta.DatasetError, match="STAR files cannot be read"):
            use()
