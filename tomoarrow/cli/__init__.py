"""The command line: thin, and late to import what takes time."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command ``tomoarrow``."""
    if sys.argv[1:] == ["--version"]:
        from .._version import __version__

        print(f"tomoarrow {__version__}")
        return
    from .app import app

    app()


__all__ = ["main"]
