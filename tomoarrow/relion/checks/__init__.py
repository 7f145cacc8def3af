"""What makes a project valid: a list of checks, each one small function."""

from __future__ import annotations

from . import reading, tomograms
from .finding import Check

#: All checks, in the order in which they run.
CHECKS: tuple[Check, ...] = (*reading.CHECKS, *tomograms.CHECKS)
