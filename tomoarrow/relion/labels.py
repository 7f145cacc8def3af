"""The label table: type, unit and meaning of every label that RELION 5 knows.

The types are those of RELION's dictionary (``src/metadata_label.h``); units and meanings follow its programs.
The table is ``labels.csv`` beside this file. Three types of string are told apart: a ``name`` repeats over many
rows, a ``path`` names a file, any other is a ``string``.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import cast

from ..star.columns import Label, LabelType


def _load() -> Mapping[str, Label]:
    table = (resources.files(__package__) / "labels.csv").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            row["label"]: Label(row["label"], cast(LabelType, row["type"]), row["unit"], row["description"])
            for row in csv.DictReader(table.splitlines())
        }
    )


#: Every label by its name, without the underscore.
LABELS: Mapping[str, Label] = _load()
