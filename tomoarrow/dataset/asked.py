"""What was asked of a conversion: the options that decide what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import check_choice
from ..relion.labels import LABELS
from ..star.tables import OnBadValue, Options

OnMissing = Literal["error", "skip"]

OnBadFile = Literal["error", "skip"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The options that a manifest and a plan keep: see `tomoarrow.convert`.

    Attributes
    ----------
    missing, on_bad_file : "error" or "skip"
    on_bad_value : "error" or "null"
    partition_by : str or None
        A label of the global table.
    allow_outside : bool
        Whether files may be read that lie outside of the project.

    Raises
    ------
    UsageError
        An option has no such value.
    """

    missing: OnMissing = "error"
    on_bad_value: OnBadValue = "error"
    on_bad_file: OnBadFile = "error"
    partition_by: str | None = None
    allow_outside: bool = False

    def __post_init__(self) -> None:
        check_choice("missing", self.missing, get_args(OnMissing))
        check_choice("on_bad_value", self.on_bad_value, get_args(OnBadValue))
        check_choice("on_bad_file", self.on_bad_file, get_args(OnBadFile))

    @property
    def options(self) -> Options:
        """How values are read."""
        return Options(LABELS, {}, self.on_bad_value)
