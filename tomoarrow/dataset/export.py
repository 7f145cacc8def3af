"""A dataset to STAR files again, each at its path."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import DatasetError, Place, UsageError
from ..relion.tomogram_set import NAME
from ..star.sink import open_sink
from . import single
from .manifest import read_manifest
from .rendering import Plan, Selection, plan, render
from .stored import open_table

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.

    Attributes
    ----------
    directory : str
    files, bytes : int
        STAR files, and their size.
    tomograms, tilts : int
    seconds : float
    warnings : list of str
        What was left out, and which paths could not be kept.
    """

    directory: str
    files: int
    bytes: int
    tomograms: int
    tilts: int
    seconds: float
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)


def export(
    dataset: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    tomograms: Sequence[str] | None = None,
    where: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write the STAR files of a dataset.

    Files are the same, byte for byte, as those that were converted. Where the dataset's tables were changed since,
    values that were not keep their text; others follow the rule of their column. Rows of a file are written by
    ``tilt_index``.

    Parameters
    ----------
    dataset : path
    directory : path
        A new or empty folder. Each file goes to its path in the project, below it.
    tomograms : sequence of str, optional
        Only these.
    where : str, optional
        Only tilts for which an SQL expression over the columns of ``tilts`` is true; tomograms without any are left
        out.
    force : bool
        Write into a folder that holds other files; those of the same path are replaced.
    progress : callable, optional
        Called with the number of files written, and of all.

    Returns
    -------
    ExportReport

    Raises
    ------
    TomoarrowError
        The dataset, the folder or the selection is not as it must be. Files that were written stay.
    """
    started = time.perf_counter()
    source, target = Path(dataset), Path(os.path.abspath(directory))
    _check_target(target, force=force)
    manifest = read_manifest(source)
    planned = None
    if manifest["kind"] == single.KIND:
        if tomograms is not None or where is not None:
            raise UsageError("only a tomogram set can be exported in part", remedy="leave the selection out")
        rendering = single.render_single(source, manifest)
    else:
        planned = plan(source, _selection(source, tomograms, where, manifest))
        rendering = render(planned)
    warnings = _warnings(planned)
    written: dict[Path, str] = {}
    size = 0
    for each in rendering:
        relative = inside(each.path)
        if relative.as_posix() != os.path.normpath(each.path):
            warnings.append(f"{each.path}: leads out of the folder; written as {relative}")
        path = target / relative
        if path in written:
            raise DatasetError(
                f"two files would be written to {relative}",
                place=Place(each.path),
                expected="a path of its own for each tomogram",
                remedy=f"the other is {written[path]}: correct the paths in the table tomograms",
            )
        written[path] = each.path
        with _told(path):
            _check_links(target, relative)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_sink(path) as write:
                write(each.data)
        size += len(each.data)
        if progress is not None:
            progress(len(written), 1 + (planned.tomograms.num_rows if planned else 0))
    return ExportReport(
        directory=os.fspath(directory),
        files=len(written),
        bytes=size,
        tomograms=planned.tomograms.num_rows if planned else 0,
        tilts=len(planned.order) if planned else 0,
        seconds=round(time.perf_counter() - started, 3),
        warnings=warnings,
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that says where."""
    try:
        yield
    except OSError as error:
        where = Place(str(error.filename or path))
        raise DatasetError(f"cannot write there: {error.strerror or error}", place=where) from error


def _warnings(planned: Plan | None) -> list[str]:
    warnings = []
    if planned is not None and planned.stray:
        warnings.append(f"{planned.stray} tilts whose tomogram is not in the table tomograms: left out")
    for label, n in planned.differing.items() if planned is not None else ():
        warnings.append(f"{label} of {n} tilts is not that of their tomogram: that of the table tomograms was written")
    if planned is not None and planned.dropped:
        shown = ", ".join(planned.dropped[:5]) + (", ..." if len(planned.dropped) > 5 else "")
        warnings.append(f"{len(planned.dropped)} tomograms without a tilt left: left out ({shown})")
    return warnings


def inside(path: str | None) -> Path:
    """A path made relative, without what leads out.

    Raises
    ------
    DatasetError
        Nothing is left, or it cannot be a path.
    """
    parts = [part for part in os.path.normpath(path or "").split("/") if part not in ("", ".", "..")]
    if not parts or "\0" in str(path):
        raise DatasetError(f"{path!r} is no path of a file", remedy="correct it in the table tomograms")
    return Path(*parts)


def _check_links(target: Path, relative: Path) -> None:
    """Refuse a symbolic link on the way to a file, or in its place: it is never followed."""
    at = target
    for part in relative.parts:
        at = at / part
        if at.is_symlink():
            raise DatasetError(
                "a symbolic link is in the way: it might lead out of the folder",
                place=Place(str(at)),
                remedy="remove it, or export into a new folder",
            )


def _check_target(target: Path, *, force: bool) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir():
        raise DatasetError("something that is not a folder is in the way", place=Place(str(target)))
    if any(target.iterdir()) and not force:
        raise DatasetError(
            "the folder is not empty",
            place=Place(str(target)),
            remedy="export into a new folder, or write among what is there with --force",
        )


def _selection(
    dataset: Path, tomograms: Sequence[str] | None, where: str | None, manifest: dict[str, Any]
) -> Selection:
    if tomograms is not None:
        stored = open_table(dataset, "tomograms", manifest)
        there = set(stored.read([NAME]).column(0).to_pylist())
        missing = [name for name in tomograms if name not in there]
        if missing:
            raise UsageError(
                f"no tomogram {', '.join(missing[:10])} in the dataset",
                expected=f"some of: {', '.join(sorted(filter(None, there))[:10])}{', ...' if len(there) > 10 else ''}",
            )
    names = None if tomograms is None else frozenset(tomograms)
    return Selection(names, None if where is None else _where(dataset, where, manifest))


def _where(dataset: Path, where: str, manifest: dict[str, Any]) -> NDArray[np.bool_]:
    """The rows of tilts for which an SQL expression is true."""
    tilts = open_table(dataset, "tilts", manifest)
    frame = pl.scan_parquet(list(tilts.files), hive_partitioning=True)
    try:
        found = frame.select(pl.sql_expr(where).alias("chosen")).collect()["chosen"]
    except pl.exceptions.PolarsError as error:
        raise UsageError(
            f"where={where!r}: {str(error).splitlines()[0]}",
            expected=f"an SQL expression over the columns of tilts, such as: {', '.join(tilts.columns[:5])}",
            remedy="for example: rlnDefocusU < 50000 AND rlnTomoName = 'TS_01'",
        ) from error
    if found.dtype != pl.Boolean or len(found) != tilts.rows:
        raise UsageError(f"where={where!r} is not true or false for each tilt", expected="a condition")
    return found.fill_null(value=False).to_numpy()
