"""What a conversion put into a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ..versions.manifest import TableInfo

#: Called with how many tomograms or files are done, and how many there are.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Contents:
    """The tables of a dataset, and where they came from.

    Attributes
    ----------
    kind : str
        What was converted: see `tomoarrow.relion.kinds`; a tomogram set of RELION 4 is a "tomogram set" here.
    project : Path
        The directory to which the paths of the files are relative.
    project_how : str
        How it was found.
    tables : dict
    sources : pyarrow.Table
        The rows of ``sources/``.
    missing : int
        How many tilt-series files are not there.
    series : sequence of str
        The paths of those that are.
    changed : sequence of str
        The paths of files that have changed while they were read.
    """

    kind: str
    project: Path
    project_how: str
    tables: dict[str, TableInfo]
    sources: pa.Table
    missing: int = 0
    series: Sequence[str] = ()
    changed: Sequence[str] = ()
