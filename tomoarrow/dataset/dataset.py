"""A dataset that is there: its tables as Polars has them, and what follows from several of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ..errors import DatasetError, Place, UsageError, first_of
from ..relion.tomogram_set import NAME
from .images.particle_tilts import scan_particle_tilts
from .images.tilt_images import ImageSize
from .projects import of_project, project_names
from .reading.lookup import RowGroup, find_tomogram, row_groups
from .reading.query import run_sql
from .reading.scanning import scan_files
from .reading.splitting import Split, split_groups
from .reading.stored import Stored, open_table
from .report import INNER_TABLES, WarningSummary
from .stores.urls import folder_of, place_of
from .tables.sources import read_sources
from .versions.integrity import IntegrityReport, check_files
from .versions.manifest import SourceInfo
from .versions.snapshot import open_snapshot

if TYPE_CHECKING:
    import altair as alt
    import dask.dataframe as dd

#: So many tomograms are named where one is asked for that is not there.
_MOST_NAMES = 10


class Dataset:
    """A dataset that `convert` made.

    Parameters
    ----------
    path : str or path
        Its folder, or its URL in an object store.

    Attributes
    ----------
    path : Path or Remote
    manifest : dict
        What ``manifest.json`` holds.

    Raises
    ------
    DatasetError
        The folder is no dataset, it is damaged, or a newer version of tomoarrow wrote it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = place_of(path)
        self._snapshot = open_snapshot(self.path)
        self.manifest = self._snapshot.manifest
        self._groups: list[RowGroup] = []

    @property
    def projects(self) -> list[str]:
        """The names of the projects, where the dataset is of several."""
        return project_names(self._snapshot)

    def project(self, name: str) -> Dataset:
        """One project of several, as a dataset of its own.

        Raises
        ------
        UsageError
            There is no such project.
        """
        found = Dataset.__new__(Dataset)
        found.path, found._groups = self.path, []
        found._snapshot = of_project(self._snapshot, name)
        found.manifest = found._snapshot.manifest
        return found

    def _check_one_project(self) -> None:
        if self.projects:
            raise UsageError(
                "the dataset is of several projects, in which names may repeat",
                expected=f"one of them: dataset.project({self.projects[0]!r}), ...",
            )

    def __repr__(self) -> str:
        tables = "".join(f"\n  {name}: {rows} rows" for name, rows in self._rows().items())
        return f"<Dataset {os.fspath(self.path)!r}, {self.manifest['kind']} of {self.manifest['created']}{tables}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td style='text-align:right'>{rows:,}</td>"
            f"<td>{len(self.manifest['tables'][name]['columns'])}</td></tr>"
            for name, rows in self._rows().items()
        )
        facts = " &middot; ".join(
            escape(str(self.manifest[fact])) for fact in ("kind", "input", "created", "written_by")
        )
        warned = "".join(f"<li>{escape(each.message)}: {each.count}</li>" for each in self.warnings)
        return (
            f"<b>{escape(os.fspath(self.path))}</b><br><small>{facts}</small>"
            f"<table><thead><tr><th>table</th><th>rows</th><th>columns</th></tr></thead><tbody>{rows}</tbody></table>"
            + (f"<ul>{warned}</ul>" if warned else "")
        )

    def _rows(self) -> dict[str, int]:
        return {name: table["rows"] for name, table in self.manifest["tables"].items() if name not in INNER_TABLES}

    @property
    def tables(self) -> dict[str, pl.LazyFrame]:
        """All tables with the values of STAR files, by name."""
        return {name: self._scan(name) for name in self.manifest["tables"] if name not in INNER_TABLES}

    def __getitem__(self, name: str) -> pl.LazyFrame:
        return self._scan(name)

    @property
    def tilts(self) -> pl.LazyFrame:
        """A row a tilt image: the columns of its tilt series, and those of its tomogram."""
        return self._scan("tilts")

    @property
    def tomograms(self) -> pl.LazyFrame:
        """A row a tomogram."""
        return self._scan("tomograms")

    @property
    def particles(self) -> pl.LazyFrame:
        """A row a particle, beside its optics group."""
        return self._scan("particles")

    @property
    def trajectories(self) -> pl.LazyFrame:
        """A row for each tilt of each particle: how the particle is shifted there."""
        return self._scan("trajectories")

    @property
    def optics(self) -> pl.LazyFrame:
        """A row an optics group."""
        return self._scan("optics")

    def tomogram(self, name: str) -> pl.DataFrame:
        """The tilts of one tomogram, in the order of its series; files and row groups of others are skipped.

        Raises
        ------
        UsageError
            There is no such tomogram, or there are several projects.
        """
        self._check_one_project()
        if not self._groups:
            self._groups.extend(row_groups(self._open("tilts").files))
        found = [
            scan_files([run.file], self.manifest["tables"]["tilts"]).slice(run.first, run.rows)
            for run in find_tomogram(self._groups, name)
        ]
        if found:
            return pl.concat(found, how="diagonal_relaxed").sort("tilt_index").collect()
        is_named = pl.col(NAME).cast(pl.String) == name
        if not self.tomograms.filter(is_named).collect().height:
            names = self.tomograms.select(pl.col(NAME).cast(pl.String)).collect().to_series().to_list()
            some = first_of(names, _MOST_NAMES)
            raise UsageError(f"no tomogram {name!r} in the dataset", expected=f"one of: {some}")
        return self.tilts.clear().collect()

    def schema(self) -> pl.DataFrame:
        """All columns: table, column, type, unit, description, and the table and label that each came from."""
        names = ("name", "type", "unit", "description", "origin")
        rows = [
            (name, *(column[key] for key in names))
            for name, table in self.manifest["tables"].items()
            if name not in INNER_TABLES
            for column in table["columns"]
        ]
        return pl.DataFrame(rows, schema=["table", "column", *names[1:]], orient="row")

    @property
    def sources(self) -> list[SourceInfo]:
        """The STAR files that were converted."""
        return read_sources(self._snapshot)

    @property
    def warnings(self) -> list[WarningSummary]:
        """What was noticed on the way."""
        return [WarningSummary(**warning) for warning in self.manifest["warnings"]]

    @property
    def rejects(self) -> pl.LazyFrame:
        """What was left out, one row each: file, line, column, block, label, text, reason."""
        if "rejects" in self.manifest["tables"]:
            return self._scan("rejects")
        texts = dict.fromkeys(["file", "block", "label", "text", "reason"], pl.String)
        return pl.LazyFrame(schema={"file": pl.String, "line": pl.Int64, "column": pl.Int64, **texts})

    def sql(self, sql: str) -> pl.LazyFrame:
        """Ask a question in SQL over all `tables`; the answer is worked out when it is collected.

        Raises
        ------
        UsageError
            It is no SQL, names what is not there, or would change something or read other files.

        Examples
        --------
        >>> ds.sql("SELECT rlnTomoName, AVG(rlnDefocusU) FROM tilts GROUP BY rlnTomoName").collect()  # doctest: +SKIP
        """
        return run_sql(
            sql, {name: partial(self._scan, name) for name in self.manifest["tables"] if name not in INNER_TABLES}
        )

    def split(self, by: str = NAME, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0) -> tuple[Split, ...]:
        """Split whole groups, such as tomograms, into parts for training, validation and test.

        The part of a group depends on its name and the seed alone: see `reading.splitting.split_groups`.

        Examples
        --------
        >>> training, validation, test = ds.split(by="rlnTomoName", seed=1)  # doctest: +SKIP
        >>> ds.tilts.filter(training.filter)  # doctest: +SKIP
        """
        return split_groups(self._snapshot, by=by, fractions=fractions, seed=seed)

    def lacking(self, needs: Mapping[str, Sequence[str]]) -> list[str]:
        """Which of some columns, given by table, the dataset lacks: ``table.column`` each."""
        there = {(row["table"], row["column"]) for row in self.schema().iter_rows(named=True)}
        return [
            f"{table}.{column}"
            for table, columns in needs.items()
            for column in columns
            if (table, column) not in there
        ]

    def particle_tilts(
        self,
        *,
        image_size: ImageSize | None = None,
        project: str | os.PathLike[str] | None = None,
        allow_outside: bool = False,
    ) -> pl.LazyFrame:
        """Where each particle is in each tilt image that shows it, how deep, and at which defocus.

        A row for each tilt that ``rlnTomoVisibleFrames`` has a 1 for (all tilts, where particles have no such column),
        particle after particle, in the order of the tilts. Only columns that a query needs are worked out, a few
        thousand particles at a time.

        Parameters
        ----------
        image_size : (int, int) or "headers", optional
            Width and height of the tilt images in pixels; "headers" reads those of the first image of each tomogram
            (``rlnMicrographName``), which takes ``pip install tomoarrow[mrc]``. No STAR file has them. Without,
            positions are relative to the centre of the image, the pixel ``size // 2``. The matrices of RELION 4 need
            no size.
        project : str or path, optional
            What the paths of images are relative to, if not the project that was converted.
        allow_outside : bool
            Read the headers of images outside of the project as well, where their paths lead there.

        Returns
        -------
        polars.LazyFrame
            With these columns, all float64 but for the first four; a pixel is one of the unbinned tilt series.

            - ``rlnTomoName``, ``particle_index`` (int64: the row in `particles`), ``rlnTomoParticleName`` (where there
              is one), ``tilt_index`` (int32: the position in the tilt series).
            - ``rlnMicrographPreExposure``: electrons per square Angstrom before this tilt.
            - ``x_px``, ``y_px``: from 0 at the corner of the image; or ``x_centred_px``, ``y_centred_px``. With the
              shift of the particle's trajectory and the 2D deformation of the image, if there are any.
            - ``depth_angst``: along the beam, from the centre of the tomogram, before the trajectory's shift.
            - ``defocus_u_angst``, ``defocus_v_angst``: at that depth; ``rlnDefocusAngle`` in degrees.
            - ``shift_x_angst``, ``shift_y_angst``, ``shift_z_angst``: of the trajectory, in the tomogram; null without
              trajectories.
            - ``rlnCtfScalefactor``, ``rlnCtfBfactorPerElectronDose`` (Angstrom squared), ``rlnPhaseShift`` (degrees),
              where tilts or tomograms have them.

        Raises
        ------
        DatasetError
            A table is missing.
        SchemaError
            A column is missing; or, when the rows are asked for, a particle does not fit its tomogram or trajectory.
        MissingFileError, UsageError
            The size of the images was to be read from their headers, and could not be.

        Notes
        -----
        As RELION 5 extracts particles (``src/jaz/tomography/programs/subtomo.cpp``: SubtomoProgram::processTomograms;
        ``particle_set.cpp``: ParticleSet::getTrajectoryInPixels; ``tomogram.cpp``: Tomogram::projectPoint, getCtf).
        """
        self._check_one_project()
        tables = {name: self._open(name) for name in ("tilts", "tomograms", "particles")}
        trajectories = self._open("trajectories") if "trajectories" in self.manifest["tables"] else None
        given = self.manifest["project"] if project is None else project
        home = folder_of(given, "image_size='headers'") if image_size == "headers" else Path(given)
        return scan_particle_tilts(
            **tables, trajectories=trajectories, image_size=image_size, project=home, allow_outside=allow_outside
        )

    def to_dask(self, table: str = "tilts") -> dd.DataFrame:
        """A table as a dask dataframe with a partition for each file; it takes ``pip install tomoarrow[dask]``.

        Workers open the files by name: do not replace the dataset before they are done.
        """
        from dask import dataframe  # noqa: PLC0415  (takes an extra)

        self._check(table)
        files = [str(file.place) for file in self._snapshot.tables[table]]
        # What stands above the table is no column, though it may be called ``user=me``.
        base = {"partition_base_dir": str(self.path / table)}
        frame: dd.DataFrame = dataframe.read_parquet(files, dataset=base)
        return frame

    def verify(self) -> IntegrityReport:
        """Check that the dataset's own files are undamaged: each is compared with its checksum in the manifest.

        A flipped byte is found anywhere, in the manifest too when it is opened. No STAR file is read: whether these
        and the dataset still say the same is another question, which the function `tomoarrow.verify` answers.

        Returns
        -------
        IntegrityReport
            Its `damages` are empty where all is well.
        """
        return check_files(self._snapshot)

    def plot_tilts(self, name: str, metrics: Sequence[str] | None = None) -> alt.ConcatChart:
        """Draw one tomogram's defocus, resolution, motion and so on against the tilt angle; see `ta.plot_tilts`."""
        from .pictures import plot_tilts  # noqa: PLC0415  (takes an extra)

        return plot_tilts(self, name, metrics)

    def plot_distributions(self, metrics: Sequence[str] | None = None) -> alt.ConcatChart:
        """Draw a histogram over all tilts for each metric; see `ta.plot_distributions`."""
        from .pictures import plot_distributions  # noqa: PLC0415

        return plot_distributions(self, metrics)

    def plot_tomograms(self, metric: str = "defocus") -> alt.Chart:
        """Draw a point for each tomogram, outliers marked; see `ta.plot_tomograms`."""
        from .pictures import plot_tomograms  # noqa: PLC0415

        return plot_tomograms(self, metric)

    def plot_particles(self) -> alt.Chart | alt.LayerChart:
        """Draw how many particles tomograms have; see `ta.plot_particles`."""
        from .pictures import plot_particles  # noqa: PLC0415

        return plot_particles(self)

    def _open(self, name: str) -> Stored:
        self._check(name)
        return open_table(self._snapshot, name)

    def _check(self, name: str) -> None:
        if name not in self.manifest["tables"]:
            raise DatasetError(
                f"the dataset has no table {name}",
                place=Place(os.fspath(self.path)),
                expected=f"one of: {', '.join(self.manifest['tables'])}",
                remedy="convert an optimisation set that names all that belongs together",
            )

    def _scan(self, name: str) -> pl.LazyFrame:
        self._check(name)
        return scan_files(self._snapshot.tables[name], self.manifest["tables"][name])
