"""The words and numbers of the page that are no chart: where a dataset comes from, its figures, what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from .gather import Gathered, scan, spread
from .metrics import METRICS, units

#: Rejects that are spelt out; the others stand in the table.
_MOST_REJECTS = 20

#: Labels of the global table whose values stand in the overview, and what they are called there.
_OF_SET = {
    "rlnTomoTiltSeriesPixelSize": "Pixel size",
    "rlnVoltage": "Voltage",
    "rlnSphericalAberration": "Spherical aberration",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was noticed: how bad it is, what it is, and where."""

    kind: str
    text: str
    where: str


def made(manifest: dict[str, Any]) -> str:
    """Where a dataset comes from and when it was made, as HTML."""
    size = size_text(sum(source["bytes"] for source in manifest["sources"]))
    files = f"{len(manifest['sources']):,} STAR file{'s' * (len(manifest['sources']) != 1)} of {size}"
    when = manifest["created"].replace("T", " ").replace("+00:00", " UTC")
    return (
        f"{escape(manifest['kind'])} <code>{escape(manifest['input'])}</code>, with {files}, "
        f"converted {escape(when)} by {escape(manifest['written_by'])}"
    )


def size_text(size: int) -> str:
    """A size in bytes as people read it."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


def tiles(dataset: Path, manifest: dict[str, Any], gathered: Gathered, unusual: int) -> str:
    """The figures of the overview, as HTML."""
    tables, tomograms = manifest["tables"], gathered.tomograms
    shown: list[tuple[str, str, str]] = []
    if not tomograms.is_empty():
        shown.append(("Tomograms", f"{tomograms.height:,}", f"{unusual:,} with outliers"))
    for what in ("tilts", "particles"):
        if what in tables:
            each = spread(tomograms, [what]).get(what)
            shown.append((what.capitalize(), f"{tables[what]['rows']:,}", f"{_range(each)} each" if each else ""))
    if not shown:
        shown = [(name, f"{info['rows']:,}", "rows") for name, info in tables.items() if name not in ("star", "pairs")]
    of_tilts = units(manifest, "tilts")
    ends = spread(gathered.tilts, ["dose", "defocus"])
    for metric in gathered.metrics:
        if metric.key in ends:
            shown.append((metric.title, _range(ends[metric.key]), of_tilts[metric.labels[0]]))
    shown += _of_set(dataset, manifest)
    return "".join(
        f"<div><dt>{escape(title)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for title, value, more in shown
    )


def _of_set(dataset: Path, manifest: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The values that the whole set has in common, or all different ones."""
    if "tomograms" not in manifest["tables"]:
        return []
    of_tomograms = units(manifest, "tomograms")
    labels = [label for label in _OF_SET if label in of_tomograms]
    frame = scan(dataset, manifest, "tomograms").select(labels).collect() if labels else pl.DataFrame()
    numbers = spread(frame.select(pl.col(labels).cast(pl.Float64, strict=False)) if labels else frame, labels)
    return [(_OF_SET[label], _range(ends), of_tomograms[label]) for label, ends in numbers.items()]


def _range(ends: tuple[float, float]) -> str:
    low, high = (f"{end:,.0f}" if abs(end) >= 1000 or end == int(end) else f"{end:.3g}" for end in ends)
    return low if low == high else f"{low} - {high}".replace(" - ", "\N{EN DASH}")


def findings(dataset: Path, manifest: dict[str, Any]) -> list[Finding]:
    """The warnings of the conversion and what it left out."""
    found = []
    for each in manifest["warnings"]:
        files = f"{each['files']:,} file{'s' * (each['files'] != 1)}"
        found.append(
            Finding(
                "warning", f"{each['message']} [{each['code']}]", f"{each['count']:,} in {files}, first {each['first']}"
            )
        )
    if "rejects" in manifest["tables"]:
        rejects = scan(dataset, manifest, "rejects").head(_MOST_REJECTS).collect()
        for each in rejects.iter_rows(named=True):
            place = ":".join(str(part) for part in (each["file"], each["line"], each["column"]) if part)
            label = f", label {each['label']}" if each["label"] else ""
            found.append(Finding("reject", f"{each['reason']}: {each['text']}", f"{place}{label}"))
        hidden = manifest["rejects"] - rejects.height
        if hidden > 0:
            found.append(Finding("reject", f"and {hidden:,} more, in the table rejects", ""))
    return found


def findings_list(found: Sequence[Finding]) -> str:
    """Findings as HTML."""
    if not found:
        return '<p class="findings">Nothing to report: no warnings, and nothing was left out.</p>'
    items = "".join(
        f'<li><span class="kind{" error" * (each.kind != "warning")}">{escape(each.kind)}</span>{escape(each.text)}'
        f'<span class="where">{escape(each.where)}</span></li>'
        for each in found
    )
    return f'<ul class="findings">{items}</ul>'


def missing_notes(gathered: Gathered, manifest: dict[str, Any]) -> str:
    """What is not shown, and which labels it would need, as HTML."""
    there = {metric.key for metric in gathered.metrics}
    missing = [f"{metric.title} ({', '.join(metric.labels)})" for metric in METRICS if metric.key not in there]
    if "particles" not in manifest["tables"]:
        missing.append("Particles (a particle set)")
    return f'<p class="note">Not in this dataset: {escape("; ".join(missing))}.</p>' if missing else ""
