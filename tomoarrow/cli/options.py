"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from ..errors import UsageError

#: What RELION users type in the place of the first argument, and of the last.
InputOption = Annotated[str | None, typer.Option("--i", hidden=True)]
OutputOption = Annotated[str | None, typer.Option("--o", hidden=True)]
Project = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="The project directory, to which paths in STAR files are relative. Found automatically if not given.",
    ),
]
PartitionBy = Annotated[
    str | None,
    typer.Option(metavar="LABEL", help="Make one Hive folder for each value of this label of the global table."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", "--j", min=1, metavar="N", help="How many threads to use; by default as many as there are cores."
    ),
]
Missing = Annotated[
    Literal["error", "skip"],
    typer.Option(help="Files that are named but not there: refuse, or leave them out and list them."),
]
OnBadValue = Annotated[
    Literal["error", "null"],
    typer.Option(help="Values that do not fit their label's type: refuse, or read them as null and list them."),
]
OnBadFile = Annotated[
    Literal["error", "skip"],
    typer.Option(help="Tilt series and sets that cannot be read: refuse, or leave them out and list them."),
]
MaxRejects = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Refuse if more than N values, files and tomograms would be left out."),
]
AllowOutside = Annotated[
    bool, typer.Option("--allow-outside", help="Also read files outside of the project, where paths lead there.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one report as JSON, and nothing else.")]


def arguments(names: Sequence[str], given: Sequence[str | None], usage: str) -> list[str]:
    """The arguments of a command, of which ``--i`` may have given the first and ``--o`` the last.

    Parameters
    ----------
    names : sequence of str
        What each is called.
    given : sequence of str or None
        All that may have given one, in the order of the arguments.
    usage : str
        An example, for the error.

    Raises
    ------
    UsageError
        There are fewer or more than that.
    """
    found = [each for each in given if each is not None]
    if len(found) != len(names):
        needed = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} needed"
        more = f", not also {', '.join(found[len(names) :])}" if len(found) > len(names) else ""
        raise UsageError(f"{needed}{more}", expected=usage)
    return found
