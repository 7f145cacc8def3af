"""Commands that are harmed at one call of the system: killed, refused, or cut short."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent


class Calls(IntFlag):
    """Kinds of calls, as ``shim.c`` has them."""

    NONE = 0
    #: Those that write, or make something, and may find no space.
    SPACE = 1
    #: Those that remove, lock, or set modes and times.
    REMOVES = 2
    #: Those that only look.
    READS = 4
    #: Those that take a path.
    NAMES = 8
    #: Those that open a file to read it.
    OPENS = 16
    CHANGES = SPACE | REMOVES


class Action(IntEnum):
    """What is done at a call, as ``shim.c`` has it."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    #: Half of the bytes are written before.
    KILL_TORN = 3
    FAIL_ONCE = 4
    #: This call fails and all that follow.
    FAIL_ON = 5
    #: Half of the bytes are written or read, as the system is free to do.
    SHORT = 6


@dataclass(frozen=True, slots=True)
class Harm:
    """What is done to a command at its n-th call, from 1, of some kinds that touches files below a folder."""

    folder: Path
    calls: Calls
    action: Action = Action.COUNT
    at: int = 0
    error: int = 0

    def __str__(self) -> str:
        name = f" {errno.errorcode[self.error]}" if self.error else ""
        return f"{self.action.name}{name} at call {self.at}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: `code` is its exit code, or minus the signal that killed it.

    `calls` are those that were counted; of a command that was harmed, up to the one it was harmed at.
    """

    code: int
    stdout: str
    stderr: str
    counted: int
    calls: list[str]


@dataclass(frozen=True, slots=True)
class Warm:
    """The process that runs commands; see ``warm.py``."""

    process: subprocess.Popen[str]
    folder: Path

    def run(self, arguments: list[str], harm: Harm | None = None) -> Outcome:
        """Run one command in a process of its own."""
        told = {name: str(self.folder / name) for name in ("stdout", "stderr")}
        harm = harm or Harm(self.folder, Calls.NONE)
        command: dict[str, Any] = {
            "arguments": arguments,
            "folder": str(harm.folder),
            "kinds": int(harm.calls),
            "at": harm.at,
        }
        command |= {"action": int(harm.action), "error": harm.error} | told
        stdin, stdout = _pipes(self.process)
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        ended: dict[str, Any] = json.loads(stdout.readline())
        texts = {name: Path(path).read_text() for name, path in told.items()}
        return Outcome(ended["code"], texts["stdout"], texts["stderr"], ended["counted"], ended["calls"])


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


@contextmanager
def warmed_up(folder: Path, temporary: Path) -> Iterator[Warm]:
    """Start the process; `temporary` is what it has as its folder for temporary files."""
    shim = str(folder / "shim.so")
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *options, "-o", shim, str(HERE / "shim.c"), "-ldl"], check=True)
    environment = os.environ | {"LD_PRELOAD": shim, "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, str(HERE / "warm.py")], stdin=pipe, stdout=pipe, text=True, env=environment, cwd=folder
    ) as process:
        stdin, stdout = _pipes(process)
        try:
            assert stdout.readline() == "ready\n"
            yield Warm(process, folder)
        finally:
            stdin.close()


# ---- What is there -------------------------------------------------------------------------------------------------

_VERSION = re.compile(r"-\d+(-v\d+)?\.parquet$")
_PROCESS = re.compile(r"(staging|export)-\d+")
#: Who was killed when a part was done leaves its lock: free, and gone with all parts.
_LOCK_OF_PART = re.compile(r"\.parts/\.part-\d+\.lock$")


def listing(folder: Path) -> list[str]:
    """The paths of all that is below a folder, whichever version of a dataset wrote it."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(_VERSION.sub(".parquet", path) for path in paths if not _LOCK_OF_PART.search(path))


def state(folder: Path) -> str:
    """A digest of all that is below a folder, but for who wrote it: what has the same is alike in all that matters."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = _PROCESS.sub(r"\1", path.relative_to(folder).as_posix())
        is_file = path.is_file() and not name.endswith(".lock")
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest() if is_file else ''}\0".encode())
    return digest.hexdigest()
