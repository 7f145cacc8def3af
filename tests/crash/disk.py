"""What a power cut may leave: POSIX promises bytes once their file is flushed, and names once their folder is.

A command's calls are followed one by one, to know what is on its way to the disk and not there yet. Nothing else is
taken for granted: a new file that is flushed is lost as long as its folder is not.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

#: What of it is lost: bytes only; names too, all of them; all but the last one; or only the first one.
Loss = Literal["bytes", "names", "all names but the last", "the first name"]

LOSSES: tuple[Loss, ...] = ("bytes", "names", "all names but the last", "the first name")


@dataclass(frozen=True, slots=True)
class Name:
    """A name that was made, moved or removed, and may not be so on the disk.

    `bytes` are those that the name had before, where it had any.
    """

    what: Literal["made", "moved", "removed", "folder removed"]
    path: Path
    source: Path | None = None
    bytes: bytes | None = None


@dataclass(slots=True)
class Disk:
    """What is on its way to the disk.

    Attributes
    ----------
    before : dict
        The bytes of each file that was there, by path.
    there : set of Path
        All that is there.
    unwritten : set of Path
        Files whose bytes are not on the disk.
    names : list of Name
        In the order in which they were changed.
    """

    before: dict[Path, bytes]
    there: set[Path]
    unwritten: set[Path] = field(default_factory=set)
    names: list[Name] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """All that is below a folder, which is safe."""
        there = {folder, *folder.rglob("*")}
        return cls({path: path.read_bytes() for path in there if path.is_file()}, there)

    def follow(self, call: str, root: Path) -> None:
        """Take in one call, as the shim has logged it, with paths below a folder."""
        what, _, rest = call.partition(" ")
        to, _, source = rest.partition(" < ")
        path = root / to.lstrip("/")
        if what in ("open", "mkdir", "link"):
            if path not in self.there:
                self.there.add(path)
                self.names.append(Name("made", path))
        elif what in ("write", "truncate"):
            self.unwritten.add(path)
        elif what == "fsync":
            self.unwritten.discard(path)
            self.names = [name for name in self.names if name.path.parent != path]
        elif what in ("unlink", "rmdir"):
            self._remove(path)
        elif what == "rename":
            self._move(root / source.lstrip("/"), path)

    def _remove(self, path: Path) -> None:
        """Remove a file, or a folder that is empty."""
        if path not in self.there or any(path in each.parents for each in self.there):
            return
        self.there.discard(path)
        self.unwritten.discard(path)
        what: Literal["removed", "folder removed"] = "removed" if path in self.before else "folder removed"
        self.names.append(Name(what, path, bytes=self.before.get(path)))

    def _move(self, source: Path, to: Path) -> None:
        """Move a file or folder, with all that is in it; names that are on their way move with it."""
        had = self.before.get(to) if to in self.there else None
        self.there = {_moved(path, source, to) for path in self.there}
        self.unwritten = {_moved(path, source, to) for path in self.unwritten}
        self.names = [
            name if name.path == source else replace(name, path=_moved(name.path, source, to)) for name in self.names
        ]
        self.names.append(Name("moved", to, source, had))

    def lose(self, loss: Loss) -> None:
        """Make the files what a power cut leaves of them."""
        for path in self.unwritten:
            if path.is_file():
                os.truncate(path, 0)
        lost = {"bytes": [], "names": self.names, "all names but the last": self.names[:-1]}.get(loss, self.names[:1])
        for name in reversed(lost):
            _undo(name)


def _moved(path: Path, source: Path, to: Path) -> Path:
    return to / path.relative_to(source) if path == source or source in path.parents else path


def _undo(name: Name) -> None:
    """What was made is gone, what was moved is back, what was removed is there again."""
    if name.what == "made":
        if name.path.is_dir():
            shutil.rmtree(name.path)
        else:
            name.path.unlink(missing_ok=True)
    elif name.what == "moved":
        assert name.source is not None
        if name.path.exists():
            name.source.parent.mkdir(parents=True, exist_ok=True)
            name.path.rename(name.source)
        if name.bytes is not None:
            name.path.write_bytes(name.bytes)
    elif name.what == "removed" and name.path.parent.is_dir() and not name.path.exists():
        name.path.write_bytes(name.bytes or b"")
