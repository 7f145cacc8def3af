"""The files that are read: always the same, in the layout that RELION itself writes.

A file that is there is not made again, so a folder can serve several runs. ``python -m benchmarks.data FIFO HEAD ROWS
TIMES`` writes a particles file of any length into a pipe.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import cycle
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from tomoarrow import write_star
from tomoarrow.example import Example, make_project, relion_doubles

TILTS = 41
#: Particles lie in their tomograms in this many runs of equal length.
_TOMOGRAMS = 300

_OPTICS = {
    "rlnVoltage": [300.0],
    "rlnSphericalAberration": [2.7],
    "rlnAmplitudeContrast": [0.1],
    "rlnTomoTiltSeriesPixelSize": [1.35],
    "rlnOpticsGroup": [1],
    "rlnOpticsGroupName": ["optics1"],
    "rlnCtfDataAreCtfPremultiplied": [True],
    "rlnImageDimensionality": [2],
    "rlnTomoSubtomogramBinning": [1.0],
    "rlnImagePixelSize": [1.35],
    "rlnImageSize": [192],
}

#: The order of a refined particles.star of RELION 5.
PARTICLE_LABELS = (
    *("rlnTomoName", "rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi"),
    *("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnAngleTiltPrior", "rlnAnglePsiPrior"),
    *("rlnOpticsGroup", "rlnTomoParticleName", "rlnTomoVisibleFrames", "rlnImageName", "rlnCtfImage"),
    *("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"),
    *("rlnOriginXPriorAngst", "rlnOriginYPriorAngst", "rlnOriginZPriorAngst"),
    *("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst"),
    *("rlnGroupNumber", "rlnClassNumber", "rlnNormCorrection", "rlnRandomSubset", "rlnLogLikeliContribution"),
    *("rlnMaxValueProbDistribution", "rlnNrOfSignificantSamples"),
)
MOTION_LABELS = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")


def _once(make: Callable[..., None]) -> Callable[..., Path]:
    """Make the file of the first argument where it is not there; a run that was cut short leaves none."""

    @wraps(make)
    def made(path: Path, *args: object) -> Path:
        if not path.exists():
            unfinished = path.with_name(f"unfinished-{path.name}")
            make(unfinished, *args)
            unfinished.rename(path)
        return path

    return made


def project(folder: Path, tomograms: int) -> Example:
    """A project as its reconstruction job leaves it: 15 columns a tomogram, 28 a tilt image."""
    directory = folder / f"project-{tomograms}"
    if not (directory / "made").exists():
        shutil.rmtree(directory, ignore_errors=True)
        make_project(directory, tomograms=tomograms, tilts=TILTS)
        (directory / "made").touch()
    return Example(directory, directory / "Tomograms/job006/tomograms.star", tomograms, TILTS * tomograms)


def particle_table(rows: int) -> pa.Table:
    """A table like a refined particles.star: 20 columns of floats, 5 of integers, 4 of text, and the visible frames."""
    rng = np.random.default_rng(1)
    number = np.arange(1, rows + 1)
    tomogram = np.char.mod("TS_%03d", 1 + np.arange(rows) * _TOMOGRAMS // max(rows, 1))
    particle = np.char.add(np.char.add(tomogram, "/"), number.astype(str))
    columns: dict[str, object] = {"rlnTomoName": tomogram, "rlnTomoParticleName": particle}
    stem = np.char.add("Extract/job020/Subtomograms/", particle)
    columns["rlnImageName"] = np.char.add(stem, "_stack2d.mrcs")
    columns["rlnCtfImage"] = np.char.add(stem, "_weights.mrc")
    columns["rlnTomoVisibleFrames"] = _visible_frames(rows, rng)
    for label in ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramPsi", "rlnAngleRot", "rlnAnglePsi"):
        columns[label] = rng.uniform(-180, 180, rows)
    for label in ("rlnTomoSubtomogramTilt", "rlnAngleTilt"):
        columns[label] = np.degrees(np.arccos(rng.uniform(-1, 1, rows)))
    columns |= {"rlnAngleTiltPrior": np.full(rows, 90.0), "rlnAnglePsiPrior": np.zeros(rows)}
    for axis in "XYZ":
        columns[f"rlnOrigin{axis}Angst"] = rng.normal(0, 3, rows)
        columns[f"rlnOrigin{axis}PriorAngst"] = np.zeros(rows)
        columns[f"rlnCenteredCoordinate{axis}Angst"] = rng.uniform(-2700, 2700, rows)
    columns |= {"rlnNormCorrection": rng.normal(1, 0.05, rows), "rlnOpticsGroup": np.ones(rows, np.int64)}
    columns["rlnLogLikeliContribution"] = rng.normal(1.9e6, 1e3, rows)
    columns["rlnMaxValueProbDistribution"] = rng.gamma(2, 0.02, rows)
    columns["rlnGroupNumber"] = 1 + np.arange(rows) * _TOMOGRAMS // max(rows, 1)
    columns |= {"rlnClassNumber": rng.integers(1, 4, rows), "rlnRandomSubset": 1 + number % 2}
    columns["rlnNrOfSignificantSamples"] = rng.integers(1, 400, rows)
    return pa.table({label: columns[label] for label in PARTICLE_LABELS})


def _visible_frames(rows: int, rng: np.random.Generator) -> pa.Array:
    """Which tilts show a particle: a window of the tilt series, a little different for each."""
    begin, end = rng.integers(0, 7, rows), rng.integers(35, TILTS + 1, rows)
    tilt = np.arange(TILTS)
    visible = (tilt >= begin[:, None]) & (tilt < end[:, None])
    offsets = np.arange(rows + 1, dtype=np.int32) * TILTS
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(visible.astype(np.int64).ravel()))


@_once
def particles_star(path: Path, rows: int) -> None:
    """particles.star as RELION 5 writes it."""
    _write_particles(path, particle_table(rows))


@_once
def shuffled_star(path: Path, rows: int) -> None:
    """The same with its columns in another order."""
    order = np.random.default_rng(2).permutation(len(PARTICLE_LABELS))
    _write_particles(path, particle_table(rows).select([PARTICLE_LABELS[i] for i in order]))


def _write_particles(path: Path, table: pa.Table) -> None:
    blocks = {"general": {"rlnTomoSubTomosAre2DStacks": True}, "optics": pa.table(_OPTICS), "particles": table}
    write_star(blocks, path)


@_once
def particles_csv(path: Path, star: Path) -> None:
    """The particles as CSV: the same digits, without the padding."""
    frames = PARTICLE_LABELS.index("rlnTomoVisibleFrames")
    with star.open("rb") as source, path.open("wb") as target:
        split_head(source)
        target.write(",".join(PARTICLE_LABELS).encode() + b"\n")
        for cells in _rows(source):
            cells[frames] = b'"' + cells[frames] + b'"'
            target.write(b",".join(cells) + b"\n")


@_once
def by_hand_star(path: Path, star: Path) -> None:
    """The particles as no program writes them: tabs, ragged blanks, no padding, labels without numbers."""
    gaps = cycle((b"\t", b" ", b"   ", b" \t", b"  "))
    with star.open("rb") as source, path.open("wb") as target:
        target.write(b"data_particles\nloop_\n")
        target.writelines(b"_%s\n" % label.encode() for label in PARTICLE_LABELS)
        split_head(source)
        for number, cells in enumerate(_rows(source)):
            target.write(b" " * (number % 3) + next(gaps).join(cells) + b"\n")


def split_head(source: BinaryIO) -> bytes:
    """Read what stands before the first row of the particles."""
    head = []
    for line in source:
        head.append(line)
        if line.startswith(f"_{PARTICLE_LABELS[-1]} ".encode()):
            break
    return b"".join(head)


def _rows(source: BinaryIO) -> Iterator[list[bytes]]:
    for line in source:
        if cells := line.split():
            yield cells


@_once
def motion_star(path: Path, blocks: int) -> None:
    """motion.star: how each particle moves, one block a particle and one row a tilt."""
    rng = np.random.default_rng(3)
    labels = "".join(f"_{label} #{number} \n" for number, label in enumerate(MOTION_LABELS, 1))
    write_star({"general": {"rlnParticleNumber": blocks}}, path)
    with path.open("a", encoding="ascii") as target:
        for block in range(blocks):
            shifts = np.cumsum(rng.normal(0, 0.4, (TILTS, 3)), axis=0)
            texts = relion_doubles(shifts.ravel())
            rows = "".join(f"{x} {y} {z} \n" for x, y, z in zip(*[iter(texts)] * 3, strict=True))
            name = f"TS_{1 + block * _TOMOGRAMS // blocks:03d}/{block + 1}"
            target.write(f"\n# version 50001\n\ndata_{name}\n\nloop_ \n{labels}{rows} \n")


def split_particles(star: Path) -> tuple[Path, Path]:
    """The head of a particles file, and its rows, as two files."""
    head, rows = star.with_suffix(".head"), star.with_suffix(".rows")
    with star.open("rb") as source, rows.open("wb") as target:
        head.write_bytes(split_head(source))
        target.writelines(line for line in source if line.strip())
    return head, rows


def feed(pipe: Path, head: Path, rows: Path, times: int) -> None:
    """Write a particles file into a pipe, its rows so many times over."""
    text = rows.read_bytes()
    with pipe.open("wb", buffering=0) as target:
        target.write(head.read_bytes())
        for _ in range(times):
            left = memoryview(text)
            while left:
                left = left[target.write(left) :]


if __name__ == "__main__":
    feed(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
