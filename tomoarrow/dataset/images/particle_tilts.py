"""Particles times tilts: where each particle is in each image that shows it, worked out as the rows are asked for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from polars.io.plugins import register_io_source

from ...errors import Place, SchemaError
from ...relion.geometry import Floats, affine, centre_px, euler_rotations, particle_positions
from ...relion.particle_set import PARTICLE_NAME, VISIBLE_FRAMES
from ...relion.tomogram_set import NAME
from ..layout import TILT_INDEX
from ..reading.scanning import scan_files
from ..reading.stored import Stored
from .deformations import bend
from .shifts import Shifts, find_shifts
from .tilt_images import OF_TILT, ImageSize, Ints, TiltImages, read_tilt_images

PARTICLE_INDEX = "particle_index"

_CENTRED = ("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst")
_DECENTRED = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
_ORIGIN = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
_EULER = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
_PIXEL_SIZE = "rlnTomoTiltSeriesPixelSize"

_PLACES = ("x_px", "y_px")
_CENTRED_PLACES = ("x_centred_px", "y_centred_px")
_DEPTH = "depth_angst"
_DEFOCUS = {"defocus_u_angst": "rlnDefocusU", "defocus_v_angst": "rlnDefocusV"}
_SHIFTS = ("shift_x_angst", "shift_y_angst", "shift_z_angst")

#: About so many rows are worked out together: more gain nothing, and cost memory.
_ROWS_AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True)
class ParticleTable:
    """The particles of a dataset.

    Attributes
    ----------
    stored : Stored
    columns : frozenset of str
        Those of the particles that count here; a particle's label is the name of its column.
    pixel_size : str or None
        The column with the pixel size of the optics group.
    """

    stored: Stored
    columns: frozenset[str]
    pixel_size: str | None

    def has(self, labels: Collection[str]) -> bool:
        """Whether there is a column for each of some labels."""
        return self.columns.issuperset(labels)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some particles, and a row for each tilt that shows one.

    Attributes
    ----------
    batch : pyarrow.RecordBatch
        The particles.
    first : int
        The row of the first in the dataset.
    tomogram : int64[particles]
        Its number in the tilt images.
    particle : int64[rows]
        Its number in the batch.
    tilt_index : int32[rows]
        The position in the tilt series.
    tilt : int64[rows]
        The number of the tilt image.
    """

    batch: pa.RecordBatch
    first: int
    tomogram: Ints
    particle: Ints
    tilt_index: Ints
    tilt: Ints


def scan_particle_tilts(
    *,
    tilts: Stored,
    tomograms: Stored,
    particles: Stored,
    trajectories: Stored | None,
    image_size: ImageSize | None,
    project: Path,
    allow_outside: bool,
) -> pl.LazyFrame:
    """Scan what `Dataset.particle_tilts` describes."""
    images = read_tilt_images(tilts, tomograms, image_size, project, allow_outside=allow_outside)
    table = _particle_table(particles)
    schema = _schema(table, images)

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = list(schema) if columns is None else columns
        needs_shifts = trajectories is not None and {*wanted} & {*_SHIFTS, *_PLACES, *_CENTRED_PLACES}
        shifts = find_shifts(trajectories, _names(table)) if needs_shifts and trajectories is not None else None
        left = n_rows
        for piece in _pieces(table, images, wanted):
            frame = _frame(piece, wanted, table, images, shifts, schema)
            if left is not None:
                frame = frame.head(left)
                left -= frame.height
            yield frame if predicate is None else frame.filter(predicate)
            if left == 0:
                return

    return register_io_source(frames, schema=schema, is_pure=True)


def _particle_table(particles: Stored) -> ParticleTable:
    own = {label: column for column, label in particles.labels("particles").items()}
    of_optics = {label: column for column, label in particles.labels("optics").items()}
    wanted = {NAME, PARTICLE_NAME, VISIBLE_FRAMES, *_CENTRED, *_DECENTRED, *_ORIGIN, *_EULER} & {*own}
    table = ParticleTable(particles, frozenset(wanted), of_optics.get(_PIXEL_SIZE))
    if not table.has([NAME]) or not (table.has(_CENTRED) or table.has(_DECENTRED)):
        raise SchemaError(
            "the particles have no tomogram, or no coordinates",
            place=Place(os.fspath(particles.folder)),
            expected=f"{NAME}, and {', '.join(_CENTRED)} or {', '.join(_DECENTRED)}",
        )
    return table


def _schema(table: ParticleTable, images: TiltImages) -> pl.Schema:
    file = scan_files(table.stored.files[:1], table.stored.described).collect_schema()
    columns: dict[str, pl.DataType] = {NAME: file[NAME], PARTICLE_INDEX: pl.Int64()}
    if table.has([PARTICLE_NAME]):
        columns[PARTICLE_NAME] = file[PARTICLE_NAME]
    columns[TILT_INDEX] = pl.Int32()
    places = _CENTRED_PLACES if images.is_centred else _PLACES
    always = (OF_TILT[0], *places, _DEPTH, *_DEFOCUS, OF_TILT[1], *_SHIFTS)
    there = {name: column.dtype for name, column in images.columns.items()}
    return pl.Schema(columns | dict.fromkeys(always, pl.Float64()) | there)


def _names(table: ParticleTable) -> pa.Array:
    """The names of all particles; made as RELION makes them where there are none (ParticleSet::read)."""
    if table.has([PARTICLE_NAME]):
        return table.stored.read([PARTICLE_NAME]).column(0).cast(pa.string()).combine_chunks()
    frame = pl.from_arrow(table.stored.read([NAME]).cast(pa.schema([(NAME, pa.string())])))
    assert isinstance(frame, pl.DataFrame)
    named = pl.format("{}/{}", NAME, pl.int_range(1, pl.len() + 1).over(NAME))
    return frame.select(named).to_series().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())


def _pieces(table: ParticleTable, images: TiltImages, wanted: Collection[str]) -> Iterator[Piece]:
    labels = _labels_for(table, wanted)
    at_once = max(1, _ROWS_AT_ONCE // max(1, int(images.counts.max(initial=1))))
    first = 0
    for file in table.stored.files:
        for batch in pq.ParquetFile(file.source).iter_batches(at_once, columns=labels, use_threads=False):
            if batch.num_rows:
                yield _piece(batch, first, images)
            first += batch.num_rows


def _labels_for(table: ParticleTable, wanted: Collection[str]) -> list[str]:
    """The columns of particles that the columns of a query need."""
    labels = [NAME, *(label for label in (PARTICLE_NAME, VISIBLE_FRAMES) if table.has([label]))]
    if {*wanted} & {*_PLACES, *_CENTRED_PLACES, _DEPTH, *_DEFOCUS}:
        coordinates = _CENTRED if table.has(_CENTRED) else _DECENTRED
        labels += [label for label in (*coordinates, *_ORIGIN, *_EULER) if table.has([label])]
        labels += [] if table.pixel_size is None else [table.pixel_size]
    return labels


def _piece(batch: pa.RecordBatch, first: int, images: TiltImages) -> Piece:
    tomogram = _tomograms(batch, first, images)
    counts = images.counts[tomogram]
    if VISIBLE_FRAMES not in batch.schema.names:
        is_seen = np.ones(counts.sum(), bool)
    else:
        frames = batch.column(VISIBLE_FRAMES)
        unlike = pc.list_value_length(frames).fill_null(0).to_numpy(zero_copy_only=False) != counts
        if unlike.any():
            _refuse(batch, first, unlike, f"{VISIBLE_FRAMES} is not as long as its tilt series")
        is_seen = pc.equal(frames.flatten(), 1).fill_null(False).to_numpy(zero_copy_only=False)
    ends = np.cumsum(counts)
    seen = np.flatnonzero(is_seen)
    particle = np.repeat(np.arange(len(counts)), counts)[seen]
    tilt_index = seen - (ends - counts)[particle]
    tilt = images.starts[tomogram][particle] + tilt_index
    return Piece(batch, first, tomogram, particle, tilt_index.astype(np.int32), tilt)


def _tomograms(batch: pa.RecordBatch, first: int, images: TiltImages) -> Ints:
    """The number of the tomogram of each particle."""
    names = batch.column(NAME)
    codes = names if pa.types.is_dictionary(names.type) else names.dictionary_encode()
    numbers = np.array([*(images.tomograms.get(name, -1) for name in codes.dictionary.to_pylist()), -1], np.int64)
    tomogram: Ints = numbers[codes.indices.fill_null(len(numbers) - 1).to_numpy()]
    if (tomogram < 0).any():
        _refuse(batch, first, tomogram < 0, "its tomogram has no tilts in the dataset")
    is_faulty = np.array([fault != "" for fault in images.faults])[tomogram]
    if is_faulty.any():
        _refuse(batch, first, is_faulty, f"its tomogram has {images.faults[tomogram[is_faulty][0]]}")
    return tomogram


def _refuse(batch: pa.RecordBatch, first: int, faulty: np.ndarray[tuple[int], np.dtype[np.bool_]], why: str) -> None:
    row = int(np.flatnonzero(faulty)[0])
    name = batch.column(PARTICLE_NAME)[row].as_py() if PARTICLE_NAME in batch.schema.names else None
    particle = f"row {first + row} of particles" if name is None else f"{name} (row {first + row})"
    raise SchemaError(
        f"particle {particle} of tomogram {batch.column(NAME)[row].as_py()}: {why}",
        remedy="convert the tomograms and the particles that belong together",
    )


def _frame(
    piece: Piece, wanted: list[str], table: ParticleTable, images: TiltImages, shifts: Shifts | None, schema: pl.Schema
) -> pl.DataFrame:
    """The rows of a piece."""
    columns: dict[str, pl.Series | Floats] = {**_keys(piece, wanted)}
    columns |= {name: images.columns[name].gather(piece.tilt) for name in wanted if name in images.columns}
    moved = None if shifts is None else _moved(piece, shifts, images)
    if moved is not None:
        columns |= dict(zip(_SHIFTS, moved, strict=True))
    if {*wanted} & {*_PLACES, *_CENTRED_PLACES, _DEPTH, *_DEFOCUS}:
        positions = _positions(piece, table, images)
        columns |= _depths(piece, positions, images, wanted)
        columns |= _places(piece, positions, moved, images, wanted)
    nulls = pl.repeat(None, len(piece.tilt), eager=True)
    return pl.DataFrame([pl.Series(name, columns.get(name, nulls), schema[name]) for name in wanted])


def _keys(piece: Piece, wanted: Collection[str]) -> dict[str, pl.Series]:
    columns = {}
    for name in (NAME, PARTICLE_NAME):
        if name in wanted:
            values = pl.from_arrow(piece.batch.column(name))
            assert isinstance(values, pl.Series)
            columns[name] = values.gather(piece.particle)
    if PARTICLE_INDEX in wanted:
        columns[PARTICLE_INDEX] = pl.Series(piece.particle + piece.first)
    if TILT_INDEX in wanted:
        columns[TILT_INDEX] = pl.Series(piece.tilt_index)
    return columns


def _positions(piece: Piece, table: ParticleTable, images: TiltImages) -> Floats:
    """Where the particles are in their tomograms: float64[3, particles], in pixels."""
    if table.pixel_size is None:
        pixel_sizes = images.pixel_sizes[piece.tomogram]
    else:
        pixel_sizes = piece.batch.column(table.pixel_size).to_numpy(zero_copy_only=False)
        if not (pixel_sizes > 0).all():
            _refuse(piece.batch, piece.first, ~(pixel_sizes > 0), f"its optics group has no {_PIXEL_SIZE}")
    euler = _vectors(piece, _EULER)
    positions = particle_positions(
        pixel_size_angst=pixel_sizes,
        tomogram_size=images.sizes[piece.tomogram],
        centred_angst=_vectors(piece, _CENTRED),
        decentred_px=_vectors(piece, _DECENTRED),
        origin_angst=_vectors(piece, _ORIGIN),
        subtomogram=None if euler is None else euler_rotations(*euler.T),
    )
    return np.ascontiguousarray(positions.T)


def _vectors(piece: Piece, labels: tuple[str, ...]) -> Floats | None:
    """Three columns of the particles: float64[particles, 3]. As in RELION, 0 for one that is missing among others."""
    there = piece.batch.schema.names
    if not {*labels} & {*there}:
        return None
    vectors = np.zeros((piece.batch.num_rows, 3))
    for i, label in enumerate(labels):
        if label in there:
            vectors[:, i] = piece.batch.column(label).to_numpy(zero_copy_only=False)
    return vectors


def _moved(piece: Piece, shifts: Shifts, images: TiltImages) -> Floats:
    """The shift of each row's particle: float64[3, rows], in Angstrom."""
    particles = slice(piece.first, piece.first + piece.batch.num_rows)
    starts, counts = shifts.starts[particles], shifts.counts[particles]
    if (starts < 0).any():
        _refuse(piece.batch, piece.first, starts < 0, "it has no trajectory")
    unlike = counts != images.counts[piece.tomogram]
    if unlike.any():
        _refuse(piece.batch, piece.first, unlike, "its trajectory is not as long as its tilt series")
    return shifts.of(particles, piece.particle, piece.tilt_index)


def _depths(piece: Piece, positions: Floats, images: TiltImages, wanted: Collection[str]) -> dict[str, pl.Series]:
    """The depth without the trajectory's shift, as RELION has it, and the defocus there."""
    if not {*wanted} & {_DEPTH, *_DEFOCUS}:
        return {}
    offsets = positions - centre_px(images.sizes, "exact")[piece.tomogram].T
    point = (offset.take(piece.particle) for offset in offsets)
    turn = (entry.take(piece.tilt) for entry in images.matrices[2, :3])
    depths = affine((*turn, np.zeros(())), point)
    columns = {}
    if _DEPTH in wanted:
        pixel_sizes = images.pixel_sizes[piece.tomogram]
        columns[_DEPTH] = pl.Series(depths * pixel_sizes[piece.particle])
    for name, label in _DEFOCUS.items():
        if name in wanted:
            values = images.defocus[label].take(piece.tilt) + images.depth_to_defocus.take(piece.tilt) * depths
            columns[name] = pl.Series(values, nan_to_null=True)
    return columns


def _places(
    piece: Piece, positions: Floats, moved: Floats | None, images: TiltImages, wanted: Collection[str]
) -> dict[str, Floats]:
    """Where each row's particle is in its image, moved by its trajectory."""
    names = _CENTRED_PLACES if images.is_centred else _PLACES
    if not {*wanted} & {*names}:
        return {}
    points = positions.take(piece.particle, axis=1)
    if moved is not None:
        points += moved / images.pixel_sizes[piece.tomogram].take(piece.particle)
    if images.deformations:
        # Where a point goes depends on both of its coordinates.
        places = np.stack([_projected(piece, points, images, row) for row in (0, 1)])
        return dict(zip(names, bend(places, piece.tilt, images.deformations), strict=True))
    return {name: _projected(piece, points, images, row) for row, name in enumerate(names) if name in wanted}


def _projected(piece: Piece, points: Floats, images: TiltImages, row: int) -> Floats:
    """One coordinate of each row's particle in its image."""
    return affine((entry.take(piece.tilt) for entry in images.matrices[row]), points)
