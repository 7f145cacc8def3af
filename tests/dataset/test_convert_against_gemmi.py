"""Datasets against their STAR files as gemmi reads them, joined in plain Python."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from gemmi import cif

import tomoarrow as ta
from tomoarrow.example import make_project

SHARED = os.environ.get("TOMOARROW_SHARED")
SKELETON = Path(SHARED or "") / "corpus/TomoBabel__cets-relion/tests/test_data/skeleton_project"
needs_corpus = pytest.mark.skipif(SHARED is None, reason="TOMOARROW_SHARED is not set: no project to convert")

#: The global file of each job that leaves a tomogram set, and how many tilts its series have.
STAGES = {
    "Import/job001/tilt_series.star": [41, 41, 41, 41, 41],
    "MotionCorr/job002/corrected_tilt_series.star": [41, 41, 41, 41, 41],
    "CtfFind/job003/tilt_series_ctf.star": [41, 41, 41, 41, 41],
    "ExcludeTiltImages/job004/selected_tilt_series.star": [40, 40, 41, 41, 41],
    "AlignTiltSeries/job005/aligned_tilt_series.star": [40, 40, 41, 41, 41],
    "Tomograms/job006/tomograms.star": [40, 40, 41, 41, 41],
    "CtfRefine/job027/tomograms.star": [40, 40, 41, 41, 41],
    "Polish/job030/tomograms.star": [40, 40, 41, 41, 41],
    "Polish/job070/tomograms.star": [40, 40, 41, 41, 41],
}

NAME, SERIES_FILE = "rlnTomoName", "rlnTomoTiltSeriesStarFile"

#: RELION's types of the labels that occur here. Its other labels here are doubles; any other label is inferred.
KINDS = {
    "rlnCtfImage": "string",
    "rlnCtfPowerSpectrum": "string",
    "rlnEtomoDirectiveFile": "string",
    "rlnMicrographMetadata": "string",
    "rlnMicrographMovieName": "string",
    "rlnMicrographName": "string",
    "rlnMicrographNameEven": "string",
    "rlnMicrographNameOdd": "string",
    "rlnOpticsGroupName": "string",
    "rlnTomoName": "string",
    "rlnTomoProjX": "list<float64>",
    "rlnTomoReconstructedTomogramDenoised": "string",
    "rlnTomoReconstructedTomogramHalf1": "string",
    "rlnTomoReconstructedTomogramHalf2": "string",
    "rlnTomoSizeX": "int64",
    "rlnTomoSizeY": "int64",
    "rlnTomoSizeZ": "int64",
    "rlnTomoTiltMovieFrameCount": "int64",
    "rlnTomoTiltSeriesStarFile": "string",
    "rlnTomoVisibleFrames": "list<int64>",
}

#: Words that stand for no value where numbers are expected.
MISSING = {"None", "<NA>", "N/A", "NA", "null"}

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)
PADDED = re.compile(r"[+-]?0\d", re.ASCII)
INTEGER = re.compile(r"[+-]?\d+", re.ASCII)

#: A table: the values of each label, all of one length. None is "no such label in this file".
Raw = dict[str, list[str | None]]
Columns = dict[str, list[Any]]


# ---- The same join, by other means -------------------------------------------------------------------------


def read_with_gemmi(path: Path, block: str) -> dict[str, list[str]]:
    """The loop of a block, its values as they stand in the file."""
    loop = next(item.loop for item in cif.read_file(str(path)).find_block(block) if item.loop is not None)
    values = list(loop.values)
    return {tag[1:]: values[i :: loop.width()] for i, tag in enumerate(loop.tags)}


def infer(raws: Sequence[str]) -> str:
    """The kind of a label that RELION does not know, from all values in all files. Quotes make text."""
    texts = [raw for raw in raws if raw not in MISSING]
    if not texts or not all(NUMBER.fullmatch(text) and not PADDED.match(text) for text in texts):
        return "string"
    whole = [int(text) for text in texts if INTEGER.fullmatch(text)]
    has_fractions = len(whole) < len(texts) or "-0" in texts
    # What no number can hold exactly stays text.
    if any(abs(value) > (2**53 if has_fractions else 2**63 - 1) for value in whole):
        return "string"
    return "float64" if has_fractions else "int64"


def elements(raw: str) -> list[str]:
    return [part for part in raw.removeprefix("[").removesuffix("]").split(",") if part]


def kind_of(label: str, raws: Sequence[str]) -> str:
    """The kind of a label; one fraction makes floats of the integers of a whole column."""
    kind = KINDS.get(label, "float64") if label.startswith("rln") else infer(raws)
    if "int64" in kind:
        numbers = chain.from_iterable(elements(raw) for raw in raws if raw not in MISSING)
        return kind if all(float(number).is_integer() for number in numbers) else kind.replace("int64", "float64")
    return kind


def value_of(raw: str | None, kind: str) -> Any:
    if raw is None or (kind != "string" and raw in MISSING):
        return None
    if kind == "string":
        return raw if raw in ("?", ".") else cif.as_string(raw)
    if kind.startswith("list"):
        return [value_of(element, kind[5:-1]) for element in elements(raw)]
    if kind == "int64":
        return int(raw) if INTEGER.fullmatch(raw) else int(float(raw))
    return float(raw)


def typed(raw: Raw) -> Columns:
    kinds = {label: kind_of(label, [text for text in column if text is not None]) for label, column in raw.items()}
    return {label: [value_of(text, kinds[label]) for text in column] for label, column in raw.items()}


def join(star: Path, project: Path) -> tuple[Columns, Columns]:
    """What ``tilts/`` and ``tomograms/`` of a tomogram set have to be."""
    tomograms = read_with_gemmi(star, "global")
    names = tomograms[NAME]
    series = [read_with_gemmi(project / path, name) for name, path in zip(names, tomograms[SERIES_FILE], strict=True)]
    counts = [len(next(iter(table.values()))) for table in series]

    tilts: Raw = {}
    for label in dict.fromkeys(chain.from_iterable(series)):
        tilts[label] = [
            text for table, count in zip(series, counts, strict=True) for text in table.get(label, [None] * count)
        ]
    columns = {NAME: list(chain.from_iterable(map(repeat, names, counts)))}
    columns |= {"tilt_index": list(chain.from_iterable(map(range, counts)))}
    columns |= typed(tilts)
    wide = typed(dict(tomograms))
    for label in wide.keys() - {NAME}:
        name = f"{label}_global" if label in tilts else label
        columns[name] = list(chain.from_iterable(map(repeat, wide[label], counts)))
    return columns, wide | {"tilt_count": counts}


# ---- Three readers of datasets -----------------------------------------------------------------------------


def with_pyarrow(folder: Path) -> Columns:
    table = pyarrow.dataset.dataset(folder).to_table()
    return {name: table.column(name).to_pylist() for name in table.column_names}


def with_polars(folder: Path) -> Columns:
    return pl.scan_parquet(folder / "**/*.parquet").collect().to_dict(as_series=False)


def with_duckdb(folder: Path) -> Columns:
    with duckdb.connect() as connection:
        relation = connection.sql(f"FROM read_parquet('{folder}/**/*.parquet')")
        rows = relation.fetchall()
        return {name: [row[i] for row in rows] for i, name in enumerate(relation.columns)}


READERS: list[Callable[[Path], Columns]] = [with_pyarrow, with_polars, with_duckdb]
readers = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


def bits_of(value: Any) -> Any:
    """The value and its type, floats as their bits: -0.0 is not 0.0, nan is nan, 1 is not 1.0."""
    if isinstance(value, list):
        return [bits_of(element) for element in value]
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


def differences(found: Columns, expected: Columns) -> list[str]:
    """The cells that differ, the first few; and columns or rows that are not there, or should not be."""
    if found.keys() != expected.keys():
        return [f"columns {sorted(found.keys() ^ expected.keys())}"]
    lengths = {label: (len(found[label]), len(column)) for label, column in expected.items()}
    wrong = [f"{label}: {mine} rows, not {theirs}" for label, (mine, theirs) in lengths.items() if mine != theirs]
    if wrong:
        return wrong
    return [
        f"{label}, row {row}: {mine!r}, not {theirs!r}"
        for label, column in expected.items()
        for row, (mine, theirs) in enumerate(zip(found[label], column, strict=True))
        if bits_of(mine) != bits_of(theirs)
    ][:20]


def compare(dataset: Path, star: Path, project: Path, read: Callable[[Path], Columns]) -> list[str]:
    tilts, tomograms = join(star, project)
    return differences(read(dataset / "tilts"), tilts) + differences(read(dataset / "tomograms"), tomograms)


# ---- Real projects -----------------------------------------------------------------------------------------


@needs_corpus
@readers
@pytest.mark.parametrize("stage", STAGES)
def test_every_cell_of_a_real_project(stage: str, read: Callable[[Path], Columns], tmp_path: Path) -> None:
    report = ta.convert(SKELETON / stage, tmp_path / "ds")
    assert compare(tmp_path / "ds", SKELETON / stage, SKELETON, read) == []
    assert read(tmp_path / "ds/tomograms")["tilt_count"] == STAGES[stage]
    assert (report.tomograms, report.tilts, report.rejects) == (5, sum(STAGES[stage]), 0)


# ---- Projects that no program would make alike -------------------------------------------------------------

#: The tilt-series tables by the tomogram's name; `GLOBAL` has what the global table says besides.
Series = Mapping[str, Mapping[str, Sequence[str]]]

GLOBAL: dict[str, Callable[[int], str]] = {
    "rlnVoltage": lambda i: f"{300 + i}.000000",
    "rlnTomoSizeX": lambda i: str(4000 + i),
    "rlnOpticsGroupName": lambda i: f"optics{i % 2}",
    "rlnCtfScalefactor": lambda i: f"0.{i}",
    "labGrid": lambda i: f'"grid {i}"',
}

PROJECTS: dict[str, Series] = {
    "names that look like numbers": {
        "001": {"rlnDefocusU": ["1.5", "-0.000000"]},
        "01": {"rlnDefocusU": ["1e-300"]},
        "1": {"rlnDefocusU": ["123456.789012345678901", "nan", "-inf"]},
    },
    "columns that differ": {
        "a": {"rlnDefocusU": ["1.5", "2.5"], "rlnTomoTiltMovieFrameCount": ["8", "9"]},
        "b": {"rlnDefocusV": ["3.5"], "rlnMicrographName": ['"b 0.mrc"']},
        "c": {"rlnMicrographName": ["c.mrc", "None"], "rlnDefocusU": ["4.5", "None"], "rlnTomoProjX": ["[1,0]", "[]"]},
    },
    "labels of both tables": {
        "a": {"rlnCtfScalefactor": ["0.9", "0.8"], "labGrid": ["7", "8"]},
        "b": {"rlnOpticsGroupName": ["x", "y"]},
        "c": {"rlnOpticsGroupName": ["y", "x"], "rlnCtfScalefactor": ["0.7", "0.6"]},
    },
    "series without rows": {
        "a": {"rlnDefocusU": [], "labScore": []},
        "b": {"rlnDefocusU": ["1.5"], "labScore": ["1"]},
        "c": {"labScore": [], "labEmpty": []},
        "d": {"labScore": ["2", "3"]},
    },
    "an integer label that holds a fraction": {
        "a": {"rlnTomoTiltMovieFrameCount": ["8", "9"]},
        "b": {"rlnTomoTiltMovieFrameCount": ["2.5"]},
        "c": {"rlnTomoTiltMovieFrameCount": ["3.000000"], "labMore": ["x"]},
    },
    "vectors": {
        "a": {"rlnTomoProjX": ["[1,0,0.5,2]", "None"], "rlnTomoVisibleFrames": ["[1,0]", "[]"]},
        "b": {"rlnTomoProjX": ["[]"], "rlnTomoVisibleFrames": ["[0.5]"]},
        "c": {"rlnTomoVisibleFrames": ["[7]"], "labMore": ["x"]},
    },
    "an unknown label: integers, then floats": {
        "a": {"labScore": ["1", "2"]},
        "b": {"labScore": ["1.25"]},
        "c": {"labScore": ["7"], "labMore": ["1"]},
    },
    "an unknown label: integers, floats, text": {
        "a": {"labScore": ["1", "2"]},
        "b": {"labScore": ["1.250"]},
        "c": {"labScore": ["good", "3"]},
    },
    "an unknown label: integers, floats, text, beside columns that differ": {
        "a": {"labScore": ["1", "2"], "labA": ["1", "2"]},
        "b": {"labB": ["1"], "labScore": ["1.250"]},
        "c": {"labScore": ["good", "3"], "labC": ["x", "y"]},
    },
    "an unknown label: missing, then integers": {
        "a": {"labScore": ["None", "None"]},
        "b": {"labScore": ["1"]},
        "c": {"labScore": ["2"], "labMore": ["1"]},
        "d": {"labScore": ["<NA>"], "labLess": ["1"]},
    },
    "an unknown label: integers, then padded ones": {
        "a": {"labScore": ["1", "2"]},
        "b": {"labScore": ["01"]},
        "c": {"labScore": ["3"], "labMore": ["1"]},
    },
    "an unknown label: an integer that no float can hold, then a fraction": {
        "a": {"labScore": ["9007199254740993"]},
        "b": {"labScore": ["0.5"]},
        "c": {"labScore": ["1"], "labMore": ["1"]},
    },
    "an unknown label: the same, in series whose columns differ": {
        "a": {"labScore": ["9007199254740993"]},
        "b": {"labScore": ["0.5"], "labMore": ["1"]},
    },
    "an unknown label: an integer in quotes, then one without": {
        "a": {"labScore": ["'1'"]},
        "b": {"labScore": ["2"], "labMore": ["1"]},
    },
    "an unknown label: no number, then a negative zero, then integers": {
        "a": {"labScore": ["nan"], "labZero": ["0"]},
        "b": {"labScore": ["2"], "labZero": ["-0"]},
    },
    "an unknown label: an integer beyond 64 bits": {
        "a": {"labScore": ["1"]},
        "b": {"labScore": ["9223372036854775808"]},
    },
    "everything at once": {
        "001": {"rlnDefocusU": ["1.5", "2.5"], "labScore": ["1", "2"], "rlnCtfScalefactor": ["0.9", "0.8"]},
        "TS_2": {"rlnDefocusU": [], "labScore": [], "rlnCtfScalefactor": []},
        "TS_3": {"labScore": ["0.5"], "rlnMicrographName": ["c.mrc"]},
        "TS_4": {"rlnCtfScalefactor": ["0.7"], "labScore": ["text"], "rlnDefocusU": ["3.5"]},
        "TS_5": {"rlnDefocusU": ["4.5"] * 200, "labScore": ["9"] * 200, "rlnCtfScalefactor": ["0.1"] * 200},
    },
}


def write_star(path: Path, block: str, columns: Mapping[str, Sequence[str]]) -> None:
    header = "".join(f"_{label} #{number}\n" for number, label in enumerate(columns, 1))
    rows = "".join("\t".join(row) + "\n" for row in zip(*columns.values(), strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"\ndata_{block}\n\nloop_\n{header}{rows}\n", encoding="utf-8")


def write_project(folder: Path, series: Series) -> Path:
    """Write the global file, which is returned, and the tilt-series files."""
    paths = {name: f"tilt_series/{name}.star" for name in series}
    for name, columns in series.items():
        write_star(folder / paths[name], name, columns)
    more = {label: [text(i) for i in range(len(series))] for label, text in GLOBAL.items()}
    write_star(folder / "tomograms.star", "global", {NAME: [*series], SERIES_FILE: [*paths.values()], **more})
    return folder / "tomograms.star"


@pytest.fixture(params=PROJECTS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The global file of a made-up project."""
    return write_project(tmp_path / "project", PROJECTS[request.param])


#: Slabs of one file each, of some files, of all.
slabs = pytest.mark.parametrize("slab_bytes", [1, 5000, None])


def set_slab_bytes(monkeypatch: pytest.MonkeyPatch, slab_bytes: int | None) -> None:
    if slab_bytes is not None:
        monkeypatch.setattr("tomoarrow.dataset.tables.tilts._SLAB_BYTES", slab_bytes)


@slabs
def test_every_cell_of_a_made_up_project(
    project: Path, slab_bytes: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_slab_bytes(monkeypatch, slab_bytes)
    report = ta.convert(project, tmp_path / "ds")
    for read in READERS:
        assert compare(tmp_path / "ds", project, project.parent, read) == []
    tilts, tomograms = join(project, project.parent)
    assert (report.tomograms, report.tilts) == (len(tomograms[NAME]), len(tilts[NAME]))


@slabs
@pytest.mark.parametrize("more", [{}, {"labMore": ["1"]}], ids=["same columns", "other columns"])
def test_an_integer_that_no_float_can_hold_is_never_rounded(
    more: dict[str, list[str]], slab_bytes: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = "rlnTomoTiltMovieFrameCount"
    star = write_project(tmp_path / "project", {"a": {label: ["9007199254740993"]}, "b": {label: ["0.5"], **more}})
    set_slab_bytes(monkeypatch, slab_bytes)
    with pytest.raises(ta.SchemaError, match="9007199254740993"):
        ta.convert(star, tmp_path / "ds")
    assert not (tmp_path / "ds").exists()


# ---- Modes of execution ------------------------------------------------------------------------------------


def tables_of(dataset: Path) -> dict[str, pa.Table]:
    return {name: pyarrow.dataset.dataset(dataset / name).to_table() for name in ("tilts", "tomograms")}


def warnings_of(report: ta.Report) -> list[tuple[str, int, int]]:
    return sorted((warning.code, warning.count, warning.files) for warning in report.warnings)


#: How many threads, and how much text at a time.
MODES = [(threads, slab_bytes) for threads in (1, 4) for slab_bytes in (1, 5000, None)]


def check_modes(star: Path, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Check that a conversion in other pieces, by other threads, gives the very same tables and warnings."""
    report = ta.convert(star, tmp_path / "one", threads=1)
    one = tables_of(tmp_path / "one")
    expected = {name: table.to_pydict() for name, table in one.items()}
    for threads, slab_bytes in MODES:
        mode = f"{threads} threads, slabs of {slab_bytes} bytes"
        with patch.context() as patched:
            set_slab_bytes(patched, slab_bytes)
            other_report = ta.convert(star, tmp_path / mode, threads=threads)
        for name, table in tables_of(tmp_path / mode).items():
            assert table.schema.equals(one[name].schema, check_metadata=True), mode
            assert differences(table.to_pydict(), expected[name]) == [], mode
        assert warnings_of(other_report) == warnings_of(report), mode


def test_modes_agree_on_a_made_up_project(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_modes(project, tmp_path, monkeypatch)


def test_modes_agree_on_a_regular_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_modes(make_project(tmp_path / "project", tomograms=17, tilts=5).tomograms_star, tmp_path, monkeypatch)


@needs_corpus
@pytest.mark.parametrize("stage", STAGES)
def test_modes_agree_on_a_real_project(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_modes(SKELETON / stage, tmp_path, monkeypatch)
