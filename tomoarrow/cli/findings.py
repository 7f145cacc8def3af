"""What `validate` prints: a table for people, or lines, JSON or SARIF for machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from rich.table import Table
from rich.text import Text

from .._version import __version__
from ..errors import counted
from .console import new_console
from .show import held

if TYPE_CHECKING:
    from ..relion.checks.finding import Check, Finding
    from ..relion.validation import ValidationReport

Format = Literal["table", "json", "sarif", "lines"]

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def show_findings(report: ValidationReport, form: Format, checks: tuple[Check, ...]) -> None:
    """Print what a validation found."""
    if form == "json":
        print(json.dumps(report.to_dict(), allow_nan=False))
    elif form == "sarif":
        print(json.dumps(sarif(report, checks), indent=2, allow_nan=False))
    elif form == "lines":
        for finding in report.findings:
            print(line_of(finding))
    else:
        _show_table(report)


def line_of(finding: Finding) -> str:
    """A finding as compilers tell of theirs: ``path:line:column: severity code message``."""
    place = finding.place
    where = f"{place.path}:{place.line or 1}:{place.column or 1}"
    return f"{where}: {finding.severity} {finding.code} {_message(finding)}"


def _message(finding: Finding) -> str:
    times = f" [{finding.count} in all]" if finding.count > 1 else ""
    return " ".join(f"{finding.message}{times}".split())


def sarif(report: ValidationReport, checks: tuple[Check, ...]) -> dict[str, Any]:
    """A report as SARIF 2.1.0: one run, a rule for each check, a result for each finding."""
    rules = [
        {
            "id": check.code,
            "shortDescription": {"text": check.looks_for},
            "help": {"text": check.remedy},
            "defaultConfiguration": {"level": check.severity},
        }
        for check in checks
    ]
    driver = {"name": "tomoarrow", "version": __version__, "rules": rules}
    codes = [check.code for check in checks]
    base = {"PROJECT": {"uri": f"file://{quote(report.project)}/"}}
    results = [_result(finding, codes.index(finding.code)) for finding in report.findings]
    run = {"tool": {"driver": driver}, "originalUriBaseIds": base, "columnKind": "unicodeCodePoints"}
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run | {"results": results}]}


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    place = finding.place
    location: dict[str, Any] = {"artifactLocation": {"uri": quote(place.path)}}
    if not place.path.startswith("/"):
        location["artifactLocation"]["uriBaseId"] = "PROJECT"
    if place.line:
        location["region"] = {"startLine": place.line} | ({"startColumn": place.column} if place.column else {})
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": f"{finding.message}. To do: {finding.remedy}"},
        "locations": [{"physicalLocation": location}],
        "properties": {"count": finding.count},
    }


def _show_table(report: ValidationReport) -> None:
    for each in report.sets:
        holds = held(each.counts)
        print(f"{each.path}: {each.kind}{f' of {holds}' if holds else ''}")
    print(f"project directory: {report.project}")
    if report.findings:
        table = Table(show_lines=True)
        table.add_column("", no_wrap=True)
        table.add_column("what, and where", overflow="fold", ratio=3)
        table.add_column("what to do", overflow="fold", ratio=2)
        for finding in report.findings:
            severity = Text(finding.severity, style=_COLOURS[finding.severity])
            what = Text(finding.message).append(f"\n{finding.place}\n", style="dim").append(finding.code, style="dim")
            table.add_row(severity, what, Text(finding.remedy))
        new_console().print(table)
    counts = ", ".join(counted(n, severity) for severity, n in report.counts.items())
    print(f"{report.checks} checks in {report.seconds:.2f} s: {counts}")


def show_checks(checks: tuple[Check, ...], form: Format) -> None:
    """Print all that is looked for."""
    if form == "json":
        listed = [
            {"code": c.code, "severity": c.severity, "looks_for": c.looks_for, "remedy": c.remedy} for c in checks
        ]
        print(json.dumps(listed))
    elif form == "table":
        table = Table()
        for heading in ("code", "severity", "looks for"):
            table.add_column(heading, no_wrap=heading != "looks for")
        for check in checks:
            table.add_row(check.code, Text(check.severity, style=_COLOURS[check.severity]), Text(check.looks_for))
        new_console().print(table)
    else:
        for check in checks:
            print(f"{check.code}: {check.severity}: {check.looks_for}")
