"""What a command says when something goes wrong, and the exit code that it leaves with."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from ..errors import TomoarrowError


@contextmanager
def errors_told(*, as_json: bool = False) -> Iterator[None]:
    """Print errors for people, or as JSON, and leave with their exit code."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except typer.Exit:
        raise
    except TomoarrowError as error:
        _fail(error, as_json=as_json)
    except OSError as error:
        # Rich and Polars tell of a broken pipe without its number.
        if error.errno in (None, errno.EPIPE) and _nobody_reads():
            # As other programs are ended by the system, without a word: `head` has seen enough.
            _print_no_more()
            raise typer.Exit(128 + signal.SIGPIPE) from None
        where = f"{error.filename}: " if error.filename else ""
        _fail(TomoarrowError(f"{where}{error.strerror or error}"), as_json=as_json)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise typer.Exit(130) from None
    except Exception:
        # Python's own exit code for this would be 1, which here means that something was left out.
        traceback.print_exc()
        print("tomoarrow: this is a bug, please report it", file=sys.stderr)
        raise typer.Exit(3) from None


def _nobody_reads() -> bool:
    """Whether the answer goes into a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _print_no_more() -> None:
    """Let what is left in the buffer go nowhere: Python would try once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: TomoarrowError, *, as_json: bool) -> NoReturn:
    if as_json:
        kind = type(error).__name__
        single = [
            {"type": type(e).__name__, "message": e.problem, "path": e.place.path, "line": e.place.line}
            | {"column": e.place.column, "block": e.place.block, "label": e.place.label, "found": e.place.text}
            | {"expected": e.expected, "remedy": e.remedy}
            for e in error.errors
        ]
        try:
            print(json.dumps({"error": kind, "exit_code": error.exit_code, "errors": single}), flush=True)
            raise typer.Exit(error.exit_code)
        except OSError:
            # Into a full disk this goes no more than the answer did.
            _print_no_more()
    print(f"tomoarrow: {error}", file=sys.stderr)
    raise typer.Exit(error.exit_code)
