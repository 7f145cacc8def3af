"""The command line: thin, and late to import what takes time."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Entry point of the command ``tomoarrow``."""
    if sys.argv[1:] == ["--version"]:
        from .._version import __version__

        print(f"tomoarrow {__version__}")
        return
    # A terminal that cannot show a name is no reason to fail. What ends a job on a cluster, or a lost connection, ends
    # it as Ctrl-C does: nothing is left behind.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    from .app import app

    app()


__all__ = ["main"]
