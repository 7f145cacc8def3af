"""An export takes its place whole: one rename where the folder is new, else a move that the next run completes.

Files are written to a folder beside a new target, ``.NAME.staging-PID``, which is renamed. A folder that is there
already is never replaced: it may be a mount point, or where somebody's shell is. There the files are written to
``.export.staging-PID`` inside it; once they are all on disk it is renamed to ``.export.ready``, which decides, and they
are moved to their places. Killed before that, nothing has changed; killed behind it, the next run moves the rest.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import DatasetError, Place
from ..layout import flush_files, flush_folders
from ..paths import parents_made
from .lock import locked

_OWN = ".export."
_READY = ".export.ready"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Where an export is written.

    Attributes
    ----------
    folder : Path
        Files go there, each to its path in the project.
    target : Path
        Where `place` brings them.
    is_new : bool
        Whether the target is not there yet.
    """

    folder: Path
    target: Path
    is_new: bool


def check_free(target: Path, *, force: bool) -> None:
    """Refuse a target that is in the way.

    Raises
    ------
    DatasetError
        It is no folder, or holds files and may not.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir():
        raise DatasetError("something that is not a folder is in the way", place=Place(str(target)))
    names = os.listdir(target)
    # Where a killed export is to be completed, `outgoing` looks again.
    if not force and _READY not in names and not all(name.startswith(_OWN) for name in names):
        raise DatasetError(
            "the folder is not empty",
            place=Place(str(target)),
            remedy="export into a new folder, or write among what is there with --force",
        )


@contextmanager
def outgoing(target: Path, *, force: bool) -> Iterator[Outgoing]:
    """Keep other exports away, complete or clear away what a killed one has left, and give a folder to write into.

    The folder is gone when the block ends; only `place` brings files to the target.
    """
    is_new = not target.exists()
    beside, name = target.parent, f".{target.name[:200]}."
    if not is_new and (beside / f"{name}lock").exists():
        # Of a killed run that found no target yet.
        with locked(beside / f"{name}lock", target):
            _clear(beside, name)
    home, name = (beside, name) if is_new else (target, _OWN)
    with parents_made(target), locked(home / f"{name}lock", target):
        _clear(home, name)
        if not is_new and (target / _READY).exists():
            _move_ready(target)
        check_free(target, force=force)
        folder = home / f"{name}staging-{os.getpid()}"
        folder.mkdir()
        try:
            yield Outgoing(folder, target, is_new)
        finally:
            _clear(home, name)


def place(out: Outgoing) -> None:
    """Flush files to disk and bring them to their places.

    Raises
    ------
    DatasetError
        Something is in the way; nothing has changed then.
    OSError
    """
    files = [Path(folder, name) for folder, _, names in os.walk(out.folder) for name in names]
    flush_files(files)
    flush_folders([Path(folder) for folder, _, _ in os.walk(out.folder)])
    if out.is_new:
        out.folder.rename(out.target)
        flush_folders([out.target.parent])
        return
    _check_way(out.folder, out.target)
    out.folder.rename(out.target / _READY)
    _move_ready(out.target)


def _move_ready(target: Path) -> None:
    _check_way(target / _READY, target)
    try:
        flush_folders([target])
        _move(target / _READY, target)
        flush_folders([target])
    except OSError as error:
        raise DatasetError(
            f"cannot move files to their places: {error.strerror or error}",
            place=Place(str(target / _READY)),
            remedy="mend that, and export again: the next run moves what is left there",
        ) from error


def _move(folder: Path, into: Path) -> None:
    """Move all that is in a folder into another, among what is there; files of the same name are replaced."""
    for each in sorted(folder.iterdir()):
        there = into / each.name
        if each.is_dir() and there.is_dir():
            _move(each, there)
            continue
        if there.exists():
            # Who may read what was there may read what takes its place.
            each.chmod(there.stat().st_mode & 0o777)
        each.replace(there)
    flush_folders([into])
    folder.rmdir()


def _check_way(folder: Path, into: Path) -> None:
    """Refuse what is in the way of a move: a symbolic link, which is never followed, or a folder for a file."""
    for each in sorted(folder.iterdir()):
        there = into / each.name
        if there.is_symlink():
            raise DatasetError(
                "a symbolic link is in the way: it might lead out of the folder",
                place=Place(str(there)),
                remedy="remove it, or export into a new folder",
            )
        if there.exists() and there.is_dir() != each.is_dir():
            raise DatasetError(
                f"a {'folder' if there.is_dir() else 'file'} is in the way",
                place=Place(str(there)),
                expected="a folder" if each.is_dir() else "a file, or nothing",
                remedy="remove it, or export into a new folder",
            )
        if there.is_dir():
            _check_way(each, there)


def _clear(home: Path, name: str) -> None:
    """Remove folders of exports that were not completed."""
    own = re.compile(re.escape(f"{name}staging-") + r"\d+")
    for folder in [path for path in home.iterdir() if own.fullmatch(path.name)]:
        shutil.rmtree(folder, ignore_errors=True)
