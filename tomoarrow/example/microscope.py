"""What all tilt series of a made-up project have in common."""

from __future__ import annotations

VOLTAGE_KV = 300.0
SPHERICAL_ABERRATION_MM = 2.7
AMPLITUDE_CONTRAST = 0.1
PIXEL_SIZE_ANGST = 1.35

#: Of a tilt image, which no STAR file tells.
IMAGE_SIZE_PX = (3838, 3710)
TOMOGRAM_SIZE_PX = (4000, 4000, 2000)


def optics_group(number: int) -> int:
    """The optics group, from 1, of the tomogram at a place, from 0: two take turns."""
    return 1 + number % 2


def optics_name(group: int) -> str:
    """The name of an optics group."""
    return f"optics{group}"
