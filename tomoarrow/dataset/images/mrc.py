"""The size of images and volumes, which stands in no STAR file but in the headers of MRC files only.

The library `mrcfile` reads them; it is imported when first needed, and comes with ``pip install tomoarrow[mrc]``.
"""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import MissingFileError, Place, SchemaError, UsageError

if TYPE_CHECKING:
    from mrcfile.mrcinterpreter import MrcInterpreter

#: The header, and where in it the length of an extended header stands (MRC2014: word 24).
_HEADER_BYTES, _NSYMBT = 1024, 92

#: What RELION puts before the name of a file: the number of an image in a stack, from 1.
_IMAGE_NUMBER = re.compile(r"^\d+@")

#: What it puts behind: the format to read it as, where that is not what its name says.
_FORMAT = re.compile(r":[A-Za-z]+$")


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """What the header of an MRC file says.

    Attributes
    ----------
    size : tuple of int
        Columns, rows and sections: (x, y, z) in pixels; a stack has its images in z.
    voxel_size_angst : tuple of float
        Along x, y and z; 0 where the header does not say.
    """

    size: tuple[int, int, int]
    voxel_size_angst: tuple[float, float, float]


def file_of_image(name: str) -> str:
    """The path in a name of RELION's, such as ``12@stack.mrcs`` or ``power.ctf:mrc``.

    ``src/filename.cpp``: FileName::decompose, removeFileFormat.
    """
    return _FORMAT.sub("", _IMAGE_NUMBER.sub("", name))


def read_mrc_header(name: str | os.PathLike[str], directory: str | os.PathLike[str] = "") -> MrcHeader:
    """Read the header of an image, a stack or a volume, and no more.

    Parameters
    ----------
    name : str or path
        As a STAR file has it: with the number of an image in front and a format behind, where these are.
    directory : str or path, optional
        What it is relative to: the project.

    Raises
    ------
    MissingFileError
        The file is not there, or cannot be read.
    SchemaError
        It is no MRC file.
    UsageError
        `mrcfile` is not installed.
    """
    path = os.path.join(directory, file_of_image(os.fspath(name)))
    interpreter = _interpreter()
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            # To open a pipe would wait for somebody to write to it.
            raise _no_mrc(path, "no regular file")
        with open(path, "rb", buffering=0) as file:
            head = file.read(_HEADER_BYTES)
        # An extended header may be as long as the header says, and is not needed.
        head = head[:_NSYMBT] + bytes(4) + head[_NSYMBT + 4 :] if len(head) == _HEADER_BYTES else head
        # A header may be at odds with the data, or with the standard; only that it is none is a fault here.
        with warnings.catch_warnings(action="ignore"):
            return _said(interpreter(io.BytesIO(head), permissive=True, header_only=True), path)
    except OSError as error:
        raise MissingFileError(
            f"an image cannot be read: {error.strerror or error}",
            place=Place(path, text=os.fspath(name)),
            expected="an MRC file, whose header has the size of the image",
        ) from error
    except ValueError as error:
        raise _no_mrc(path, str(error)) from error


def _interpreter() -> Any:
    try:
        from mrcfile.mrcinterpreter import MrcInterpreter  # noqa: PLC0415  (an optional library)
    except ImportError as error:
        raise UsageError(
            "the headers of MRC files can be read only with the library mrcfile",
            remedy="pip install 'tomoarrow[mrc]', or say the size of the images",
        ) from error
    return MrcInterpreter


def _said(file: MrcInterpreter, path: str) -> MrcHeader:
    header = file.header
    if header is None or bytes(header.map)[:3] != b"MAP":
        raise _no_mrc(path, "no 'MAP' in its header")
    size = (int(header.nx), int(header.ny), int(header.nz))
    if min(size) < 1:
        raise _no_mrc(path, f"a size of {size[0]} x {size[1]} x {size[2]}")
    voxel = file.voxel_size
    return MrcHeader(size, (float(voxel.x), float(voxel.y), float(voxel.z)))


def _no_mrc(path: str, problem: str) -> SchemaError:
    return SchemaError(
        f"not an MRC file: {problem}", place=Place(path), expected="an image, a stack or a volume in MRC"
    )
