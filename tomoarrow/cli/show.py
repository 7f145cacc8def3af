"""What the commands print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ..errors import counted
from .console import new_console

if TYPE_CHECKING:
    from ..dataset.export import ExportReport
    from ..dataset.report import Report
    from ..dataset.verify import VerifyReport
    from ..dataset.versions.integrity import IntegrityReport

_MB = 1e6

#: What the rows of the tables of a set are: of one, and of several.
_ROWS = {
    "tomograms": ("tomogram", "tomograms"),
    "tilts": ("tilt", "tilts"),
    "particles": ("particle", "particles"),
    "trajectories": ("tilt of trajectories", "tilts of trajectories"),
    "manifolds": ("manifold", "manifolds"),
}

#: What is counted in sets: of one, by what it is called of several.
_ONE = {
    "files": "file",
    "manifolds": "manifold",
    "optics groups": "optics group",
    "particles": "particle",
    "rows": "row",
    "tilts": "tilt",
    "tomograms": "tomogram",
    "trajectories": "trajectory",
}

_SETS = ("tomogram set", "projects", "optimisation set", "particle set", "trajectory set", "manifold set")

#: Of the differences between a dataset and its files so many are shown.
_MOST_DIFFERENCES = 40


def show_report(report: Report) -> None:
    """Print what a conversion did."""
    console = new_console(soft_wrap=True)
    console.print(
        f"{report.dataset}: {_rows(report)} in {counted(report.files, 'file')}, "
        f"{report.bytes / _MB:.1f} MB, from {counted(report.source_files, 'STAR file')} "
        f"of {report.source_bytes / _MB:.1f} MB in {report.seconds:.2f} s",
        markup=False,
    )
    if report.read_again is not None:
        again = counted(
            report.read_again, "STAR file has changed and was read again", "STAR files have changed and were read again"
        )
        console.print(again if report.read_again else "up to date: no STAR file has changed", markup=False)
    console.print(f"project directory: {report.project} ({report.project_how})", markup=False)
    for warning in report.warnings:
        where = f"{warning.count} in {counted(warning.files, 'file')}, first {warning.first}"
        console.print(f"warning: {warning.message} [{warning.code}]: {where}", markup=False)
    if report.missing:
        console.print(
            f"left out: {counted(report.missing, 'tomogram')} whose tilt-series file is missing", markup=False
        )
    if report.rejects:
        console.print(f"rejects: {report.rejects}, listed in {Path(report.dataset) / 'rejects'}", markup=False)


def _rows(report: Report) -> str:
    if report.kind in _SETS:
        return (
            ", ".join(counted(report.rows[name], *what) for name, what in _ROWS.items() if name in report.rows)
            or "no table"
        )
    return ", ".join(f"{name} of {counted(rows, 'row')}" for name, rows in report.rows.items()) or "no table"


def show_export(report: ExportReport) -> None:
    """Print what an export wrote."""
    is_set = report.kind == "tomogram set" or report.tilts > 0
    what = f"{counted(report.tomograms, 'tomogram')}, {counted(report.tilts, 'tilt')} in " if is_set else ""
    console = new_console(soft_wrap=True)
    files = counted(report.files, "STAR file")
    console.print(
        f"{report.directory}: {what}{files}, {report.bytes / _MB:.1f} MB in {report.seconds:.2f} s", markup=False
    )
    for warning in report.warnings:
        console.print(f"warning: {warning}", markup=False)


def show_verification(report: VerifyReport) -> None:
    """Print what a comparison found."""
    console = new_console(soft_wrap=True)
    for each in report.differences[:_MOST_DIFFERENCES]:
        console.print(f"{each.file}: {each.kind}: {each.what}", markup=False)
    if len(report.differences) > _MOST_DIFFERENCES:
        console.print(f"... and {len(report.differences) - _MOST_DIFFERENCES} more (all of them with --json)")
    console.print(
        f"{report.dataset} against {report.against}: {counted(report.files, 'file')}, "
        f"values equal in {report.values_equal}, bytes equal in {report.bytes_equal}, in {report.seconds:.2f} s",
        markup=False,
    )


def show_integrity(report: IntegrityReport) -> None:
    """Print what a comparison with the manifest found."""
    console = new_console(soft_wrap=True)
    for each in report.damages[:_MOST_DIFFERENCES]:
        console.print(f"{each.file}: {each.kind}: {each.what}", markup=False)
    what = "as they were written" if not report.damages else f"{len(report.damages)} of them are not as they were"
    console.print(
        f"{report.dataset}, version {report.version}: {counted(report.files, 'file')}, "
        f"{report.bytes / _MB:.1f} MB, {what}, in {report.seconds:.2f} s",
        markup=False,
    )


def show_description(description: dict[str, Any]) -> None:
    """Print what `describe` found."""
    console = new_console()
    console.print(f"{description['path']}: {description['what']}", markup=False)
    if description.get("sets"):
        console.print(_sets_table(description["sets"]))
    for table in description.get("tables", []):
        title = f"{table['name']}: {counted(table['rows'], 'row')} in {counted(table['files'], 'file')}"
        console.print(_columns_table(title, table["columns"]))
    for block in description.get("blocks", []):
        if block["pairs"]:
            shown = Table("label", "value", title=Text(f"data_{block['name']}"), title_justify="left")
            for label, value in block["pairs"].items():
                shown.add_row(Text(label), Text(str(value)))
            console.print(shown)
        for loop in block["loops"]:
            console.print(_columns_table(f"data_{block['name']}: {counted(loop['rows'], 'row')}", loop["columns"]))
        if not block["pairs"] and not block["loops"]:
            console.print(f"data_{block['name']}: empty", markup=False)
        if block["frames"]:
            console.print(f"data_{block['name']}: save frames {', '.join(block['frames'])}", markup=False)
    for warning in description["warnings"]:
        text = warning if isinstance(warning, str) else f"{warning['message']} [{warning['code']}]: {warning['first']}"
        console.print(f"warning: {text}", markup=False)
    for line in description.get("bad_values", []):
        console.print(f"bad value: {line}", markup=False)


def _sets_table(sets: list[dict[str, Any]]) -> Table:
    """The sets of a project, what they hold and what they refer to."""
    shown = Table(title=Text("sets"), title_justify="left")
    for heading in ("set", "is a", "holds", "refers to"):
        shown.add_column(heading, overflow="fold")
    for each in sets:
        holds = held(each["counts"]) or each["problem"]
        refers = "\n".join(_reference_line(**reference) for reference in each["refers"])
        shown.add_row(*map(Text, (each["path"], each["kind"], holds, refers)))
    return shown


def held(counts: dict[str, int]) -> str:
    """What a set holds, in words."""
    return ", ".join(counted(n, _ONE[what], what) for what, n in counts.items())


def _reference_line(label: str, path: str, count: int, missing: int, outside: int) -> str:
    what = path if count == 1 else f"{count} files, {path}, ..."
    lacking = {"missing": missing, "outside of the project, not looked at": outside}
    told = [why if count == 1 else f"{n} {why}" for why, n in lacking.items() if n]
    return f"{label}: {what}" + (f" ({'; '.join(told)})" if told else "")


def _columns_table(title: str, columns: list[dict[str, str]]) -> Table:
    shown = Table(title=Text(title), title_justify="left")
    shown.add_column("column", no_wrap=True)
    for heading in ("type", "unit", "meaning"):
        shown.add_column(heading)
    for column in columns:
        kind = column["type"].replace("dictionary<values=string, indices=int32, ordered=0>", "string (dictionary)")
        shown.add_row(*map(Text, (column["name"], kind, column["unit"], column["description"])))
    return shown


def show_demo_query(dataset: Path) -> None:
    """Ask one question of a dataset, and show how it is asked."""
    import polars as pl

    print(
        "\n>>> import polars as pl\n"
        f'>>> tilts = pl.scan_parquet("{dataset}/tilts/**/*.parquet")\n'
        '>>> (tilts.group_by("rlnTomoName", maintain_order=True)\n'
        '...     .agg(pl.len().alias("tilts"), pl.max("rlnMicrographPreExposure"), '
        'pl.mean("rlnDefocusU"), pl.max("rlnAccumMotionTotal"))\n'
        '...     .sort("rlnAccumMotionTotal", descending=True).head(5).collect())'
    )
    tilts = pl.scan_parquet(f"{dataset}/tilts/**/*.parquet")
    answer = (
        tilts.group_by("rlnTomoName", maintain_order=True)
        .agg(
            pl.len().alias("tilts"),
            pl.max("rlnMicrographPreExposure"),
            pl.mean("rlnDefocusU"),
            pl.max("rlnAccumMotionTotal"),
        )
        .sort("rlnAccumMotionTotal", descending=True)
        .head(5)
        .collect()
    )
    shown = Table(*answer.columns)
    for row in answer.iter_rows():
        shown.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row))
    new_console().print(shown)
