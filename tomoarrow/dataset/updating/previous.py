"""The version of a dataset that is there, as an update needs it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...errors import DatasetError, Place
from ...relion.project import joined
from ...relion.series import SeriesFile
from ...relion.tomogram_set import NAME, SERIES_FILE
from ..layout import partition_folder
from ..versions.snapshot import Snapshot
from .rewriting import TakesAll


@dataclass(frozen=True, slots=True)
class Series:
    """The tilt series of a set, as they are or were.

    Attributes
    ----------
    table : pyarrow.Table
        The global table.
    rows : int64[series]
        For each tilt series that is there, its row in the global table.
    names, paths : pyarrow.StringArray
        The tomograms, and their files as the global table calls them.
    """

    table: pa.Table
    rows: NDArray[np.int64]
    names: pa.Array
    paths: pa.Array

    @staticmethod
    def of(table: pa.Table, rows: NDArray[np.int64]) -> Series:
        """Those of some rows of a global table."""
        own = table.select([NAME, SERIES_FILE]).take(pa.array(rows))
        names, paths = (column.cast(pa.string()).combine_chunks() for column in own.columns)
        return Series(table, rows, names, paths)

    def files(self, which: NDArray[np.int64], project: Path) -> list[SeriesFile]:
        """The files of some, below the project directory."""
        names, paths = (column.take(pa.array(which)).to_pylist() for column in (self.names, self.paths))
        home = os.fspath(project)
        return [SeriesFile(name, path, joined(home, path)) for name, path in zip(names, paths, strict=True)]

    def folders(self, column: tuple[str, str] | None) -> NDArray[np.object_]:
        """The folder of ``tilts/`` that each is in, given the label that these are named by."""
        if column is None:
            return np.full(len(self.rows), "tilts", object)
        label, name = column
        values = self.table.column(label).take(pa.array(self.rows)).to_pylist()
        return np.array([f"tilts/{partition_folder(name, value)}" for value in values], object)


@dataclass(frozen=True, slots=True)
class Old:
    """The version that is there.

    Attributes
    ----------
    snapshot : Snapshot
    series : Series
    counts : int64[series]
        How many tilts each has.
    """

    snapshot: Snapshot
    series: Series
    counts: NDArray[np.int64]

    @property
    def partition_by(self) -> tuple[str, str] | None:
        """The label of the global table that folders are named by, and what it is called in ``tilts/``."""
        name = self.snapshot.manifest["tables"]["tilts"]["partition_by"]
        if name is None:
            return None
        origins = {column["name"]: column["origin"] for column in self.snapshot.manifest["tables"]["tilts"]["columns"]}
        return origins[name].partition("/")[2], name

    def tilt_fields(self) -> dict[str, pa.Field]:
        """The columns of ``tilts/`` that came from tilt series, by label."""
        schema = pq.read_schema(self.snapshot.tables["tilts"][0].source)
        origins = {column["name"]: column["origin"] for column in self.snapshot.manifest["tables"]["tilts"]["columns"]}
        own = [name for name, origin in origins.items() if origin.startswith("tilt_series/")]
        labels = {name: origins[name].partition("/")[2] for name in own}
        return {label: schema.field(name).with_name(label) for name, label in labels.items()}

    def column_names(self) -> list[str]:
        """All columns of ``tilts/``, those that are folders too."""
        return [column["name"] for column in self.snapshot.manifest["tables"]["tilts"]["columns"]]


def open_old(snapshot: Snapshot) -> Old:
    """Take the tomogram set of a dataset as it was converted.

    Raises
    ------
    TakesAll
        It has none, or one of RELION 4.
    DatasetError
        Its tables were changed since.
    """
    tables = snapshot.manifest["tables"]
    changed = snapshot.changed_tables()
    if changed:
        raise DatasetError(
            f"the table {changed[0]} was changed by other tools, which an update would lose",
            place=Place(str(snapshot.folder / changed[0])),
            remedy="convert into another folder, or again with --force",
        )
    if "tomograms" not in tables:
        raise TakesAll
    table = pa.concat_tables([pq.read_table(file.source) for file in snapshot.tables["tomograms"]])
    origins = {column["origin"]: column["name"] for column in tables["tomograms"]["columns"]}
    counts = table.column(origins["count"])
    table = table.drop_columns([origins["count"]])
    if SERIES_FILE not in table.column_names:
        raise TakesAll
    rows = np.flatnonzero(np.asarray(counts.is_valid()))
    return Old(snapshot, Series.of(table, rows), np.asarray(counts.drop_null().to_numpy(), np.int64))
