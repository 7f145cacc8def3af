"""A dataset takes its place whole or not at all: see `tomoarrow.dataset` for the protocol."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import DatasetError, Place, TomoarrowError
from ..layout import flush_folders
from ..paths import parents_made
from ..stores.urls import Remote
from .lock import locked
from .manifest import FILE_NAME, Manifest, TableInfo, read_manifest, renamed_projects, write_manifest
from .snapshot import files_below, written_by

logger = logging.getLogger("tomoarrow")


def check_target(target: Path, *, force: bool) -> dict[str, Any] | None:
    """Refuse a target that is in the way; return the manifest of a dataset that may be replaced.

    Raises
    ------
    DatasetError
        Something is there, and it may not or, being more than a dataset, must not be replaced.
    """
    if not target.exists() and not target.is_symlink():
        return None
    place = Place(str(target))
    if not target.is_dir() or target.is_symlink():
        raise DatasetError("something that is not a folder is in the way", place=place, remedy="choose another name")
    if target.is_mount():
        raise DatasetError(
            "the folder is the root of a file system, and cannot be replaced in one step",
            place=place,
            remedy=f"name a folder in it, such as {target / 'dataset'}",
        )
    if not any(target.iterdir()):
        return None
    manifest = read_manifest(target)
    foreign = files_below(target) - listed(manifest) - {FILE_NAME} - set(_left_over(target, manifest))
    if foreign:
        raise DatasetError(
            f"the dataset's folder holds other files too, such as {min(foreign)}: it is never replaced",
            place=place,
            remedy="move those files away, or choose another name for the dataset",
        )
    if not force:
        raise DatasetError(
            "a dataset is there already",
            place=place,
            remedy="choose another name, bring it up to date with --update, or replace it with --force",
        )
    return manifest


def listed(manifest: dict[str, Any]) -> set[str]:
    """The paths of all files of a dataset."""
    return {file["path"] for table in manifest["tables"].values() for file in table["files"]}


@dataclass(frozen=True, slots=True)
class Staging:
    """Where a version of a dataset is written.

    Attributes
    ----------
    folder : Path
        Tables go there; their files are named by `layout.PartWriter`.
    target : Path or Remote
        What it will be.
    force : bool
        Whether a dataset may be there.
    """

    folder: Path
    target: Path | Remote
    force: bool


@contextmanager
def staged(target: Path, *, force: bool) -> Iterator[Staging]:
    """Lock a dataset, clear away what a killed run has left, and give a folder to write the next version into.

    The folder is beside the target, on the same file system. It is gone when the block ends; only `commit` makes
    a dataset of it.
    """
    with parents_made(target), locked(target.parent / f".{target.name[:200]}.lock", target):
        _sweep(target)
        check_target(target, force=force)
        folder = target.parent / f"{_prefix(target)}{os.getpid()}"
        folder.mkdir()
        try:
            yield Staging(folder, target, force)
        finally:
            _sweep(target)


def commit(staging: Staging, manifest: Manifest) -> Manifest:
    """Make what is staged the dataset: one rename decides; return the manifest as it was written.

    Parameters
    ----------
    staging : Staging
    manifest : Manifest
        Its files are staged, or are those of the version that is there.

    Raises
    ------
    DatasetError
    """
    folder, target = staging.folder, staging.target
    assert isinstance(target, Path)
    # What has appeared meanwhile is looked at as what was there before.
    old = check_target(target, force=staging.force)
    if old is None:
        write_manifest(manifest, folder)
        flush_folders([Path(each) for each, _, _ in os.walk(folder)])
        try:
            folder.rename(target)
        except OSError as error:
            raise DatasetError(f"cannot take its place: {error.strerror}", place=Place(str(target))) from error
        flush_folders([target.parent])
        return manifest
    version = old["version"] + 1
    moves = {
        part.path: _named(part.path, version)
        for table in manifest.tables.values()
        for part in table.files
        if (folder / part.path).exists()
    }
    tables = {name: renamed(table, moves) for name, table in manifest.tables.items()}
    now = {part.path for table in tables.values() for part in table.files}
    # What could not be removed yet stays known: else it would count as a file that somebody put there.
    retired = (listed(old) | {path for path in old["retired"] if (target / path).exists()}) - now
    projects = renamed_projects(manifest.projects, moves)
    manifest = replace(manifest, tables=tables, version=version, retired=sorted(retired), projects=projects)
    write_manifest(manifest, folder)
    for staged_path, path in moves.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        os.rename(folder / staged_path, target / path)
    flush_folders(sorted({parent for path in moves.values() for parent in (target / path).parents if parent >= target}))
    os.replace(folder / FILE_NAME, target / FILE_NAME)
    flush_folders([target])
    return manifest


def _named(path: str, version: int) -> str:
    """The path of a file that a version writes: no version has a name that another had."""
    plain = PurePosixPath(path)
    return str(plain.with_name(f"{plain.stem}-v{version}{plain.suffix}"))


def renamed(table: TableInfo, moves: dict[str, str]) -> TableInfo:
    """What the manifest says of a table, with other paths of its files."""
    return replace(table, files=[replace(part, path=moves.get(part.path, part.path)) for part in table.files])


def _sweep(target: Path) -> None:
    """Remove what is of no version: folders that were staged, and files of versions that are gone or never came.

    What cannot be removed is no reason to fail: the next run tries again.
    """
    own = re.compile(re.escape(_prefix(target)) + r"\d+")
    try:
        for folder in [path for path in target.parent.iterdir() if own.fullmatch(path.name)]:
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(TomoarrowError):
            _remove(target, _left_over(target, read_manifest(target)))
    except OSError as error:
        logger.warning("what a run has left could not be cleared away: %s (%s)", target, error.strerror)


def _prefix(target: Path) -> str:
    return f".{target.name[:200]}.staging-"


def _left_over(target: Path, manifest: dict[str, Any]) -> list[str]:
    """Files of an earlier version that are not of this one, and of a later one that was never committed."""
    own, retired = listed(manifest), set(manifest["retired"])
    there = sorted(path for path in files_below(target) if path.endswith(".parquet"))
    return [path for path in there if path not in own and (path in retired or written_by(path) > manifest["version"])]


def _remove(target: Path, paths: Iterable[str]) -> None:
    for path in paths:
        try:
            (target / path).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("an old file of the dataset could not be removed: %s (%s)", target / path, error.strerror)
        for folder in (target / path).parents:
            if folder == target:
                break
            with suppress(OSError):
                folder.rmdir()
