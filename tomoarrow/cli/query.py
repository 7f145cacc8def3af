"""`tomoarrow query`: a question in SQL, and its answer for people or for files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .errors import errors_told

if TYPE_CHECKING:
    import polars as pl

    from ..dataset.dataset import Dataset

#: So many rows of an answer are shown.
_MOST_ROWS = 40


def query(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A dataset that convert made.")],
    sql: Annotated[
        str | None,
        typer.Argument(metavar="SQL", help="A question, or the name of a listed one; without, all are listed."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the answer to a file: .csv, .jsonl, .parquet, .arrow or .star."),
    ] = None,
    form: Annotated[
        Literal["table", "csv", "jsonl", "parquet", "arrow", "star"] | None,
        typer.Option("--format", help="How to write the answer; a table on the terminal if not said."),
    ] = None,
) -> None:
    """Ask a question in SQL over the tables of a dataset; without one, show what there is to ask of."""
    with errors_told():
        from ..dataset.dataset import Dataset
        from ..dataset.reading.query import QUESTIONS

        opened = Dataset(dataset)
        if sql is None:
            _show_tables(opened)
            return
        answer = opened.sql(QUESTIONS[sql].sql if sql in QUESTIONS else sql).collect()
        if output is None and form in (None, "table"):
            _show(answer)
            return
        from ..dataset.paths import told
        from ..dataset.reading.answers import format_of, write_answer

        chosen = form if form is not None and form != "table" else format_of(output or Path("answer"))
        if output is None:
            write_answer(answer, sys.stdout.buffer, chosen)
        else:
            with told(output):
                write_answer(answer, output, chosen)


def _show(answer: pl.DataFrame) -> None:
    from rich.table import Table
    from rich.text import Text

    from .console import new_console

    shown = Table()
    for column in answer.columns:
        shown.add_column(Text(column), overflow="fold")
    for row in answer.head(_MOST_ROWS).iter_rows():
        shown.add_row(*(Text(_text(value)) for value in row))
    console = new_console()
    console.print(shown)
    if answer.height > _MOST_ROWS:
        console.print(f"{_MOST_ROWS} of {answer.height} rows; all of them with --format csv, or --output FILE")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _show_tables(dataset: Dataset) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..dataset.reading.query import QUESTIONS
    from .console import new_console

    console = new_console()
    shown = Table("table", "rows", "columns")
    for name in dataset.tables:
        table = dataset.manifest["tables"][name]
        columns = ", ".join(column["name"] for column in table["columns"])
        shown.add_row(Text(name), str(table["rows"]), Text(columns))
    console.print(shown)
    for name, question in QUESTIONS.items():
        lacks = dataset.lacking(question.needs)
        console.print(f"\n{name}: {question.title}" + (f" (lacks {', '.join(lacks)})" if lacks else ""), markup=False)
        console.print(f"  {question.sql}".replace("\n", "\n  "), markup=False, soft_wrap=True)
    console.print(f'\ntomoarrow query {dataset.path} ctf\ntomoarrow query {dataset.path} "SELECT ..." -o answer.csv')
