"""Where the files of a project go, below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DatasetError


def inside(path: str | None) -> Path:
    """A path of the project made relative, without what leads out.

    Raises
    ------
    DatasetError
        Nothing is left, or it cannot be a path.
    """
    parts = [part for part in os.path.normpath(path or "").split("/") if part not in ("", ".", "..")]
    if not parts or "\0" in str(path):
        raise DatasetError(f"{path!r} is no path of a file", remedy="correct it in the table tomograms")
    return Path(*parts)
