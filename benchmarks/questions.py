"""The work on a dataset that is there: what it takes to answer a question, from question to answer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa

from tomoarrow import Dataset, convert
from tomoarrow.dataset.reading.query import QUESTIONS
from tomoarrow.example import Example, make_project

from . import answers
from .contest import Contest, hold
from .measure import Contestant
from .results import Figure, Result
from .works import Settings

#: Answers of floating-point sums in another order differ by no more.
_ROUNDING = 1e-6

_PARTICLES = 20


def ask(settings: Settings) -> Iterator[Result]:
    """W9: six questions of the field to a dataset, against pandas on CSV files and against reading the STAR files."""
    made, dataset = _dataset(settings)
    opened = Dataset(dataset)
    csv = {name: _csv(settings.folder, dataset, name, made) for name in ("tilts", "tomograms", "particles")}
    size = f"{made.tomograms:,} tomograms, {made.tilts:,} tilts, {made.particles:,} particles"
    most = 0.0
    for name, question in QUESTIONS.items():
        ours = Contestant("tomoarrow", lambda sql=question.sql: opened.sql(sql).collect(), _sorted)  # type: ignore[misc]
        result = hold(_contest(f"query {name}: {question.title}", size, ours, name, csv, made), settings.rounds)
        most = max(most, result.ours_s or 0.0)
        yield result
    last = f"TS_{made.tomograms // 2:0{len(str(made.tomograms))}d}"
    ours = Contestant("tomoarrow", lambda: opened.tomogram(last).select(answers.TILT_COLUMNS), _sorted)
    result = hold(_contest("the tilts of one tomogram", size, ours, last, csv, made), settings.rounds)
    yield result
    yield Result(
        "W9",
        "questions, the slowest",
        size,
        figures=(
            Figure("of six questions", most, "s", at_most=0.1),
            Figure("the tilts of one tomogram", result.ours_s or 0.0, "s", at_most=0.02),
        ),
    )


def _contest(title: str, size: str, ours: Contestant, question: str, csv: dict[str, Path], made: Example) -> Contest:
    pandas = Contestant(
        "pandas on CSV",
        partial(answers.with_pandas, question, csv),
        _sorted,
        needs=("pandas",),
        aim=5,
        within=_ROUNDING,
    )
    again = Contestant(
        "starfile-rs + polars, from the STAR files",
        partial(answers.with_starfile_rs, question, made),
        _sorted,
        needs=("starfile_rs",),
        aim=5,
        rounds=2,
        within=_ROUNDING,
    )
    return Contest("W9", title, size, ours, (pandas, again))


def _dataset(settings: Settings) -> tuple[Example, Path]:
    """A project with particles, and the dataset of its tomograms and particles."""
    n = 200 if settings.quick else 5_000
    folder, dataset = settings.folder / f"whole-{n}", settings.folder / f"whole-{n}-dataset"
    if not dataset.exists():
        made = make_project(folder, tomograms=n, particles=_PARTICLES)
        for series in sorted(made.directory.glob("Tomograms/*/tilt_series/*.star"))[::100]:
            # Without its last tilt, behind which RELION closes the block.
            lines = series.read_text().splitlines(keepends=True)
            series.write_text("".join([*lines[:-2], lines[-1]]))
        assert made.optimisation_set_star is not None
        convert(made.optimisation_set_star, dataset)
    again = Example(
        folder,
        folder / "Tomograms/job006/tomograms.star",
        n,
        n * 41,
        n * _PARTICLES,
        folder / "Extract/job009/particles.star",
        folder / "Polish/job011/motion.star",
        folder / "Polish/job011/optimisation_set.star",
    )
    return again, dataset


def _csv(folder: Path, dataset: Path, name: str, made: Example) -> Path:
    """A table as pandas users keep it."""
    path = folder / f"{name}-{made.tomograms}.csv"
    if not path.exists():
        frame = pl.read_parquet(dataset / name / "*.parquet")
        lists = [column for column, kind in frame.schema.items() if isinstance(kind, pl.List)]
        frame.drop(lists).write_csv(path)
    return path


def _sorted(answer: object) -> pa.Table:
    """An answer with its rows in one order, whoever gave it."""
    frame = answer if isinstance(answer, pl.DataFrame) else pl.from_pandas(answer)  # type: ignore[call-overload]
    frame = frame.with_columns(pl.col("rlnTomoName").cast(pl.String))
    keys = [column for column in ("rlnTomoName", "tilt_index", "rlnOpticsGroup") if column in frame.columns]
    table: pa.Table = frame.sort(keys).to_arrow()
    return table
