"""Where the files of a project go, below a folder; and what the file system says to that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import DatasetError, Place
from .layout import flush_folders


def inside(path: str | None) -> Path:
    """A path of the project made relative, without what leads out.

    Raises
    ------
    DatasetError
        Nothing is left, or it cannot be a path.
    """
    parts = [part for part in os.path.normpath(path or "").split("/") if part not in ("", ".", "..")]
    if not parts or "\0" in str(path):
        raise DatasetError(f"{path!r} cannot be the path of a file", remedy="correct it in the table tomograms")
    return Path(*parts)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that says where."""
    try:
        yield
    except OSError as error:
        where = Place(str(error.filename or path))
        raise DatasetError(
            f"cannot write: {error.strerror or error}",
            place=where,
            remedy="check the permissions, the space left and the quota there",
        ) from error


@contextmanager
def reading(dataset: object) -> Iterator[None]:
    """Turn what the file system says when a dataset is read into an error that says where."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"cannot read: {error.strerror or error}",
            place=Place(str(error.filename or dataset)),
            remedy="check the permissions and the disk there",
        ) from error


@contextmanager
def parents_made(path: Path) -> Iterator[None]:
    """Make the folders that lead to a path, for good; those that are empty at the end are removed again."""
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flush_folders([folder.parent for folder in made])
        yield
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
