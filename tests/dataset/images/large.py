"""A dataset of any number of particles, written without the STAR files that it would come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from tomoarrow.dataset.layout import ROW_GROUP_ROWS, PartWriter
from tomoarrow.dataset.versions.manifest import Manifest, TableInfo, column_infos, write_manifest

PIXEL, SIZE = 1.35, (4000, 4001, 2000)
_ANGLES = ["rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnTomoYShiftAngst"]
_TILT = ["rlnMicrographPreExposure", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", *_ANGLES]
_ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"]
_COORDINATES = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
_EULER = [f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi")]


def write_large(folder: Path, *, n_tomograms: int, n_particles: int, n_tilts: int) -> Path:
    """Write a dataset of so many tomograms, particles of each, and tilts of each."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    names = [f"TS_{i:04d}" for i in range(n_tomograms)]
    tomograms = _tomograms(names)
    particles = (_particles(name, n_particles, n_tilts, rng) for name in names)
    trajectories = (_trajectories(name, n_particles, n_tilts, rng) for name in names)
    tables = {
        "tilts": _write(folder / "tilts", [_tilts(names, n_tilts, rng)], "tilt_series", _TILT),
        "tomograms": _write(folder / "tomograms", [tomograms], "global", tomograms.column_names),
        "particles": _write(folder / "particles", particles, "optics", ["rlnTomoTiltSeriesPixelSize"]),
        "trajectories": _write(folder / "trajectories", trajectories, "trajectories", _ORIGINS),
    }
    write_manifest(Manifest("test", "", "optimisation set", "set.star", str(folder), tables, []), folder)
    return folder


def _repeated(names: Sequence[str], times: int) -> pa.Array:
    codes = np.repeat(np.arange(len(names), dtype=np.int32), times)
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names))


def _tilts(names: Sequence[str], n_tilts: int, rng: np.random.Generator) -> pa.Table:
    n = len(names) * n_tilts
    values = [*rng.uniform(100, 200, (4, n)), np.tile(np.linspace(-60, 60, n_tilts), len(names))]
    values += [*rng.uniform(0, 50, (3, n))]
    index = np.tile(np.arange(n_tilts, dtype=np.int32), len(names))
    keys = {"rlnTomoName": _repeated(names, n_tilts), "tilt_index": index}
    return pa.table(keys | dict(zip(_TILT, values, strict=True)))


def _tomograms(names: Sequence[str]) -> pa.Table:
    numbers = {"rlnTomoHand": -1.0, "rlnTomoTiltSeriesPixelSize": PIXEL}
    numbers |= {f"rlnTomoSize{axis}": side for axis, side in zip("XYZ", SIZE, strict=True)}
    filled = {label: np.full(len(names), value) for label, value in numbers.items()}
    return pa.table({"rlnTomoName": _repeated(names, 1), **filled})


def _particles(tomogram: str, n: int, n_tilts: int, rng: np.random.Generator) -> pa.Table:
    visible = pa.array(np.ones(n * n_tilts, np.int64))
    offsets = np.arange(0, len(visible) + 1, n_tilts, dtype=np.int32)
    labels = [*_COORDINATES, *_ORIGINS, *_EULER]
    return pa.table(
        {
            "rlnTomoName": _repeated([tomogram], n),
            "rlnTomoParticleName": [f"{tomogram}/{i}" for i in range(1, n + 1)],
            "rlnTomoVisibleFrames": pa.ListArray.from_arrays(offsets, visible),
            **dict(zip(labels, rng.normal(0, 100, (len(labels), n)), strict=True)),
            "rlnTomoTiltSeriesPixelSize": np.full(n, PIXEL),
        }
    )


def _trajectories(tomogram: str, n: int, n_tilts: int, rng: np.random.Generator) -> pa.Table:
    owners = pa.array([f"{tomogram}/{i}" for i in range(1, n + 1)])
    return pa.table(
        {
            "rlnTomoName": _repeated([tomogram], n * n_tilts),
            "rlnTomoParticleName": owners.take(pa.array(np.repeat(np.arange(n), n_tilts))),
            "tilt_index": np.tile(np.arange(n_tilts, dtype=np.int32), n),
            **dict(zip(_ORIGINS, rng.normal(0, 5, (3, n * n_tilts)).round(6), strict=True)),
        }
    )


def _write(folder: Path, pieces: Iterable[pa.Table], origin: str, labels: Sequence[str]) -> TableInfo:
    pieces = iter(pieces)
    first = next(pieces)
    n_rows = 0
    with PartWriter(folder, folder.parent, first.schema) as writer:
        for piece in chain([first], pieces):
            n_rows += piece.num_rows
            for begin in range(0, piece.num_rows, ROW_GROUP_ROWS):
                writer.write_group(piece.slice(begin, ROW_GROUP_ROWS))
    return TableInfo(n_rows, column_infos(first.schema, {label: f"{origin}/{label}" for label in labels}), writer.parts)
