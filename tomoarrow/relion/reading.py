"""`read_star` and `read_table` with RELION's label table: what users call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ..star import reader
from ..star.columns import Label
from ..star.document import Document
from ..star.source import Source
from ..star.structure import Dialect
from ..star.tables import OnBadValue
from .labels import LABELS


def read_star(
    source: Source,
    *,
    dialect: Dialect = "relion",
    blocks: str | int | Sequence[str | int] | None = None,
    columns: str | Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] = LABELS,
) -> Document:
    """Read a STAR file.

    Parameters
    ----------
    source
        A path, bytes, or an open binary file; gzip and zstd are unpacked.
    dialect : "relion" or "star"
        RELION's, one row a line; or the general language of Hall and CIF 1.1.
    blocks : name, position, or a sequence of these, optional
        Only these blocks; the values of the others are not read.
    columns : str or sequence of str, optional
        Only these labels of loops, in this order; the values of the others are not read.
    strict : bool
        Refuse what RELION's own reader would read as something else, instead of warning.
    on_bad_value : "error" or "null"
        A value that does not fit its label's type is an error, or null and listed in ``rejects``.
    labels : mapping, optional
        What is known of labels: RELION's label table.

    Raises
    ------
    MissingFileError
        The file cannot be read.
    StarSyntaxError
        The text is malformed.
    SchemaError
        A value does not fit its label's type, a label repeats, or a block or column is not there.
    """
    return reader.read_star(
        source,
        dialect=dialect,
        blocks=blocks,
        columns=columns,
        strict=strict,
        on_bad_value=on_bad_value,
        labels=labels,
    )


def read_table(
    source: Source,
    block: str | int | None = None,
    *,
    dialect: Dialect = "relion",
    columns: str | Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] = LABELS,
) -> pa.Table:
    """Read one table: the one loop of the file, or of the block that is named.

    Parameters and errors are those of `read_star`; besides, a `SchemaError` says which blocks there are where
    the file has several loops, or none.
    """
    return reader.read_table(
        source,
        block,
        dialect=dialect,
        columns=columns,
        strict=strict,
        on_bad_value=on_bad_value,
        labels=labels,
    )
