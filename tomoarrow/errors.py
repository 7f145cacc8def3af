"""What can go wrong, sorted by who can mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a STAR file something stands. `line` and `column` count from 1, in characters; 0 is unknown."""

    path: str = ""
    line: int = 0
    column: int = 0
    block: str | None = None
    label: str | None = None
    text: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.path, self.line, self.column) if part)
        block = None if self.block is None else f"block 'data_{self.block}'"
        label = f"label _{self.label}" if self.label else None
        inside = ", ".join(part for part in (block, label) if part)
        return f"{where} ({inside})" if where and inside else where or inside


class TomoarrowError(Exception):
    """Base of all errors that tomoarrow raises on purpose.

    Attributes
    ----------
    place : Place
        Where; empty where no one file is at fault.
    problem, expected, remedy : str
        What was found, what should have been there, what to do.
    errors : tuple of TomoarrowError
        The single errors where several were gathered; the error itself otherwise.
    """

    #: The exit code of the command line.
    exit_code = 3

    def __init__(
        self,
        problem: str,
        *,
        place: Place | None = None,
        expected: str = "",
        remedy: str = "",
        errors: Sequence[TomoarrowError] = (),
    ) -> None:
        super().__init__(problem)
        self.place = place or Place()
        self.problem = problem
        self.expected = expected
        self.remedy = remedy
        self.errors: tuple[TomoarrowError, ...] = tuple(errors) or (self,)

    def __str__(self) -> str:
        where = str(self.place)
        lines = [f"{where}: {self.problem}" if where else self.problem]
        if self.place.text:
            lines.append(f"  found:    {_shorten(self.place.text)}")
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.remedy:
            lines.append(f"  to do:    {self.remedy}")
        return "\n".join(lines)


class StarSyntaxError(TomoarrowError):
    """The text of a STAR file is malformed. Whoever wrote the file can mend it."""


class SchemaError(TomoarrowError):
    """A STAR file is well formed, but what it holds does not fit: a value, a label, a block."""


class BlockNotFoundError(SchemaError, KeyError):
    """A document has no block of the name that was asked for. A KeyError too, as for any mapping."""


class MissingFileError(TomoarrowError):
    """A file that is named is not there, or cannot be read. The project's owner can mend it."""


class DatasetError(TomoarrowError):
    """The Parquet side: a dataset that is in the way, damaged, or made by a newer version."""


class UsageError(TomoarrowError):
    """The call asks for something that does not exist or cannot be done, or its options do not go together."""

    exit_code = 2


def counted(n: int, one: str, many: str = "") -> str:
    """How many there are of what, for messages: ``1 file``, ``2 files``."""
    return f"{n} {one if n == 1 else many or f'{one}s'}"


def first_of(names: Sequence[object], most: int) -> str:
    """The first few names, for messages, with dots where there are more."""
    return ", ".join(map(str, names[:most])) + (", ..." if len(names) > most else "")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of an option's choices."""
    if value not in choices:
        raise UsageError(f"{name}={value!r}", expected=" or ".join(map(repr, choices)))


#: How many of the errors that were gathered a message spells out.
_MOST_SHOWN = 40


def raise_gathered(errors: Sequence[TomoarrowError], summary: str) -> None:
    """Raise nothing, the one error, or one error of the first one's class that lists them all.

    Parameters
    ----------
    errors : sequence of TomoarrowError
    summary : str
        The first line of the message where there are several, with ``{n}`` for how many.
    """
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    shown = "\n".join(str(error) for error in errors[:_MOST_SHOWN])
    hidden = len(errors) - _MOST_SHOWN
    more = f"\n... and {hidden} more" if hidden > 0 else ""
    raise type(errors[0])(f"{summary.format(n=len(errors))}\n{shown}{more}", errors=errors)


def _shorten(text: str, most: int = 200) -> str:
    line = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return line if len(line) <= most else f"{line[:most]}... ({len(line)} characters)"
