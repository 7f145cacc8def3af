"""`tomoarrow query`: a question in SQL, and its answer for people or for files."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .errors import errors_told
from .options import InputOption, arguments

if TYPE_CHECKING:
    import polars as pl

    from ..dataset.dataset import Dataset

#: So many rows of an answer are shown.
_MOST_ROWS = 40


def query(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="A dataset that convert made.")] = None,
    sql: Annotated[
        str | None,
        typer.Argument(
            metavar="SQL", help="A question, or the name of a listed one. Without it, tables and questions are listed."
        ),
    ] = None,
    dataset_option: InputOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", "--o", help="Write the answer to this file: .csv, .jsonl, .parquet, .arrow or .star."
        ),
    ] = None,
    form: Annotated[
        Literal["table", "csv", "jsonl", "parquet", "arrow", "star"] | None,
        typer.Option(
            "--format",
            help="How to write the answer. By default as the file's name says, else as a table on the terminal.",
        ),
    ] = None,
) -> None:
    """Ask a dataset a question in SQL; without one, list its tables and questions from the field."""
    with errors_told():
        given = [each for each in (dataset_option, dataset, sql) if each is not None]
        (path,) = arguments(("DATASET",), [*given[:1], *given[2:]], "tomoarrow query DATASET SQL")
        from ..dataset.dataset import Dataset
        from ..dataset.reading.query import QUESTIONS
        from ..dataset.reading.scanning import tables_read

        opened = Dataset(path)
        if len(given) == 1:
            _show_tables(opened)
            return
        asked = given[1]
        answered = opened.sql(QUESTIONS[asked].sql if asked in QUESTIONS else asked)
        with tables_read(path):
            answer = answered.collect()
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
    new_console().print(shown)
    if answer.height > _MOST_ROWS:
        print(f"{_MOST_ROWS} of {answer.height} rows; all of them with --format csv, or --output FILE")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _show_tables(dataset: Dataset) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..dataset.reading.query import QUESTIONS
    from .console import new_console

    shown = Table("table", "rows", "columns")
    for name in dataset.tables:
        table = dataset.manifest["tables"][name]
        columns = ", ".join(column["name"] for column in table["columns"])
        shown.add_row(Text(name), str(table["rows"]), Text(columns))
    new_console().print(shown)
    for name, question in QUESTIONS.items():
        lacks = dataset.lacking(question.needs)
        print(f"\n{name}: {question.title}" + (f" (lacks {', '.join(lacks)})" if lacks else ""))
        print(f"  {question.sql}".replace("\n", "\n  "))
    again = f"tomoarrow query {shlex.quote(str(dataset.path))}"
    print(f'\n{again} ctf\n{again} "SELECT ..." -o answer.csv')
