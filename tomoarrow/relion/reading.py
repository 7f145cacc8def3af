"""`read_star` and `read_table` with RELION's label table: what users call."""

from __future__ import annotations

import functools

from ..star import reader
from .labels import LABELS

read_star = functools.wraps(reader.read_star)(functools.partial(reader.read_star, labels=LABELS))
read_table = functools.wraps(reader.read_table)(functools.partial(reader.read_table, labels=LABELS))
