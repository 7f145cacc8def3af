"""The answer to a question as a file: CSV, JSON lines, Parquet, Arrow IPC, or STAR."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Literal, get_args

import polars as pl

from ...errors import UsageError
from ...relion.writing import write_star

Format = Literal["csv", "jsonl", "parquet", "arrow", "star"]

#: What the ends of names stand for.
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".star": "star",
}

#: What the block of an answer is called in a STAR file.
BLOCK = "answer"


def format_of(path: Path) -> Format:
    """The format that the end of a name stands for.

    Raises
    ------
    UsageError
        It stands for none.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"the end of {path.name!r} names no format",
            expected=f"one of {', '.join(_SUFFIXES)}",
            remedy=f"name it so, or say --format: {', '.join(get_args(Format))}",
        )
    return _SUFFIXES[path.suffix.lower()]


def write_answer(answer: pl.DataFrame, target: Path | IO[bytes], form: Format) -> None:
    """Write a table.

    Parameters
    ----------
    answer : polars.DataFrame
    target : path, or binary file
    form : Format
        In CSV, vectors are written as RELION has them: ``[1,0,1]``.

    Raises
    ------
    UsageError
        A column holds what the format has no form for.
    OSError
        The target cannot be written to.
    """
    if form == "csv":
        _check_flat(answer)
        answer.with_columns(_vectors(answer)).write_csv(target)
    elif form == "jsonl":
        answer.write_ndjson(target)
    elif form == "parquet":
        try:
            answer.write_parquet(target)
        except pl.exceptions.ComputeError as error:
            # What is wrong can only be the disk, or the pipe, which Polars does not always say.
            raise OSError(f"no room is left, or nobody reads: {error}") from error
    elif form == "arrow":
        answer.write_ipc(target)
    else:
        write_star({BLOCK: answer}, target)


def _check_flat(answer: pl.DataFrame) -> None:
    """Refuse lists of lists, and columns in columns: a cell of CSV is a value or a vector."""
    for name, kind in answer.schema.items():
        inner = kind.inner if isinstance(kind, pl.List) else kind
        if inner.is_nested():
            raise UsageError(f"CSV has no form for the column {name}: {kind}", remedy="write it as jsonl or parquet")


def _vectors(answer: pl.DataFrame) -> list[pl.Expr]:
    """The columns of vectors as text."""
    return [
        pl.format("[{}]", pl.col(name).cast(pl.List(pl.String)).list.join(",")).alias(name)
        for name, kind in answer.schema.items()
        if isinstance(kind, pl.List)
    ]
