"""What `inspect` and `demo` show, in tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ..errors import counted
from .console import new_console
from .show import held


def show_description(description: dict[str, Any]) -> None:
    """Print what `describe` found."""
    console = new_console()
    print(f"{description['path']}: {description['what']}")
    for each in description.get("sets", []):
        _show_set(**each)
    for table in description.get("tables", []):
        title = f"{table['name']}: {counted(table['rows'], 'row')} in {counted(table['files'], 'file')}"
        console.print(_columns_table(title, table["columns"]))
    for block in description.get("blocks", []):
        if block["pairs"]:
            shown = Table(title=Text(f"data_{block['name']}"), title_justify="left")
            shown.add_column("label", no_wrap=True)
            shown.add_column("value", overflow="fold")
            for label, value in block["pairs"].items():
                shown.add_row(Text(label), Text(str(value)))
            console.print(shown)
        for loop in block["loops"]:
            console.print(_columns_table(f"data_{block['name']}: {counted(loop['rows'], 'row')}", loop["columns"]))
        if not block["pairs"] and not block["loops"]:
            print(f"data_{block['name']}: empty")
        if block["frames"]:
            print(f"data_{block['name']}: save frames {', '.join(block['frames'])}")
    for warning in description["warnings"]:
        text = warning if isinstance(warning, str) else f"{warning['message']} [{warning['code']}]: {warning['first']}"
        print(f"warning: {text}")
    for line in description.get("bad_values", []):
        print(f"bad value: {line}")


def _show_set(path: str, kind: str, counts: dict[str, int], refers: list[dict[str, Any]], problem: str) -> None:
    """A set of a project, what it holds and what it refers to; in lines, which a narrow terminal cuts nowhere."""
    print(f"\n{path}: {kind}, {held(counts) or problem or 'empty'}")
    for reference in refers:
        print(f"  {_reference_line(**reference)}")


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
