"""One version of a dataset, whole: its manifest, and its files, held open so that no replacement takes them away."""

from __future__ import annotations

import io
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DatasetError, Place, counted
from ..stores.urls import Remote
from .manifest import read_manifest

#: What the name of a file says that another version than the first wrote.
_VERSION = re.compile(r"-v(\d+)\.parquet\Z")


class Held:
    """An open file that is closed when nothing uses it any more."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        #: What Polars maps into memory; of any other class it would read all bytes.
        self.file = io.FileIO(self._descriptor, closefd=False)

    def __del__(self) -> None:
        with suppress(AttributeError):
            os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file of a table.

    Attributes
    ----------
    path : str
        From the dataset's folder.
    place : Path or Remote
        Where it is, or was.
    bytes : int
    held : file or None
        The file itself, which stays what it is when its name is gone; None where so many cannot be held.
    """

    path: str
    place: Path | Remote
    bytes: int
    held: Held | None

    @property
    def source(self) -> str | io.RawIOBase:
        """What leads to this very file, as long as it is held: a path; in a store, a file that is fetched by ranges."""
        if isinstance(self.place, Remote):
            return self.place.open(self.bytes)
        return os.fspath(self.place) if self.held is None else f"/dev/fd/{self.held.file.fileno()}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a dataset.

    Attributes
    ----------
    folder : Path or Remote
    manifest : dict
    tables : dict
        The files of each table, in the order of its rows. They are those of the manifest, and others that were put
        beside them: tables may be changed by other tools.
    """

    folder: Path | Remote
    manifest: dict[str, Any]
    tables: dict[str, tuple[DataFile, ...]]

    def changed_tables(self) -> list[str]:
        """The tables whose files are others than the manifest lists, or of other sizes."""
        listed = self.manifest["tables"]
        return [
            name
            for name, files in self.tables.items()
            if [(file.path, file.bytes) for file in files] != [(f["path"], f["bytes"]) for f in listed[name]["files"]]
        ]


def open_snapshot(folder: Path | Remote, *, hold: bool = True, is_checked: bool = True) -> Snapshot:
    """Open a dataset as it is now.

    A version that is replaced while its files are opened is given up for the next one.

    Parameters
    ----------
    folder : Path or Remote
    hold : bool
        Keep its files open.
    is_checked : bool
        Refuse a table of which files are gone.

    Raises
    ------
    DatasetError
        The folder is no dataset, it is damaged, or a newer version of tomoarrow wrote it.
    """
    manifest = read_manifest(folder)
    while True:
        tables: dict[str, tuple[DataFile, ...]] | None = None
        try:
            tables = _open_tables(folder, manifest, hold=hold)
        except FileNotFoundError:
            pass
        except OSError as error:
            place = Place(str(error.filename or folder))
            raise DatasetError(f"cannot be read: {error.strerror}", place=place) from error
        now = read_manifest(folder)
        if now == manifest:
            break
        manifest = now
    if tables is None:
        raise DatasetError(
            "a file vanished while the dataset was being opened", place=Place(str(folder)), remedy="try again"
        )
    if is_checked:
        _check_complete(folder, manifest, tables)
    return Snapshot(folder, manifest, tables)


def _open_tables(folder: Path | Remote, manifest: dict[str, Any], *, hold: bool) -> dict[str, tuple[DataFile, ...]]:
    if isinstance(folder, Remote):
        return _look_up(folder, manifest)
    found = {name: list(_files(name, manifest, _there(folder, name))) for name in manifest["tables"]}
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
    is_held = hold and os.path.isdir("/dev/fd") and sum(map(len, found.values())) < most
    return {name: tuple(_open(folder, path, is_held=is_held) for path in paths) for name, paths in found.items()}


def _look_up(folder: Remote, manifest: dict[str, Any]) -> dict[str, tuple[DataFile, ...]]:
    """The files of all tables of a dataset in a store, from one listing."""
    try:
        sizes = {path: entry.bytes for path, entry in folder.files().items() if path.endswith(".parquet")}
    except OSError as error:
        raise DatasetError(f"the store cannot be read: {error}", place=Place(str(folder))) from error
    return {
        name: tuple(
            DataFile(path, folder / path, sizes[path], None)
            for path in _files(name, manifest, {path for path in sizes if path.startswith(f"{name}/")})
        )
        for name in manifest["tables"]
    }


def _there(folder: Path, name: str) -> set[str]:
    """The Parquet files of a table; a folder that cannot be listed is an error, not an empty one."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    there = files_below(folder / name, refuse)
    return {f"{name}/{path}" for path in there if path.endswith(".parquet")}


def _open(folder: Path, path: str, *, is_held: bool) -> DataFile:
    place = folder / path
    held = Held(place) if is_held else None
    size = (os.stat(place) if held is None else os.fstat(held.file.fileno())).st_size
    return DataFile(path, place, size, held)


def _files(name: str, manifest: dict[str, Any], there: set[str]) -> Iterator[str]:
    """The paths of the files of a table: first those of the manifest that are there, then others, by name."""
    listed = [file["path"] for file in manifest["tables"][name]["files"]]
    yield from (path for path in listed if path in there)
    foreign = there - set(listed) - set(manifest["retired"])
    yield from sorted(path for path in foreign if written_by(path) <= manifest["version"])


def files_below(folder: Path, on_error: Callable[[OSError], None] | None = None) -> set[str]:
    """The paths of all files below a folder, from there.

    A link to a folder is no folder of the dataset, but a file: what is written there would be outside.
    """
    skip, found = len(os.path.join(folder, "")), set()
    for below, folders, names in os.walk(folder, onerror=on_error):
        links = (name for name in folders if os.path.islink(os.path.join(below, name)))
        found |= {os.path.join(below, name)[skip:] for name in (*names, *links)}
    return found


def written_by(path: str) -> int:
    """The version of a dataset that wrote a file, by its name."""
    found = _VERSION.search(path)
    return int(found[1]) if found else 1


def _check_complete(folder: Path | Remote, manifest: dict[str, Any], tables: dict[str, tuple[DataFile, ...]]) -> None:
    """Refuse a table of which files are gone, and nothing says that it was changed."""
    for name, table in manifest["tables"].items():
        sizes = {file["path"]: file["bytes"] for file in table["files"]}
        there = {file.path: file.bytes for file in tables[name]}
        gone = [path for path in sizes if path not in there]
        if gone and (not there or (len(sizes) > 1 and there.items() <= sizes.items())):
            raise DatasetError(
                f"the files of the table {name} are gone"
                if not there
                else counted(len(gone), f"file of {name} is gone", f"files of {name} are gone"),
                place=Place(str(folder / gone[0])),
                remedy="convert again, or restore the folder",
            )
