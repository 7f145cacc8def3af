"""`write_star` with RELION's label table: what users call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..star import writer
from ..star.columns import Label
from ..star.named import StyleName
from ..star.sink import Target
from ..star.threads import cores
from ..star.writer import WriteReport
from .labels import LABELS


def write_star(
    content: Any,
    target: Target,
    *,
    style: StyleName | None = None,
    labels: Mapping[str, Label] = LABELS,
    threads: int | None = None,
) -> WriteReport:
    """Write a STAR file, with RELION's label table."""
    return writer.write_star(
        content, target, style=style, labels=labels, threads=cores() if threads is None else threads
    )


write_star.__doc__ = writer.write_star.__doc__
