"""A dataset of any number of particles, written without the STAR files that it would come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from tomoarrow.dataset.layout import ROW_GROUP_ROWS, PartWriter
from tomoarrow.dataset.manifest import Manifest, TableInfo, column_infos, write_manifest

PIXEL, SIZE = 1.35, (4000, 4001, 2000)
_ANGLES = ["rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnTomoYShiftAngst"]
_TILT = ["rlnMicrographPreExposure", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", *_ANGLES]
_ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"]
_COORDINATES = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
_EULER = [f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi")]


def write_large(folder: Path, *, n_tomograms: int, n_particles: int, n_tilts: int) -> Path:
    """Write a dataset of so many tomograms, particles of each, and tilts of each."""
    rng = np.random.default_rng(1)
    names = pa.array([f"TS_{i:04d}" for i in range(n_tomograms)])

    def named(numbers: np.ndarray) -> pa.Array:  # type: ignore[type-arg]
        return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), names)

    def tilts() -> pa.Table:
        n = n_tomograms * n_tilts
        values = [np.tile(np.linspace(-60, 60, n_tilts), n_tomograms), *rng.uniform(0, 50, (3, n))]
        return pa.table(
            {
                "rlnTomoName": named(np.repeat(np.arange(n_tomograms), n_tilts)),
                "tilt_index": np.tile(np.arange(n_tilts, dtype=np.int32), n_tomograms),
                **dict(zip(_TILT, [*rng.uniform(100, 200, (4, n)), *values], strict=True)),
            }
        )

    def tomograms() -> pa.Table:
        sizes = {f"rlnTomoSize{axis}": np.full(n_tomograms, side) for axis, side in zip("XYZ", SIZE, strict=True)}
        numbers = {"rlnTomoHand": -1.0, "rlnTomoTiltSeriesPixelSize": PIXEL}
        filled = {label: np.full(n_tomograms, value) for label, value in numbers.items()}
        return pa.table({"rlnTomoName": named(np.arange(n_tomograms)), **filled, **sizes})

    def particles_of(tomogram: int) -> pa.Table:
        visible = pa.array(np.ones(n_particles * n_tilts, np.int64))
        offsets = np.arange(0, len(visible) + 1, n_tilts, dtype=np.int32)
        labels = [*_COORDINATES, *_ORIGINS, *_EULER]
        return pa.table(
            {
                "rlnTomoName": named(np.full(n_particles, tomogram)),
                "rlnTomoParticleName": [f"{names[tomogram]}/{i}" for i in range(1, n_particles + 1)],
                "rlnTomoVisibleFrames": pa.ListArray.from_arrays(offsets, visible),
                **dict(zip(labels, rng.normal(0, 100, (len(labels), n_particles)), strict=True)),
                "rlnTomoTiltSeriesPixelSize": np.full(n_particles, PIXEL),
            }
        )

    def trajectories_of(tomogram: int) -> pa.Table:
        owners = pa.array([f"{names[tomogram]}/{i}" for i in range(1, n_particles + 1)])
        n = n_particles * n_tilts
        return pa.table(
            {
                "rlnTomoName": named(np.full(n, tomogram)),
                "rlnTomoParticleName": owners.take(pa.array(np.repeat(np.arange(n_particles), n_tilts))),
                "tilt_index": np.tile(np.arange(n_tilts, dtype=np.int32), n_particles),
                **dict(zip(_ORIGINS, rng.normal(0, 5, (3, n)).round(6), strict=True)),
            }
        )

    folder.mkdir()
    every = range(n_tomograms)
    tables = {
        "tilts": _write(folder / "tilts", [tilts()], "tilt_series", _TILT),
        "tomograms": _write(folder / "tomograms", [tomograms()], "global", tomograms().column_names),
        "particles": _write(folder / "particles", map(particles_of, every), "optics", ["rlnTomoTiltSeriesPixelSize"]),
        "trajectories": _write(folder / "trajectories", map(trajectories_of, every), "trajectories", _ORIGINS),
    }
    write_manifest(Manifest("test", "", "optimisation set", "set.star", str(folder), tables, []), folder)
    return folder


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
