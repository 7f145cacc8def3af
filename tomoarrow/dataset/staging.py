"""A dataset takes its place whole or not at all: written under another name, then renamed."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import DatasetError, Place
from .layout import flush_folders
from .manifest import FILE_NAME, read_manifest

logger = logging.getLogger("tomoarrow")


def check_target(target: Path, *, force: bool) -> None:
    """Refuse a target that is in the way.

    Raises
    ------
    DatasetError
        Something is there, and it may not or, being more than a dataset, must not be replaced.
    """
    if not target.exists() and not target.is_symlink():
        return
    place = Place(str(target))
    if not target.is_dir() or target.is_symlink():
        raise DatasetError("something that is not a folder is in the way", place=place, remedy="choose another name")
    if not any(target.iterdir()):
        return
    manifest = read_manifest(target)
    listed = {file["path"] for table in manifest["tables"].values() for file in table["files"]} | {FILE_NAME}
    there = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    if there - listed:
        raise DatasetError(
            f"the dataset's folder holds other files too, such as {min(there - listed)}: it is never replaced",
            place=place,
            remedy="move those files away, or choose another name for the dataset",
        )
    if not force:
        raise DatasetError(
            "a dataset is there already", place=place, remedy="choose another name, or replace it with --force"
        )


@contextmanager
def staged(target: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder to write a dataset into; put it in the target's place when the block ends well.

    The folder lies beside the target, on the same file system, so that a rename is all it takes. When the block
    fails, the folder is removed and the target is as it was.
    """
    check_target(target, force=force)
    made = [folder for folder in [*target.parents][::-1] if not folder.exists()]
    mark = secrets.token_hex(4)
    staging = target.parent / f".{target.name[:200]}.staging-{mark}"
    done = False
    try:
        staging.mkdir(parents=True)
        yield staging
        flush_folders([Path(folder) for folder, _, _ in os.walk(staging)])
        # What has appeared meanwhile is looked at as what was there before.
        check_target(target, force=force)
        old = _replace(staging, target, mark)
        done = True
        flush_folders([target.parent])
        if old is not None:
            _remove(old)
    finally:
        if not done:
            shutil.rmtree(staging, ignore_errors=True)
            for folder in made[::-1]:
                with suppress(OSError):
                    folder.rmdir()


def _replace(staging: Path, target: Path, mark: str) -> Path | None:
    """Rename; a folder that is not empty is moved aside first. Return where it is then."""
    place = Place(str(target))
    if not target.exists() or not any(target.iterdir()):
        try:
            staging.rename(target)
        except OSError as error:
            raise DatasetError(f"cannot take its place: {error.strerror}", place=place) from error
        return None
    old = target.parent / f".{target.name[:200]}.replaced-{mark}"
    target.rename(old)
    try:
        staging.rename(target)
    except BaseException:
        # Ctrl-C as well: the old dataset goes back.
        if not target.exists():
            old.rename(target)
        raise
    return old


def _remove(old: Path) -> None:
    try:
        shutil.rmtree(old)
    except OSError as error:
        logger.warning("the dataset was replaced, but the old one could not be removed: %s (%s)", old, error)
