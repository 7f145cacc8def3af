"""The command line: thin, and late to import what takes time."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Entry point of the command ``tomoarrow``."""
    if sys.argv[1:] == ["--version"]:
        from .._version import __version__

        print(f"tomoarrow {__version__}")
        return
    # A terminal that cannot show a name is no reason to fail; nor is a reader that has seen enough. What ends a
    # job on a cluster ends it as Ctrl-C does: nothing is left behind.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from .app import app

    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


__all__ = ["main"]
