"""Checks of the text: what cannot be read, and what RELION reads as something else (``src/metadata_table.cpp``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from ...errors import StarSyntaxError, counted
from ...star.faults import Notice
from ..sets import Named, Sets
from .finding import Check, Found, Severity, named

_REWRITE = "write the file again, with RELION or as tomoarrow export --force does, or mend the lines by hand"

#: For what readers notice: how grave it is, what it is, and what to do.
_NOTICED: tuple[tuple[str, Severity, str, str], ...] = (
    (
        "blank-line-in-loop",
        "error",
        "a blank line between rows: RELION stops reading there",
        "delete the blank lines between rows",
    ),
    (
        "comment-in-loop",
        "error",
        "a comment among rows or right behind them, which RELION takes for a row",
        "move the comment before the block, or put a blank line between it and the last row",
    ),
    ("crlf", "error", "lines that end in CR LF, as Windows writes them; RELION refuses the file", "run dos2unix on it"),
    ("keyword-row", "warning", "a row that looks like a label or keyword", "quote its first value"),
    (
        "no-blank-before-block",
        "error",
        "a block right behind rows: RELION takes its heading for a row",
        "add an empty line before data_",
    ),
    ("no-rows", "error", "a loop without rows before another block, which RELION cannot read", "delete that loop"),
    (
        "list-and-loop",
        "error",
        "a loop behind labels with one value each in one block: RELION does not read it",
        "give the loop a block of its own",
    ),
    ("hash-in-label", "error", "no blank before the # of a label: RELION loses its last letter", "add the blank"),
    (
        "keyword-in-comment",
        "error",
        "a comment that holds data_ or loop_, which RELION takes for the keyword",
        "reword or delete the comment",
    ),
    ("blanks-in-value", "error", "a value with blanks and without quotes: RELION reads its first word", "quote it"),
    (
        "blanks-in-name",
        "error",
        "text behind the name of a block, which RELION takes for a part of the name",
        "delete what stands behind the name",
    ),
    ("semicolon-line", "note", "a line that begins with ;, which RELION skips", "begin comments with #"),
    ("text-before-block", "note", "text before the first block, which RELION skips", "begin comments with #"),
    (
        "repeated-block",
        "error",
        "two blocks of one name: RELION finds only one of them",
        "rename or delete one of the two",
    ),
    (
        "widened",
        "error",
        "fractions in a label for integers: RELION cuts them off",
        "write integers; check that the columns are not mixed up",
    ),
    ("not-finite", "error", "nan or inf, which RELION reads as 0", "put in the true number, or leave the row out"),
    (
        "missing",
        "error",
        "a word such as None or <NA> for a number: RELION reads 0",
        "put in the true number, or leave the column out",
    ),
    ("boolean-word", "error", "True or False: RELION reads both as false", "write 1 and 0"),
    ("exponent", "error", "an integer with an exponent: RELION reads the digits before it", "write all its digits"),
    (
        "no-tilts",
        "error",
        "a tilt series without tilts, which RELION refuses",
        "remove the tomogram from the global table",
    ),
    (
        "block-name",
        "error",
        "a tilt-series file whose block does not have the name of its tomogram: RELION does not find it",
        "rename the block to data_ and the rlnTomoName, or correct the global table",
    ),
    (
        "other-blocks",
        "note",
        "blocks beside that of the tomogram, which RELION does not read and does not write again",
        "nothing, if they are not needed",
    ),
)


def _noticed(code: str, sets: Sets) -> Iterator[Found]:
    """The notices of a code, one for each label or kind of file."""
    groups: dict[object, list[Notice]] = {}
    for notice in sets.notices:
        if notice.code == code:
            groups.setdefault(notice.place.label, []).append(notice)
    for notices in groups.values():
        paths = list(dict.fromkeys(notice.place.path for notice in notices))
        files = f", in {len(paths)} files" if len(paths) > 1 else ""
        yield Found(f"{notices[0].message}{files}", notices[0].place, sum(notice.count for notice in notices))


def _malformed(sets: Sets) -> Iterator[Found]:
    for error in sets.errors:
        if isinstance(error, StarSyntaxError):
            yield Found(_told(error.problem, error.expected), error.place)


def _unfit(sets: Sets) -> Iterator[Found]:
    for error in sets.errors:
        if not isinstance(error, StarSyntaxError):
            yield Found(_told(error.problem, error.expected), error.place)


def _told(problem: str, expected: str) -> str:
    return f"{problem}; expected: {expected}" if expected else problem


def _bad_values(sets: Sets) -> Iterator[Found]:
    """Values that do not fit, all of one label together."""
    by_label: dict[str, list[Notice]] = {}
    for reject in sets.rejects:
        notice = Notice("bad-value", f"{reject.text!r} is {reject.reason}", reject.place)
        by_label.setdefault(reject.label, []).append(notice)
    for label, notices in by_label.items():
        files = len({notice.place.path for notice in notices})
        more = f"; {len(notices)} such values in {counted(files, 'file')}" if len(notices) > 1 else ""
        yield Found(f"{label}: {notices[0].message}{more}", notices[0].place, len(notices))


def _missing(sets: Sets) -> Iterator[Found]:
    """STAR files that are not there."""
    yield from _together(sets.missing, f"not there, in the project {sets.project}")


def _outside(sets: Sets) -> Iterator[Found]:
    """STAR files that were not read because they are outside of the project."""
    yield from _together(sets.outside, f"not read, as it leads out of the project {sets.project}")


def _together(files: Sequence[Named], problem: str) -> Iterator[Found]:
    """All files that one label names together."""
    by_label: dict[str, list[Named]] = {}
    for each in files:
        by_label.setdefault(each.label, []).append(each)
    for label, found in by_label.items():
        paths = [each.path or "an empty path" for each in found]
        yield named(f"{problem}: the file that {label} names", paths, found[0].place)


CHECKS = (
    Check(
        "missing-star",
        "error",
        "STAR files that a set names and that are not there",
        "correct the path, or name the project directory with --project DIR: paths are relative to it",
        _missing,
    ),
    Check(
        "outside-star",
        "error",
        "paths of STAR files that lead out of the project: those are not read",
        "correct the path, name the project directory with --project DIR, or read them anyway with --allow-outside",
        _outside,
    ),
    Check("malformed", "error", "text that is no STAR", _REWRITE, _malformed),
    Check(
        "unfit",
        "error",
        "STAR files that are not what they should be, or cannot be read",
        "check that the right file is named, and that it is whole",
        _unfit,
    ),
    Check(
        "bad-value",
        "error",
        "values that do not fit their label: RELION reads 0, or the digits at the front",
        "correct the values; check that the columns are not mixed up",
        _bad_values,
    ),
    *(Check(code, severity, what, remedy, partial(_noticed, code)) for code, severity, what, remedy in _NOTICED),
)
