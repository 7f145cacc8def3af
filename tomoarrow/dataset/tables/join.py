"""The join: what the global table says of a tomogram, beside each of its tilts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ...relion.tomogram_set import NAME
from ...star.columns import ARROW_TYPES
from ..layout import TILT_INDEX

_NAME_FIELD = pa.field(
    NAME, ARROW_TYPES["name"], metadata={"description": "Name of the tomogram or tilt series in the global table"}
)
_INDEX_FIELD = pa.field(
    TILT_INDEX, pa.int32(), metadata={"description": "Position of the tilt image in its tilt-series file, from 0"}
)


#: The key of the join: the row of a tomogram in the global table.
_ROW = "row of the global table"


@dataclass(frozen=True, slots=True)
class TiltSchema:
    """The columns of ``tilts/``.

    Attributes
    ----------
    tilt : tuple of pyarrow.Field
        Columns of the tilt-series tables, named as there.
    tilt_names, global_names : dict
        What each label of a tilt-series table, and of the global table, is called in ``tilts/``.
    schema : pyarrow.Schema
    """

    tilt: tuple[pa.Field, ...]
    tilt_names: dict[str, str]
    global_names: dict[str, str]
    schema: pa.Schema

    def column_of(self, label: str | None) -> str | None:
        """What a label of the global table is called in ``tilts/``."""
        return label if label is None or label == NAME else self.global_names[label]

    @property
    def origins(self) -> dict[str, str]:
        """For each column the table and label that it came from."""
        origins = {NAME: f"global/{NAME}", TILT_INDEX: "position"}
        origins |= {name: f"global/{label}" for label, name in self.global_names.items()}
        return origins | {name: f"tilt_series/{label}" for label, name in self.tilt_names.items()}


def tilt_schema(tilt_fields: Sequence[pa.Field], table: pa.Table) -> TiltSchema:
    """Name the columns of the join.

    A label of both tables keeps its name for the tilt's value; the global one becomes ``<label>_global``. The
    two columns that are always there keep theirs: a tilt-series table's own becomes ``<label>_tilt``.
    """
    labels = {field.name for field in tilt_fields} | set(table.column_names)
    taken = {NAME, TILT_INDEX}
    tilt_names = {field.name: free_name(field.name, "_tilt", taken, labels) for field in tilt_fields}
    global_names = {name: free_name(name, "_global", taken, labels) for name in table.column_names if name != NAME}
    fields = [_NAME_FIELD, _INDEX_FIELD]
    fields += [f.with_name(tilt_names[f.name]) for f in tilt_fields]
    fields += [table.schema.field(label).with_name(name) for label, name in global_names.items()]
    return TiltSchema(tuple(tilt_fields), tilt_names, global_names, pa.schema(fields))


def free_name(label: str, suffix: str, taken: set[str], labels: Collection[str]) -> str:
    """A name for a column: the label, with a suffix as long as another column has the name. It is taken then."""
    name = label
    while name in taken or (name != label and name in labels):
        name += suffix
    taken.add(name)
    return name


def fits(schema: TiltSchema, table: pa.Table) -> bool:
    """Whether a table of tilts has no column that the schema lacks or has with another type."""
    there = {field.name: field.type for field in schema.tilt}
    return all(there.get(field.name) == field.type for field in table.schema)


def tomogram_frame(table: pa.Table) -> pl.DataFrame:
    """The global table as Polars has it, with the key of the join."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.Series(_ROW, np.arange(table.num_rows)))


def join_tilts(
    tilts: pa.Table,
    tilt_counts: NDArray[np.int64],
    rows: NDArray[np.int64],
    tomograms: pl.DataFrame,
    schema: TiltSchema,
) -> pa.Table:
    """Join tilts of whole tomograms with the global table.

    Parameters
    ----------
    tilts : pyarrow.Table
        Tomogram after tomogram; `fits` the schema.
    tilt_counts : int64[tomograms]
    rows : int64[tomograms]
        The row of each tomogram in the global table.
    tomograms : polars.DataFrame
        The global table: `tomogram_frame`.
    schema : TiltSchema
    """
    n_tilts = int(tilt_counts.sum())
    index = np.arange(n_tilts) - np.repeat(np.cumsum(tilt_counts) - tilt_counts, tilt_counts)
    joined = pl.DataFrame({_ROW: np.repeat(rows, tilt_counts)}).join(
        tomograms, on=_ROW, how="left", validate="m:1", maintain_order="left"
    )
    # The oldest layout that Polars writes is the one that Arrow takes back without copying text.
    from_global = joined.to_arrow(compat_level=pl.CompatLevel.oldest())
    columns = [as_type(from_global.column(NAME), _NAME_FIELD.type), pa.array(index.astype(np.int32))]
    there = dict(zip(tilts.column_names, tilts.columns, strict=True))
    columns += [there[f.name] if f.name in there else pa.nulls(n_tilts, f.type) for f in schema.tilt]
    for label, name in schema.global_names.items():
        columns.append(as_type(from_global.column(label), schema.schema.field(name).type))
    return pa.Table.from_arrays(columns, schema=schema.schema)


def as_type(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Bring a column that Polars made back to the type that Arrow had before."""
    if column.type == wanted:
        return column
    if pa.types.is_dictionary(wanted):
        return column.cast(wanted.value_type).dictionary_encode()
    return column.cast(wanted)
