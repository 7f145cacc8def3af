"""A process that has imported everything and compiled all kernels, and forks a child for each command it is given.

Commands come as lines of JSON on standard input. No thread pool has been started when it forks: Arrow and Polars begin
theirs with the first work. The shim (``shim.c``) must have been preloaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import json
import os
import signal
import sys
from typing import Any, NoReturn

import typer.main

from tomoarrow.kernels.warmup import prepare
from tomoarrow.star.grammar import tables

#: No command takes so long; one that hangs is ended.
_MOST_SECONDS = 60


def main() -> None:
    shim = ctypes.CDLL(None)
    shim.arm.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int)
    shim.counted.restype = ctypes.c_long
    shim.logged.restype, shim.logged.argtypes = ctypes.c_char_p, (ctypes.c_long,)
    _import_all()
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(shim, command)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        counted = shim.counted() if command["kinds"] else 0
        last = min(counted, command["at"] or counted)
        calls = [shim.logged(i).decode(errors="replace") for i in range(1, last + 1)]
        print(json.dumps({"code": code, "counted": counted, "calls": calls}), flush=True)


def _import_all() -> None:
    from tomoarrow.cli import _NoPandas

    sys.meta_path.insert(0, _NoPandas())
    for name in ("cli.app", "cli.clusters", "cli.progress", "cli.show", "star.grammar"):
        importlib.import_module(f"tomoarrow.{name}")
    for name in ("convert", "export", "parts.assembling", "parts.partition", "parts.planning"):
        importlib.import_module(f"tomoarrow.dataset.{name}")
    # What Polars, pyarrow and Typer import with their first work, where it is installed.
    for name in (
        "dateutil.relativedelta",
        "numpy.ma",
        "pyarrow.dataset",
        "pydantic.fields",
        "pydantic.type_adapter",
        "rich._emoji_codes",
        "typer._adapters",
        "typer._click.decorators",
    ):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    prepare("all")
    tables()
    # Typer describes all commands anew for each that is run: half of what a small one takes.
    typer.main.get_command = functools.cache(typer.main.get_command)  # type: ignore[assignment]
    typer.main.get_command(importlib.import_module("tomoarrow.cli.app").app)


def _run(shim: Any, command: dict[str, Any]) -> NoReturn:
    """Run one command line, and end this process."""
    for descriptor, path in ((1, command["stdout"]), (2, command["stderr"])):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    signal.alarm(_MOST_SECONDS)
    sys.argv = ["tomoarrow", *command["arguments"]]
    code: Any = 70
    try:
        from tomoarrow.cli import main as command_line

        if command["kinds"]:
            folder = os.fsencode(command["folder"])
            shim.arm(folder, command["kinds"], command["at"], command["action"], command["error"])
        command_line()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 70)


if __name__ == "__main__":
    main()
