"""A dataset takes its place whole or not at all: written under another name, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DatasetError, Place
from .layout import flush_folders
from .manifest import FILE_NAME


def check_target(target: Path, *, force: bool) -> None:
    """Refuse a target that is in the way.

    Raises
    ------
    DatasetError
        Something is there, and it may not or, being no dataset, must not be replaced.
    """
    if not target.exists() and not target.is_symlink():
        return
    place = Place(str(target))
    if not target.is_dir() or target.is_symlink():
        raise DatasetError("something that is not a folder is in the way", place=place, remedy="choose another name")
    if not any(target.iterdir()):
        return
    if not (target / FILE_NAME).is_file():
        raise DatasetError(
            "the folder is not empty and is not a tomoarrow dataset: it is never replaced",
            place=place,
            remedy="choose another name for the dataset",
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
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(4)
    staging = target.parent / f".{target.name}.staging-{mark}"
    staging.mkdir()
    try:
        yield staging
        flush_folders([Path(folder) for folder, _, _ in os.walk(staging)])
        _replace(staging, target, mark)
        flush_folders([target.parent])
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _replace(staging: Path, target: Path, mark: str) -> None:
    if not target.exists():
        staging.rename(target)
        return
    old = target.parent / f".{target.name}.replaced-{mark}"
    target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)
