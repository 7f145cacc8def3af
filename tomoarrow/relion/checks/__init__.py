"""What makes a project valid: a list of checks, each one small function."""

from __future__ import annotations

from . import files, optics, particles, reading, row_order, tilts, tomograms, trajectories
from .finding import Check

#: All checks, in the order in which they run.
CHECKS: tuple[Check, ...] = (
    *reading.CHECKS,
    *tomograms.CHECKS,
    *tilts.CHECKS,
    *row_order.CHECKS,
    *particles.CHECKS,
    *optics.CHECKS,
    *trajectories.CHECKS,
    *files.CHECKS,
)
