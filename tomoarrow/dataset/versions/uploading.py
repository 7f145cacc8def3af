"""A dataset takes its place in an object store, where nothing can be renamed: the manifest is written last.

The tables of a version are objects of names that no other run gives: ``part-00000-1f3a99c2-v2.parquet``. The manifest
is one object, written in one request, on the condition that nobody else has written it meanwhile: of two
runs at a time one is refused. What the new manifest does not list is removed behind it, also what a killed run has
left.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from ...errors import DatasetError, Place
from ..stores.urls import Remote, at_once, new_token
from .manifest import FILE_NAME, Manifest, read_manifest, write_manifest
from .snapshot import written_by
from .staging import Staging, listed, renamed

logger = logging.getLogger("tomoarrow")

#: What a run calls the objects of a table.
_OWN = re.compile(r"-[0-9a-f]{8}-v\d+\.parquet\Z")


@dataclass(frozen=True, slots=True)
class _There:
    """What stands in a dataset's place: its manifest, what the version of that object is called, and all objects."""

    manifest: dict[str, Any] | None
    etag: str | None
    keys: frozenset[str]

    @property
    def listed(self) -> set[str]:
        """The objects of the dataset."""
        return set() if self.manifest is None else listed(self.manifest)


@contextmanager
def staged_for_store(target: Remote, *, force: bool) -> Iterator[Staging]:
    """A local folder to write the next version of a dataset into; it is gone when the block ends.

    Raises
    ------
    DatasetError
        Something is there, and it may not or, being more than a dataset, must not be replaced.
    """
    look_at(target, force=force)
    with TemporaryDirectory(prefix="tomoarrow-") as folder:
        yield Staging(Path(folder), target, force)


def look_at(target: Remote, *, force: bool) -> _There:
    """Refuse a target that is in the way."""
    place = Place(str(target))
    try:
        found = target.files()
    except OSError as error:
        raise DatasetError(f"the store cannot be read: {error}", place=place) from error
    manifest = read_manifest(target) if FILE_NAME in found else None
    there = _There(manifest, found[FILE_NAME].etag if FILE_NAME in found else None, frozenset(found))
    foreign = {key for key in found if key not in there.listed and key != FILE_NAME and not _OWN.search(key)}
    if foreign:
        raise DatasetError(
            f"other objects are there too, such as {min(foreign)}: they are never replaced",
            place=place,
            remedy="move them away, or choose another name for the dataset",
        )
    if manifest is not None and not force:
        raise DatasetError(
            "a dataset is there already", place=place, remedy="choose another name, or replace it with --force"
        )
    return there


def commit_to_store(staging: Staging, manifest: Manifest) -> Manifest:
    """Upload what is staged, then its manifest; return the manifest as it was written.

    Raises
    ------
    DatasetError
        The store refuses, or another run has written the dataset meanwhile; what was there is as it was.
    """
    folder, target = staging.folder, staging.target
    assert isinstance(target, Remote)
    there = look_at(target, force=staging.force)
    version, token = 1 if there.manifest is None else there.manifest["version"] + 1, new_token()
    paths = [part.path for table in manifest.tables.values() for part in table.files]
    moves = {path: _named(path, token, version) for path in paths}
    tables = {name: renamed(table, moves) for name, table in manifest.tables.items()}
    manifest = replace(manifest, tables=tables, version=version, retired=sorted(there.listed))
    write_manifest(manifest, folder)
    upload(folder, target, moves)
    if not _put_manifest((folder / FILE_NAME).read_bytes(), target, there):
        _delete(target, list(moves.values()))
        raise DatasetError(
            "another run has written the dataset meanwhile",
            place=Place(str(target)),
            remedy="look at it, and try again",
        )
    now = set(moves.values())
    gone = [key for key in there.keys if key != FILE_NAME and key not in now and written_by(key) <= version]
    _delete(target, gone)
    return manifest


def upload(folder: Path, target: Remote, names: dict[str, str], before: frozenset[str] = frozenset()) -> None:
    """Write files of a folder, many at a time, as objects below a place, given how each is called there.

    Where one cannot be written, the others are removed again, other than those in whose place one was `before`.

    Raises
    ------
    DatasetError
    """
    done: list[str] = []

    def put(path: str) -> None:
        place = target / names[path]
        try:
            place.store.put(place.key, folder / path, "any")
        except OSError as error:
            raise DatasetError(
                f"the object cannot be written: {error}", place=Place(str(place)), remedy="try again"
            ) from error
        done.append(names[path])

    try:
        # The largest first.
        at_once(put, sorted(names, key=lambda path: os.stat(folder / path).st_size, reverse=True))
    except BaseException:
        _delete(target, [name for name in done if name not in before])
        raise


def _put_manifest(data: bytes, target: Remote, there: _There) -> bool:
    """Write the manifest; return whether it was written, rather than that of another run."""
    place = target / FILE_NAME
    # Where the store has no names for versions, the last run wins.
    then = "any" if there.manifest is not None and there.etag is None else there.etag
    try:
        place.store.put(place.key, data, then)
    except OSError as error:
        # An answer that was lost is asked for again, and finds what the first request has written.
        with suppress(OSError):
            if place.read_bytes() == data:
                return True
        if isinstance(error, FileExistsError):
            return False
        # It may yet be written: what it lists stays.
        raise DatasetError(f"the manifest cannot be written: {error}", place=Place(str(place))) from error
    return True


def _named(path: str, token: str, version: int) -> str:
    plain = PurePosixPath(path)
    return str(plain.with_name(f"{plain.stem}-{token}-v{version}{plain.suffix}"))


def _delete(target: Remote, keys: list[str]) -> None:
    """Remove objects that no manifest lists; the next run removes what stays."""
    try:
        if keys:
            target.store.delete([(target / key).key for key in keys])
    except OSError as error:
        logger.warning("old objects of the dataset could not be removed: %s (%s)", target, error)
