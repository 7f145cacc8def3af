"""Questions in SQL over the tables of a dataset: read only, and nothing but its own files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ...errors import UsageError
from .scanning import tables_read

#: A string, a name in quotes, a comment, a letter that makes another kind of string of what follows, a word, or any
#: other character.
_TOKENS = re.compile(
    r"""(?P<string>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*"|`[^`]*`)|(?P<comment>--[^\n]*|/\*.*?\*/)"""
    r"""|(?P<prefixed>\b(?:[bBeEqQrR]|[nN][qQ]|[bB][rR]|[rR][bB]|[uU]&)')|(?P<word>\w+)|(?P<blank>\s+)|(?P<other>.)""",
    re.DOTALL,
)

#: The statements that change nothing.
_READING = ("select", "with", "from", "values", "explain", "show")

#: How many characters of what is not understood are shown.
_MOST_SHOWN = 20

#: What functions are called that read files.
_FILE_FUNCTION = re.compile(r"(read|scan)_\w+", re.IGNORECASE)


def run_sql(sql: str, tables: Mapping[str, Callable[[], pl.LazyFrame]]) -> pl.LazyFrame:
    """The answer to a question, when it is collected.

    Parameters
    ----------
    sql : str
        One statement in the SQL of Polars.
    tables : mapping
        What it may ask of, by name. Only those that it names are opened.

    Raises
    ------
    UsageError
        It is no SQL, names what is not there, would change something, or reads files by itself.
    DatasetError
        A table that it names cannot be read.
    """
    tokens = list(_tokens(sql))
    _check(tokens)
    words = {_bare(token).lower() for token in tokens}
    asked = {name: scan() for name, scan in tables.items() if name.lower() in words or "show" in words}
    with tables_read():
        for frame in asked.values():
            frame.collect_schema()
    try:
        found = pl.SQLContext(asked, eager=False).execute(sql)
        # Names of columns are looked up only now.
        found.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise UsageError(
            f"the question cannot be answered: {str(error).splitlines()[0]}",
            expected=f"SQL over the tables {', '.join(tables)}",
            remedy=f"check the names of tables and columns in: {' '.join(sql.split())[:200]}",
        ) from error
    return found


def _check(tokens: Sequence[str]) -> None:
    """Refuse what is not one question about the tables.

    Polars has functions of SQL that read any file (``read_csv('/etc/passwd')``) and knows no way to do without them.
    """
    if not tokens or tokens[0].lower() not in _READING:
        raise UsageError(
            f"not a question: {' '.join(tokens[:3]) or 'nothing'}",
            expected=f"a statement that reads: {', '.join(_READING)}",
        )
    for name, following in zip(tokens, [*tokens[1:], ""], strict=True):
        if _may_hide(name):
            raise UsageError(
                f"{name[:_MOST_SHOWN]!r} cannot stand in a question: text behind it may be read in two ways",
                expected="text in single quotes, names in double quotes, comments without others inside",
                remedy="leave it out",
            )
        if following == "(" and _FILE_FUNCTION.fullmatch(_bare(name)):
            raise UsageError(
                f"{_bare(name)}(...) would read files outside of the dataset",
                expected="the tables of the dataset",
                remedy="open other files with Polars or DuckDB, beside the dataset's",
            )


def _may_hide(token: str) -> bool:
    r"""Whether the parser of Polars may take what follows for other tokens than these.

    It knows strings between dollars, ``$$'$$``, strings with escapes or ends of their own, ``E'\''`` and ``Q'[']'``,
    and comments inside comments: behind those a quote that opens a string here may be part of one there, and what
    looks like text here would be run.
    """
    is_prefix = token.endswith("'") and not token.startswith("'")
    return token in ("$", "'", '"', "`") or is_prefix or (token.startswith("/*") and "/*" in token[2:])


def _bare(token: str) -> str:
    return token.strip('"`')


def _tokens(sql: str) -> Iterator[str]:
    """The words of a statement, without blanks, and without comments that end where they seem to."""
    for token in _TOKENS.finditer(sql):
        if token.lastgroup != "blank" and (token.lastgroup != "comment" or _may_hide(token[0])):
            yield token[0]


@dataclass(frozen=True, slots=True)
class Question:
    """A question from the field, worked out.

    Attributes
    ----------
    title : str
    sql : str
    needs : dict
        The columns that it takes, by table.
    """

    title: str
    sql: str
    needs: dict[str, tuple[str, ...]]


#: What people ask of a tomography project, by a short name.
QUESTIONS: dict[str, Question] = {
    "ctf": Question(
        "the worst defocus fit of each tomogram",
        "SELECT rlnTomoName, MAX(rlnCtfMaxResolution) AS worst_resolution_angst, MIN(rlnCtfFigureOfMerit) AS "
        "least_merit\nFROM tilts GROUP BY rlnTomoName ORDER BY worst_resolution_angst DESC",
        {"tilts": ("rlnCtfMaxResolution", "rlnCtfFigureOfMerit")},
    ),
    "motion": Question(
        "tilts that moved by more than 15 angstrom",
        "SELECT rlnTomoName, tilt_index, rlnTomoNominalStageTiltAngle, rlnAccumMotionTotal\n"
        "FROM tilts WHERE rlnAccumMotionTotal > 15 ORDER BY rlnAccumMotionTotal DESC",
        {"tilts": ("rlnTomoNominalStageTiltAngle", "rlnAccumMotionTotal")},
    ),
    "dose": Question(
        "the dose of a tilt, and of all, in each tomogram",
        "SELECT rlnTomoName, COUNT(*) AS tilts, MAX(rlnMicrographPreExposure) AS last_pre_exposure,\n"
        "  (MAX(rlnMicrographPreExposure) - MIN(rlnMicrographPreExposure)) / (COUNT(*) - 1) AS dose_per_tilt\n"
        "FROM tilts GROUP BY rlnTomoName HAVING COUNT(*) > 1 ORDER BY dose_per_tilt DESC",
        {"tilts": ("rlnMicrographPreExposure",)},
    ),
    "shifts": Question(
        "tilts whose shift is more than 3 standard deviations from the mean of their tomogram",
        "WITH lengths AS (SELECT rlnTomoName, tilt_index, SQRT(POW(rlnTomoXShiftAngst, 2) + "
        "POW(rlnTomoYShiftAngst, 2)) AS shift_angst FROM tilts),\n"
        "  usual AS (SELECT rlnTomoName, AVG(shift_angst) AS mean, STDDEV(shift_angst) AS spread FROM lengths "
        "GROUP BY rlnTomoName)\n"
        "SELECT lengths.rlnTomoName, tilt_index, shift_angst, mean, spread FROM lengths JOIN usual ON "
        "lengths.rlnTomoName = usual.rlnTomoName\n"
        "WHERE ABS(shift_angst - mean) > 3 * spread ORDER BY shift_angst DESC",
        {"tilts": ("rlnTomoXShiftAngst", "rlnTomoYShiftAngst")},
    ),
    "missing": Question(
        "tomograms with fewer tilts than most have",
        "WITH usual AS (SELECT MEDIAN(tilt_count) AS tilts FROM tomograms)\n"
        "SELECT rlnTomoName, tilt_count, tilts AS usual_count FROM tomograms CROSS JOIN usual\n"
        "WHERE tilt_count IS NULL OR tilt_count < tilts ORDER BY tilt_count",
        {"tomograms": ("tilt_count",)},
    ),
    "particles": Question(
        "particles of each tomogram and optics group",
        "SELECT rlnTomoName, rlnOpticsGroup, COUNT(*) AS particles\n"
        "FROM particles GROUP BY rlnTomoName, rlnOpticsGroup ORDER BY particles DESC",
        {"particles": ("rlnTomoName", "rlnOpticsGroup")},
    ),
}
