"""The words and numbers of the page that are no chart: where a dataset comes from, its figures, what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import polars as pl

from ...relion.validation import validate
from ..dataset import Dataset
from .gather import Gathered, spread
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


def made(dataset: Dataset) -> str:
    """Where a dataset comes from and when it was made, as HTML."""
    manifest, count = dataset.manifest, len(dataset.sources)
    size = size_text(sum(source.bytes for source in dataset.sources))
    files = f"{count:,} STAR file{'s' * (count != 1)} of {size}"
    when = manifest["created"].replace("T", " ").replace("+00:00", " UTC")
    return (
        f"{escape(manifest['kind'])} <code>{escape(manifest['input'])}</code>, with {files}, "
        f"converted {escape(when)} by {escape(manifest['written_by'])}"
    )


def size_text(size: int) -> str:
    """A size in bytes as people read it."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


def tiles(dataset: Dataset, gathered: Gathered, unusual: int) -> str:
    """The figures of the overview, as HTML."""
    tables, tomograms = dataset.manifest["tables"], gathered.tomograms
    shown: list[tuple[str, str, str]] = []
    if not tomograms.is_empty():
        shown.append(("Tomograms", f"{tomograms.height:,}", f"{unusual:,} with outliers"))
    for what in ("tilts", "particles"):
        if what in tables:
            each = spread(tomograms, [what]).get(what)
            shown.append((what.capitalize(), f"{tables[what]['rows']:,}", f"{_range(each)} each" if each else ""))
    if not shown:
        shown = [(name, f"{info['rows']:,}", "rows") for name, info in tables.items() if name not in ("star", "pairs")]
    of_tilts = units(dataset, "tilts")
    ends = spread(gathered.tilts, ["dose", "defocus"])
    for metric in gathered.metrics:
        if metric.key in ends:
            shown.append((metric.title, _range(ends[metric.key]), of_tilts[metric.labels[0]]))
    shown += _of_set(dataset)
    return "".join(
        f"<div><dt>{escape(title)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for title, value, more in shown
    )


def _of_set(dataset: Dataset) -> list[tuple[str, str, str]]:
    """The values that the whole set has in common, or all different ones."""
    if "tomograms" not in dataset.tables:
        return []
    there = dataset.tomograms.collect_schema().names()
    labels = [label for label in _OF_SET if label in there]
    frame = dataset.tomograms.select(pl.col(label).cast(pl.Float64, strict=False) for label in labels).collect()
    signs = units(dataset, "tomograms")
    return [(_OF_SET[label], _range(ends), signs[label]) for label, ends in spread(frame, labels).items()]


def _range(ends: tuple[float, float]) -> str:
    low, high = (f"{end:,.0f}" if abs(end) >= 1000 or end == int(end) else f"{end:.3g}" for end in ends)
    return low if low == high else f"{low} - {high}".replace(" - ", "\N{EN DASH}")


def findings(dataset: Dataset) -> list[Finding]:
    """The warnings of the conversion and what it left out."""
    found = []
    for warning in dataset.warnings:
        where = f"{warning.count:,} in {warning.files:,} file{'s' * (warning.files != 1)}, first {warning.first}"
        found.append(Finding("warning", f"{warning.message} [{warning.code}]", where))
    rejects = dataset.rejects.head(_MOST_REJECTS).collect()
    for each in rejects.iter_rows(named=True):
        place = ":".join(str(part) for part in (each["file"], each["line"], each["column"]) if part)
        label = f", label {each['label']}" if each["label"] else ""
        found.append(Finding("reject", f"{each['reason']}: {each['text']}", f"{place}{label}"))
    hidden = dataset.manifest["rejects"] - rejects.height
    if hidden > 0:
        found.append(Finding("reject", f"and {hidden:,} more, in the table rejects", ""))
    return found


def project_findings(dataset: Dataset) -> list[Finding]:
    """What `validate` finds in the STAR files of a dataset, as they are now.

    Raises
    ------
    MissingFileError
        They, or the project directory, are no longer there.
    """
    manifests = [dataset.project(name).manifest for name in dataset.projects] or [dataset.manifest]
    return [
        Finding(
            each.severity,
            f"{each.message} [{each.code}]",
            f"{each.count:,}, first {each.place}" + (f"; to do: {each.remedy}" if each.remedy else ""),
        )
        for manifest in manifests
        for each in validate(manifest["input"], project=manifest["project"]).findings
    ]


def findings_list(found: Sequence[Finding]) -> str:
    """Findings as HTML."""
    if not found:
        return '<p class="findings">Nothing to report: no warnings, and nothing was left out.</p>'
    items = "".join(
        f'<li><span class="kind{" error" * (each.kind in ("error", "reject"))}">{escape(each.kind)}</span>'
        f"{escape(each.text)}"
        f'<span class="where">{escape(each.where)}</span></li>'
        for each in found
    )
    return f'<ul class="findings">{items}</ul>'


def missing_notes(dataset: Dataset, gathered: Gathered) -> str:
    """What is not shown, and which labels it would need, as HTML."""
    there = {metric.key for metric in gathered.metrics}
    missing = [f"{metric.title} ({', '.join(metric.labels)})" for metric in METRICS if metric.key not in there]
    if "particles" not in dataset.tables:
        missing.append("Particles (a particle set)")
    return f'<p class="note">Not in this dataset: {escape("; ".join(missing))}.</p>' if missing else ""
