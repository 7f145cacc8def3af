"""A dataset to STAR files again, each at its path."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import DatasetError, Place, UsageError, counted, first_of
from ..relion.tomogram_set import NAME
from ..star.guess import is_text
from ..star.sink import open_sink
from .paths import inside, reading, told
from .projects import of_project, project_names
from .reading.conditions import rows_where
from .reading.stored import open_table
from .stores.urls import Remote, place_of
from .tables.contents import Progress
from .text.files import Files, open_files
from .text.rendering import Plan, Rendered, Selection
from .versions.outgoing import check_free, outgoing, place
from .versions.snapshot import Snapshot, open_snapshot
from .versions.uploading import upload

#: So many tomograms are named in a warning.
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.

    Attributes
    ----------
    directory, kind : str
    files, bytes : int
        STAR files, and their size.
    tomograms, tilts : int
    seconds : float
    left_out : int
        How many tilts, tomograms, values and rows of other tables are not in the files, though no selection left
        them out.
    warnings : list of str
        What was left out, and which paths could not be kept.
    """

    directory: str
    kind: str
    files: int
    bytes: int
    tomograms: int
    tilts: int
    seconds: float
    left_out: int
    warnings: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or 1 where something was left out."""
        return 1 if self.left_out else 0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)


def export(
    dataset: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    tomograms: Sequence[str] | str | None = None,
    where: str | None = None,
    project: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write the STAR files of a dataset.

    They are the same, byte for byte, as those that were converted. Where tables of the dataset were changed since,
    values that were not changed keep their text, and others are written by the rule of their column. Rows go by
    ``tilt_index``.

    Parameters
    ----------
    dataset : path or URL
    directory : path or URL
        A new or empty folder, or place in an object store. Each file goes below it, to its path in the project.
    tomograms : sequence of str, or str, optional
        Only these, or only this one.
    where : str, optional
        An SQL expression over the columns of ``tilts``: only tilts for which it is true are written, and only
        tomograms that have some.
    project : str, optional
        Which one of several projects to write; otherwise each goes to a folder of its name.
    force : bool
        Write into a folder that holds other files; those at the same paths are replaced.
    progress : callable, optional
        Called with how many files are written and how many there are; for several projects, counted anew for each.

    Returns
    -------
    ExportReport

    Raises
    ------
    TomoarrowError
        The dataset, the folder or the selection is not as it must be, or the disk is full. Nothing is written then.
    """
    there = place_of(directory)
    tomograms = [tomograms] if isinstance(tomograms, str) else tomograms
    if isinstance(there, Remote):
        selected = {"tomograms": tomograms, "where": where, "project": project}
        return _export_to_store(dataset, there, selected, force=force, progress=progress)
    started = time.perf_counter()
    source, target = place_of(dataset), Path(os.path.abspath(there))
    if isinstance(source, Path) and target.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{target} is in the dataset", expected="another folder")
    check_free(target, force=force)
    with reading(source):
        snapshot = open_snapshot(source)
    snapshot = snapshot if project is None else of_project(snapshot, project)
    projects = {name: of_project(snapshot, name) for name in project_names(snapshot)}
    if (tomograms is not None or where is not None) and (projects or "tomograms" not in snapshot.tables):
        what = "one project" if projects else "a tomogram set"
        raise UsageError(f"only {what} can be exported in part", remedy="leave the selection out, or name the project")
    with told(target), outgoing(target, force=force) as out:
        parts = [
            _export_one(each, out.folder / name, Path(name), tomograms, where, progress)
            for name, each in (projects or {"": snapshot}).items()
        ]
        place(out)
    warnings = [warning for part in parts for warning in part.warnings]
    if force:
        warnings += _left_standing(target, {target / path for part in parts for path in part.sizes})
    return ExportReport(
        directory=os.fspath(directory),
        kind=snapshot.manifest["kind"],
        files=sum(len(part.sizes) for part in parts),
        bytes=sum(size for part in parts for size in part.sizes.values()),
        tomograms=sum(part.tomograms for part in parts),
        tilts=sum(part.tilts for part in parts),
        seconds=round(time.perf_counter() - started, 3),
        left_out=sum(part.left_out for part in parts),
        warnings=warnings,
    )


@dataclass(frozen=True, slots=True)
class _Exported:
    """What was written of one project; `sizes` of its files, by path."""

    sizes: dict[Path, int]
    tomograms: int
    tilts: int
    left_out: int
    warnings: list[str]


def _export_one(
    snapshot: Snapshot,
    folder: Path,
    below: Path,
    tomograms: Sequence[str] | None,
    where: str | None,
    progress: Progress | None,
) -> _Exported:
    """Write the files of one project; `below` is where they are in the target."""
    with reading(snapshot.folder):
        files = open_files(snapshot, _selection(snapshot, tomograms, where))
        planned = files.plan
        orphans, differing_optics = files.orphans(), files.differing_optics()
        warnings = [*_warnings(files, where, orphans), *map(_of_optics, differing_optics.items())]
    sizes, moved = _write(files, folder, progress)
    return _Exported(
        sizes={below / path: size for path, size in sizes.items()},
        tomograms=planned.tomograms.num_rows if planned else 0,
        tilts=len(planned.order) if planned else 0,
        left_out=_left_out(planned, where) + sum(orphans.values()) + sum(differing_optics.values()),
        warnings=[*warnings, *moved],
    )


def _export_to_store(
    dataset: str | os.PathLike[str],
    there: Remote,
    selected: dict[str, Any],
    *,
    force: bool,
    progress: Progress | None,
) -> ExportReport:
    """Write the STAR files to a folder, then copy them, many at a time."""
    started = time.perf_counter()
    if place_of(dataset) in (there, *there.parents):
        raise UsageError(f"{there} is in the dataset", expected="another place")
    try:
        before = frozenset(there.files())
    except OSError as error:
        raise DatasetError(f"the store cannot be read: {error}", place=Place(str(there))) from error
    if before and not force:
        raise DatasetError(
            "objects are there already",
            place=Place(str(there)),
            remedy="export to a new place, or write among what is there with --force",
        )
    with TemporaryDirectory(prefix="tomoarrow-") as folder:
        report = export(dataset, folder, **selected, progress=progress)
        files = [path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()]
        upload(Path(folder), there, {path: path for path in files}, before)
    return replace(report, directory=str(there), seconds=round(time.perf_counter() - started, 3))


def _write(files: Files, folder: Path, progress: Progress | None) -> tuple[dict[Path, int], list[str]]:
    """Write all files below a folder.

    Returns
    -------
    sizes : dict
        In bytes, by path below the folder.
    moved : list of str
        What is told of paths that could not be kept.
    """
    total = len({kept.file for kept in files.texts})
    sizes: dict[Path, int] = {}
    moved = []
    for each in _rendered(files):
        path = inside(each.path)
        if path.as_posix() != os.path.normpath(each.path):
            moved.append(f"{each.path}: leads out of the folder; written as {path}")
        with told(folder / path):
            if path in sizes:
                _check_shared(folder / path, path, each)
            else:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with open_sink(folder / path) as write:
                    write(each.data)
        sizes[path] = len(each.data)
        if progress is not None:
            progress(len(sizes), total)
    return sizes, moved


def _rendered(files: Files) -> Iterator[Rendered]:
    with reading(files.snapshot.folder):
        yield from files.render()


def _check_shared(written: Path, path: Path, rendered: Rendered) -> None:
    """Refuse to write a file again that several tomograms share, unless it is the same."""
    if written.read_bytes() != rendered.data:
        raise DatasetError(
            f"two different files would be written to {path}",
            place=Place(rendered.path),
            expected="a path of its own for each tomogram",
            remedy="correct the paths in the table tomograms",
        )


def _left_standing(target: Path, written: set[Path]) -> list[str]:
    """What is told of STAR files that stood there before, and may be of a larger export."""
    others = [path for path in target.rglob("*.star") if path not in written]
    if not others:
        return []
    which = counted(len(others), "STAR file in the folder is", "STAR files in the folder are")
    return [f"{which} not of this export, such as {min(others)}"]


def _left_out(planned: Plan | None, where: str | None) -> int:
    """How much was left out that nobody asked to leave out."""
    if planned is None:
        return 0
    return planned.stray + sum(planned.differing.values()) + (0 if where is not None else len(planned.dropped))


def _warnings(files: Files, where: str | None, orphans: dict[str, int]) -> list[str]:
    warnings = []
    planned = files.plan
    if planned is not None and orphans:
        rows = ", ".join(f"{counted(count, 'row')} of {name}" for name, count in orphans.items())
        gone = first_of(sorted(planned.removed), _MOST_NAMES)
        warnings.append(f"{rows} whose tomogram is not in the table tomograms any more: left out ({gone})")
    if files.left.tilts and "particles" in files.snapshot.tables:
        warnings.append(
            f"{counted(len(files.left.tilts), 'tomogram has', 'tomograms have')} lost tilts: visible frames and "
            "trajectories of their particles were shortened, and image stacks of particles do not fit any more"
        )
    if planned is not None and planned.stray:
        warnings.append(f"{counted(planned.stray, 'tilt')} whose tomogram is not in the table tomograms: left out")
    for label, n in planned.differing.items() if planned is not None else ():
        warnings.append(
            f"{label} of {counted(n, 'tilt')} is not that of their tomogram: that of the table tomograms was written"
        )
    if planned is not None and planned.dropped and where is None:
        gone = first_of(planned.dropped, _MOST_NAMES)
        warnings.append(f"{counted(len(planned.dropped), 'tomogram')} without a tilt left: left out ({gone})")
    return warnings


def _of_optics(differing: tuple[str, int]) -> str:
    label, n = differing
    return (
        f"{label} of {counted(n, 'particle')} is not that of their optics group: that of the table optics was written"
    )


def _selection(snapshot: Snapshot, tomograms: Sequence[str] | None, where: str | None) -> Selection:
    if tomograms is not None:
        stored = open_table(snapshot, "tomograms")
        names = stored.read([NAME])
        # Where there are no names, it is not the selection that is at fault.
        there = set(names.column(0).to_pylist()) if names.num_columns and is_text(names.column(0).type) else tomograms
        missing = [name for name in tomograms if name not in there]
        if missing:
            raise UsageError(
                f"no tomogram {', '.join(missing[:10])} in the dataset",
                expected=f"some of: {', '.join(sorted(filter(None, there))[:10])}{', ...' if len(there) > 10 else ''}",
            )
    names = None if tomograms is None else frozenset(tomograms)
    return Selection(names, None if where is None else rows_where(open_table(snapshot, "tilts"), where))
