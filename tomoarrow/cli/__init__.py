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
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Whoever called has closed it.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    # A terminal that cannot show a name is no reason to fail.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # The end of a job on a cluster, and a lost connection, stop it as Ctrl-C does: nothing is left behind. What
    # `nohup` has started goes on.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            signal.signal(getattr(signal, name), signal.default_int_handler)
    sys.meta_path.insert(0, _NoPandas)
    from .app import app

    app()


class _NoPandas:
    """No command needs pandas, but pyarrow imports it, where there is one, to see that no array is a Series: 0.2 s."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


__all__ = ["main"]
