"""Conditions on the rows of a table, in SQL or as Polars expressions."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...errors import UsageError
from .scanning import scan_files
from .stored import Stored


def rows_where(stored: Stored, where: str | pl.Expr) -> NDArray[np.bool_]:
    """The rows of a table for which a condition is true; unknown (null) is not true.

    Parameters
    ----------
    stored : Stored
    where : str or polars.Expr
        An SQL expression over the table's columns, or an expression of Polars.

    Returns
    -------
    bool[rows]

    Raises
    ------
    UsageError
        It is no such expression, or not true or false for each row.
    """
    frame = scan_files(stored.files, stored.described)
    shown = f"where={where!r}" if isinstance(where, str) else f"the filter {where}"
    try:
        # In parentheses, because some versions take the first of two expressions and say nothing of the second.
        condition = pl.sql_expr(f"({where})") if isinstance(where, str) else where
        found = frame.select(condition.alias("chosen")).collect()["chosen"]
    except pl.exceptions.PolarsError as error:
        table = stored.folder.name
        raise UsageError(
            f"{shown}: {str(error).splitlines()[0]}",
            expected=f"an expression over the columns of {table}, such as: {', '.join(stored.columns[:5])}",
            remedy="for example: rlnDefocusU < 50000 AND rlnTomoName = 'TS_01'",
        ) from error
    if found.dtype != pl.Boolean or len(found) != stored.rows:
        raise UsageError(f"{shown} is not true or false for each row of {stored.folder.name}", expected="a condition")
    return found.fill_null(value=False).to_numpy()
