"""Particles times tilts: against a slow version that reads the STAR files itself, on real and on small projects."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import loop
from tests.relion.slow_geometry import apply, slow_matrix, slow_position
from tomoarrow.example import make_project

Row = dict[str, str]
Motion = dict[str, list[list[float]]]


# --- the slow version -----------------------------------------------------------------------------------------------


def star_rows(path: Path, block: str) -> list[Row]:
    """The rows of the loop of one block, which ends with an empty line."""
    lines = iter(path.read_text().splitlines())
    while next(lines).strip() != f"data_{block}":
        pass
    labels: list[str] = []
    rows: list[Row] = []
    for line in map(str.strip, lines):
        if line.startswith("_"):
            labels.append(line[1:].split()[0])
        elif labels and not line:
            break
        elif labels:
            rows.append(dict(zip(labels, line.split(), strict=True)))
    return rows


def numbers(row: Row, *labels: str) -> list[float]:
    return [float(row.get(label, 0)) for label in labels]


def axes(before: str, after: str = "", names: str = "XYZ") -> list[str]:
    return [f"{before}{axis}{after}" for axis in names]


def slow_rows(
    project: Path, particles: Path, tomograms: Path, image: tuple[int, int], motion: Motion | None
) -> Iterator[tuple[Any, ...]]:
    """Tomogram, particle, tilt, x, y, depth and both defoci of every visible tilt."""
    optics = {row["rlnOpticsGroup"]: row for row in star_rows(particles, "optics")}
    tomogram = {row["rlnTomoName"]: row for row in star_rows(tomograms, "global")}
    series = {name: star_rows(project / row["rlnTomoTiltSeriesStarFile"], name) for name, row in tomogram.items()}
    for particle in star_rows(particles, "particles"):
        name, own = particle["rlnTomoName"], particle["rlnTomoParticleName"]
        size = [int(side) for side in numbers(tomogram[name], *axes("rlnTomoSize"))]
        pixel, hand, slope = numbers({"rlnTomoDefocusSlope": "1"} | tomogram[name], *GLOBAL_NUMBERS)
        position = slow_position(
            numbers(particle, *axes("rlnCenteredCoordinate", "Angst")),
            numbers(particle, *axes("rlnOrigin", "Angst")),
            numbers(particle, *(f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi"))),
            float(optics[particle["rlnOpticsGroup"]]["rlnTomoTiltSeriesPixelSize"]),
            size,
        )
        visible = particle["rlnTomoVisibleFrames"].strip("[]").split(",")
        assert len(visible) == len(series[name])
        for index, tilt in enumerate(series[name]):
            if visible[index] != "1":
                continue
            matrix = slow_matrix(
                numbers(tilt, "rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot"),
                numbers(tilt, "rlnTomoXShiftAngst", "rlnTomoYShiftAngst"),
                pixel,
                size,
                image,
            )
            shift = motion[own][index] if motion else [0.0, 0.0, 0.0]
            x, y, _ = apply(matrix, [position[i] + shift[i] / pixel for i in range(3)])
            depth = apply(matrix, position)[2] - apply(matrix, [side / 2 for side in size])[2]
            u, v = (value + hand * pixel * slope * depth for value in numbers(tilt, "rlnDefocusU", "rlnDefocusV"))
            yield name, own, index, x, y, depth * pixel, u, v


GLOBAL_NUMBERS = ("rlnTomoTiltSeriesPixelSize", "rlnTomoHand", "rlnTomoDefocusSlope")
COMPARED = ("rlnTomoName", "rlnTomoParticleName", "tilt_index", "x_px", "y_px", "depth_angst", "defocus_u_angst")


def assert_same(found: pl.DataFrame, expected: list[tuple[Any, ...]]) -> None:
    assert found.select(COMPARED[:3]).rows() == [row[:3] for row in expected]
    values = found.select(*COMPARED[3:], "defocus_v_angst").to_numpy()
    np.testing.assert_allclose(values, [row[3:] for row in expected], rtol=0, atol=1e-6)


# --- a real project -------------------------------------------------------------------------------------------------

POLISH = "corpus/TomoBabel__cets-relion/tests/test_data/skeleton_project"


@pytest.fixture(scope="module")
def polished(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Motion]:
    """Every 19th particle of a polishing job, with trajectories of our own: RELION's are not in the collection."""
    home = tmp_path_factory.mktemp("polish")
    job = home / "Polish/job030"
    shutil.copytree(shared / POLISH / "Polish/job030", job, copy_function=shutil.copyfile)
    lines = (job / "particles.star").read_text().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.strip().startswith("TS_"))
    (job / "particles.star").write_text("".join([*lines[:first], *lines[first:-1:19], lines[-1]]))
    rng = np.random.default_rng(1)
    motion = {}
    for particle in star_rows(job / "particles.star", "particles"):
        n_tilts = particle["rlnTomoVisibleFrames"].count(",") + 1
        motion[particle["rlnTomoParticleName"]] = rng.normal(0, 5, (n_tilts, 3)).round(6).tolist()
    blocks = [loop(name, axes("rlnOrigin", "Angst"), shifts) for name, shifts in motion.items()]
    (job / "motion.star").write_text("\n".join(["data_general\n\n_rlnParticleNumber 9999\n", *blocks]))
    return home, motion


@pytest.mark.parametrize("moves", [False, True], ids=["particles", "particles that move"])
def test_a_real_project(polished: tuple[Path, Motion], tmp_path: Path, moves: bool) -> None:
    home, motion = polished
    job = home / "Polish/job030"
    members = (job / "optimisation_set.star").read_text().splitlines(keepends=True)
    star = tmp_path / "set.star"
    star.write_text("".join(line for line in members if moves or "Trajectories" not in line))
    ta.convert(star, tmp_path / "dataset", project=home)
    found = ta.Dataset(tmp_path / "dataset").particle_tilts(image_size=(4092, 5761)).collect()
    of_shift = found.select("shift_x_angst", "shift_y_angst", "shift_z_angst")
    if moves:
        assert of_shift.rows() == [
            tuple(motion[name][tilt]) for name, tilt in found.select("rlnTomoParticleName", "tilt_index").iter_rows()
        ]
    else:
        assert sum(of_shift.null_count().row(0)) == 3 * found.height
    slow = slow_rows(home, job / "particles.star", job / "tomograms.star", (4092, 5761), motion if moves else None)
    assert_same(found, [*slow])


# --- small projects -------------------------------------------------------------------------------------------------

ALIGNED = ["rlnMicrographPreExposure", "rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]
ALIGNED += ["rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnTomoYShiftAngst"]
GLOBAL = ["rlnTomoName", "rlnTomoTiltSeriesStarFile", "rlnTomoHand", "rlnTomoTiltSeriesPixelSize", *axes("rlnTomoSize")]
OPTICS = loop("optics", ["rlnOpticsGroup", "rlnTomoTiltSeriesPixelSize"], [[1, 2.0]])
PARTICLE = ["rlnTomoName", "rlnTomoParticleName", "rlnOpticsGroup", "rlnTomoVisibleFrames"]
PARTICLE += axes("rlnCenteredCoordinate", "Angst")
PARTICLES: list[list[object]] = [
    ["B", "B/1", 1, "[1,0]", 10.0, 20.0, 30.0],
    ["A", "A/1", 1, "[0,1,1]", 0.0, 0.0, 0.0],
    ["B", "B/2", 1, "[0,0]", 0.0, 0.0, 0.0],
    ["B", "B/3", 1, "[1,1]", 2.0, 4.0, 6.0],
]
TILTS: dict[str, list[list[object]]] = {
    name: [[3.0 * i, f"{name}.mrc", 100.0, 200.0, 45.0, 90.0 * i, 0.0, 0.0, 0.0] for i in range(n)]
    for name, n in (("A", 3), ("B", 2))
}
TOMOGRAMS: list[list[object]] = [[name, f"{name}.star", -1, 2.0, 100, 201, 50] for name in TILTS]
SET = "data_\n\n_rlnTomoParticlesFile p.star\n_rlnTomoTomogramsFile t.star\n"


def motion_text(names: list[str], n_tilts: Callable[[str], int] = lambda name: 3 if name < "B" else 2) -> str:
    """Shifts along X that count up: hundreds for the particle, ones for the tilt."""
    shifts = {name: [[100.0 * i + t, 0.0, 0.0] for t in range(n_tilts(name))] for i, name in enumerate(names)}
    return "".join(loop(name, axes("rlnOrigin", "Angst"), rows) for name, rows in shifts.items())


def small(
    folder: Path,
    *,
    particles: str = OPTICS + loop("particles", PARTICLE, PARTICLES),
    tomograms: str = loop("global", GLOBAL, TOMOGRAMS),
    tilts: dict[str, str] | None = None,
    motion: str | None = None,
) -> ta.Dataset:
    """A dataset of two tomograms, of 3 and of 2 tilts, and of some particles."""
    home = folder / "project"
    home.mkdir()
    texts = tilts or {name: loop(name, ALIGNED, rows) for name, rows in TILTS.items()}
    files = {"set.star": SET, "p.star": particles, "t.star": tomograms}
    files |= {f"{name}.star": text for name, text in texts.items()}
    if motion is not None:
        files |= {"set.star": f"{SET}_rlnTomoTrajectoriesFile m.star\n", "m.star": motion}
    for name, text in files.items():
        (home / name).write_text(text)
    ta.convert(home / "set.star", folder / "dataset")
    return ta.Dataset(folder / "dataset")


def without(labels: list[str], rows: list[list[object]], *dropped: str) -> tuple[list[str], list[list[object]]]:
    kept = [i for i, label in enumerate(labels) if label not in dropped]
    return [labels[i] for i in kept], [[row[i] for i in kept] for row in rows]


def test_the_columns(tmp_path: Path) -> None:
    frame = small(tmp_path).particle_tilts()
    assert frame.collect_schema().names() == [
        *("rlnTomoName", "particle_index", "rlnTomoParticleName", "tilt_index", "rlnMicrographPreExposure"),
        *("x_centred_px", "y_centred_px", "depth_angst", "defocus_u_angst", "defocus_v_angst", "rlnDefocusAngle"),
        *("shift_x_angst", "shift_y_angst", "shift_z_angst"),
    ]
    found = frame.collect()
    assert found.schema == frame.collect_schema()
    # Each tilt image sees a visible particle once, in the order of the particles.
    assert found.select("rlnTomoName", "particle_index", "rlnTomoParticleName", "tilt_index").rows() == [
        ("B", 0, "B/1", 0),
        ("A", 1, "A/1", 1),
        ("A", 1, "A/1", 2),
        ("B", 3, "B/3", 0),
        ("B", 3, "B/3", 1),
    ]
    assert found["rlnMicrographPreExposure"].to_list() == [0.0, 3.0, 6.0, 0.0, 3.0]
    # B/3 is (1, 2, 3) pixels from the centre (50, 100.5, 25); the middle voxel is (50, 100, 25). A quarter turn about
    # Y takes (x, y, z) to (z, y, -x). The hand of -1 takes depth off the defocus.
    b3 = found.filter(particle_index=3).select("x_centred_px", "y_centred_px", "depth_angst", "defocus_u_angst")
    np.testing.assert_allclose(b3.to_numpy(), [[1, 2.5, 6, 94], [3, 2.5, -2, 102]], atol=1e-12)


def test_all_tilts_where_nothing_says_which_are_visible(tmp_path: Path) -> None:
    labels, rows = without(PARTICLE, PARTICLES, "rlnTomoVisibleFrames", "rlnTomoParticleName")
    found = small(tmp_path, particles=OPTICS + loop("particles", labels, rows)).particle_tilts()
    assert "rlnTomoParticleName" not in found.collect_schema()
    assert found.select("particle_index", "tilt_index").collect().rows() == [
        *((0, t) for t in range(2)),
        *((1, t) for t in range(3)),
        *((2, t) for t in range(2)),
        *((3, t) for t in range(2)),
    ]


ORDERS = {
    "that of the particles": ["B/1", "A/1", "B/2", "B/3"],
    "another, with more": ["B/3", "B/9", "A/1", "A/7", "B/2", "B/1"],
    "by number": ["0", "1", "2", "3"],
}


@pytest.mark.parametrize("names", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("group_rows", [1, 2, 1000])
def test_trajectories_find_their_particles(
    tmp_path: Path, names: list[str], group_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.dataset.layout.ROW_GROUP_ROWS", group_rows)
    monkeypatch.setattr("tomoarrow.dataset.layout.FILE_ROWS", 3 * group_rows)
    n_tilts = (lambda name: 3 if name == "1" else 2) if names[0] == "0" else (lambda name: 3 if name < "B" else 2)
    found = small(tmp_path, motion=motion_text(names, n_tilts)).particle_tilts().collect()
    expected = [
        100.0 * names.index(str(index) if names[0] == "0" else name) + tilt
        for index, name, tilt in found.select("particle_index", "rlnTomoParticleName", "tilt_index").iter_rows()
    ]
    assert found["shift_x_angst"].to_list() == expected
    still = small_without_motion(tmp_path).collect()
    # Y tilts are 0 and 90 degrees, and 180 for the third: X moves with the cosine.
    cosines = np.array([1.0, 0.0, -1.0])[found["tilt_index"].to_numpy()]
    np.testing.assert_allclose(
        (found["x_centred_px"] - still["x_centred_px"]).to_numpy(), np.array(expected) / 2 * cosines, atol=1e-9
    )
    # Depth and defocus are those of the particle before it moves.
    assert found.select("depth_angst", "defocus_u_angst").equals(still.select("depth_angst", "defocus_u_angst"))


def small_without_motion(folder: Path) -> pl.LazyFrame:
    (folder / "still").mkdir(exist_ok=True)
    return small(folder / "still").particle_tilts()


def test_names_that_particles_lack_are_those_that_relion_gives(tmp_path: Path) -> None:
    particles = OPTICS + loop("particles", *without(PARTICLE, PARTICLES, "rlnTomoParticleName"))
    dataset = small(tmp_path, particles=particles, motion=motion_text(["A/1", "B/1", "B/2", "B/3"]))
    found = dataset.particle_tilts().select("particle_index", "tilt_index", "shift_x_angst").collect()
    assert found.rows() == [(0, 0, 100.0), (1, 1, 1.0), (1, 2, 2.0), (3, 0, 300.0), (3, 1, 301.0)]


SIZES: list[tuple[Any, tuple[float, float]]] = [((41, 60), (20.0, 30.0)), ("headers", (32.0, 24.0))]


@pytest.mark.parametrize(("image_size", "centre"), SIZES)
def test_with_the_size_of_images_places_are_from_their_corner(
    tmp_path: Path, image_size: Any, centre: tuple[float, float]
) -> None:
    dataset = small(tmp_path)
    for name in TILTS:
        mrcfile.new(tmp_path / f"project/{name}.mrc", np.zeros((48, 65), np.float32)).close()
    centred = dataset.particle_tilts().select("x_centred_px", "y_centred_px").collect().to_numpy()
    found = dataset.particle_tilts(image_size=image_size).select("x_px", "y_px").collect().to_numpy()
    np.testing.assert_allclose(found, centred + centre, atol=1e-12)


def test_images_of_a_project_that_has_moved(tmp_path: Path) -> None:
    dataset = small(tmp_path)
    for name in TILTS:
        mrcfile.new(tmp_path / f"{name}.mrc", np.zeros((48, 65), np.float32)).close()
    assert dataset.particle_tilts(image_size="headers", project=tmp_path).collect().height == 5
    with pytest.raises(ta.MissingFileError, match=r"A\.mrc"):
        dataset.particle_tilts(image_size="headers")


def test_images_outside_of_the_project_are_read_only_if_they_may(tmp_path: Path) -> None:
    project = tmp_path / "other"
    project.mkdir()
    texts = {name: loop(name, ALIGNED, [[row[0], f"../{name}.mrc", *row[2:]] for row in TILTS[name]]) for name in TILTS}
    dataset = small(tmp_path, tilts=texts)
    for name in TILTS:
        mrcfile.new(tmp_path / f"{name}.mrc", np.zeros((48, 65), np.float32)).close()
    with pytest.raises(ta.MissingFileError, match="outside of the project") as refused:
        dataset.particle_tilts(image_size="headers", project=project)
    assert [error.place.text for error in refused.value.errors] == [f"../{name}.mrc" for name in TILTS]
    assert "--allow-outside" in str(refused.value)
    found = dataset.particle_tilts(image_size="headers", project=project, allow_outside=True)
    assert found.collect().height == 5


def test_matrices_of_relion_4_are_used_as_they_are(tmp_path: Path) -> None:
    labels, rows = without(GLOBAL, TOMOGRAMS, "rlnTomoTiltSeriesStarFile")
    projections = [f"rlnTomoProj{axis}" for axis in "XYZW"]
    tilts = {
        name: [["[1,0,0,7]", "[0,0,2,8]", "[0,1,0,9]", "[0,0,0,1]", 0.0, 100.0] for _ in range(n)]
        for name, n in (("A", 3), ("B", 2))
    }
    series = [loop(n, [*projections, "rlnMicrographPreExposure", "rlnDefocusU"], rows) for n, rows in tilts.items()]
    particles = [[*row[:4], 10.0, 20.0, 30.0] for row in PARTICLES]
    dataset = small(
        tmp_path,
        tomograms="".join([loop("global", labels, rows), *series]),
        particles=OPTICS + loop("particles", [*PARTICLE[:4], *axes("rlnCoordinate")], particles),
        tilts={"none": ""},
    )
    found = dataset.particle_tilts().select("x_px", "y_px", "depth_angst", "defocus_u_angst", "defocus_v_angst")
    # The centre is (50, 100.5, 25): Y is the depth here.
    assert found.collect().unique().rows() == [(17.0, 68.0, 2 * (20 - 100.5), 100 - 2 * (20 - 100.5), None)]


ORIGINS: list[tuple[dict[str, float], tuple[float, float]]] = [
    ({"rlnOriginXAngst": 6.0}, (-3.0, 0.0)),
    ({"rlnOriginYAngst": 6.0}, (0.0, -3.0)),
    ({"rlnOriginXAngst": 6.0, "rlnTomoSubtomogramRot": 90.0}, (0.0, 3.0)),
    ({"rlnTomoSubtomogramRot": 90.0}, (0.0, 0.0)),
]


@pytest.mark.parametrize(("values", "moved"), ORIGINS)
def test_origins_are_taken_off_as_far_as_they_are_there(
    tmp_path: Path, values: dict[str, float], moved: tuple[float, float]
) -> None:
    rows = [[*row, *values.values()] for row in PARTICLES]
    (tmp_path / "plain").mkdir()
    with_origin, plain = (
        small(folder, **files).particle_tilts().filter(tilt_index=0).select("x_centred_px", "y_centred_px").collect()
        for folder, files in (
            (tmp_path, {"particles": OPTICS + loop("particles", [*PARTICLE, *values], rows)}),
            (tmp_path / "plain", {}),
        )
    )
    difference = with_origin.to_numpy() - plain.to_numpy()
    np.testing.assert_allclose(difference, np.tile(moved, (len(difference), 1)), atol=1e-12)


def test_partitioned_tilts(tmp_path: Path) -> None:
    hands = [[*row[:2], hand, *row[3:]] for row, hand in zip(TOMOGRAMS, (1, -1), strict=True)]
    whole = small(tmp_path, tomograms=loop("global", GLOBAL, hands)).particle_tilts().collect()
    ta.convert(tmp_path / "project/set.star", tmp_path / "parts", partition_by="rlnTomoHand")
    dataset = ta.Dataset(tmp_path / "parts")
    assert dataset.particle_tilts().collect().equals(whole)
    assert dataset.tilts.select("rlnTomoHand").collect().height == 5


def bent_project(kind: str, grid: tuple[int, int], coefficients: dict[str, str]) -> dict[str, Any]:
    """Files whose tomograms are bent in one way; "[]" as coefficients of one that is not."""
    labels = ["rlnTomoDeformationType", "rlnTomoDeformationGridSizeX", "rlnTomoDeformationGridSizeY"]
    tomograms = loop("global", [*GLOBAL, *labels], [[*row, kind, *grid] for row in TOMOGRAMS])
    label = "rlnTomoDeformationCoefficients"
    tilts = {n: loop(n, [*ALIGNED, label], [[*row, coefficients[n]] for row in rows]) for n, rows in TILTS.items()}
    return {"tomograms": tomograms, "tilts": tilts}


def test_images_that_are_bent(tmp_path: Path) -> None:
    changed = bent_project("linear", (1, 1), {"A": "[]", "B": "[0.5,0.25,2]"})
    (tmp_path / "straight").mkdir()
    straight, bent = (
        small(folder, **files).particle_tilts(image_size=(40, 61)).select("rlnTomoName", "x_px", "y_px").collect()
        for folder, files in ((tmp_path / "straight", {}), (tmp_path, changed))
    )
    for before, after in zip(straight.iter_rows(), bent.iter_rows(), strict=True):
        x, y = before[1] - 20, before[2] - 30.5
        moved = (0.5 * x, 0.25 * x + 2 * y) if before[0] == "B" else (0, 0)
        assert after[1:] == pytest.approx((before[1] + moved[0], before[2] + moved[1]))


def test_a_spline_moves_each_point_by_its_own_image(tmp_path: Path) -> None:
    """A value of 3 in all nodes for X, of -2 for Y: a shift of all the image."""
    node = ["3,0,0,0"] * 4 + ["-2,0,0,0"] * 4
    changed = bent_project("spline", (2, 2), {"A": f"[{','.join(node)}]", "B": "[]"})
    (tmp_path / "straight").mkdir()
    straight, bent = (
        small(folder, **files).particle_tilts(image_size=(4000, 4000)).select("x_px", "y_px").collect().to_numpy()
        for folder, files in ((tmp_path / "straight", {}), (tmp_path, changed))
    )
    np.testing.assert_allclose(bent - straight, [[0, 0], [3, -2], [3, -2], [0, 0], [0, 0]], atol=1e-9)


BENT_WRONG: dict[str, tuple[dict[str, Any], type[ta.TomoarrowError], str]] = {
    "no size of images": ({"image_size": None}, ta.UsageError, "depends on their size"),
    "an unknown kind": ({"kind": "cubic"}, ta.SchemaError, "'cubic'"),
    "too few coefficients": ({"grid": (3, 2)}, ta.SchemaError, "tomogram B has a tilt with 32"),
}


@pytest.mark.parametrize(("changed", "error", "message"), BENT_WRONG.values(), ids=BENT_WRONG)
def test_bent_in_a_way_that_cannot_be(
    tmp_path: Path, changed: dict[str, Any], error: type[ta.TomoarrowError], message: str
) -> None:
    options = {"kind": "spline", "grid": (2, 2), "image_size": (40, 60)} | changed
    ones = f"[{','.join(['1'] * 32)}]"
    dataset = small(tmp_path, **bent_project(options["kind"], options["grid"], {"A": "[]", "B": ones}))
    with pytest.raises(error, match=message):
        dataset.particle_tilts(image_size=options["image_size"])


# --- only what is asked for -----------------------------------------------------------------------------------------


def test_queries_of_all_kinds_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomoarrow.dataset.images.particle_tilts._ROWS_AT_ONCE", 4)
    frame = small(tmp_path, motion=motion_text(["B/1", "A/1", "B/2", "B/3"])).particle_tilts()
    whole = frame.collect()
    for name in whole.columns:
        assert frame.select(name).collect().equals(whole.select(name)), name
    assert frame.select(pl.len()).collect().item() == 5
    for n in range(7):
        assert frame.head(n).collect().equals(whole.head(n))
    is_b = pl.col("rlnTomoName").cast(pl.String) == "B"
    assert (
        frame.filter(is_b, pl.col("tilt_index") == 0)
        .select("x_centred_px")
        .collect()
        .equals(whole.filter(is_b, pl.col("tilt_index") == 0).select("x_centred_px"))
    )
    assert (
        frame.collect(engine="streaming")
        .sort("particle_index", "tilt_index")
        .equals(whole.sort("particle_index", "tilt_index"))
    )


def test_what_is_not_asked_for_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = small(tmp_path, motion=motion_text(["B/1", "A/1", "B/2", "B/3"])).particle_tilts()
    monkeypatch.delattr("tomoarrow.dataset.images.shifts._begins")
    assert frame.select("tilt_index", "depth_angst", "defocus_u_angst").collect().height == 5
    with pytest.raises(NameError):
        frame.select("x_centred_px").collect()


def test_rows_that_are_not_asked_for_are_not_worked_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomoarrow.dataset.images.particle_tilts._ROWS_AT_ONCE", 1)
    particles = [*PARTICLES, ["C", "C/1", 1, "[1]", 0.0, 0.0, 0.0]]
    frame = small(tmp_path, particles=OPTICS + loop("particles", PARTICLE, particles)).particle_tilts()
    assert frame.head(5).collect().height == 5
    with pytest.raises(ta.SchemaError, match="C/1"):
        frame.head(6).collect()


# --- what does not fit ----------------------------------------------------------------------------------------------


def particles_with(row: int, **values: object) -> str:
    changed = [list(each) for each in PARTICLES]
    for label, value in values.items():
        changed[row][PARTICLE.index(label)] = value
    return OPTICS + loop("particles", PARTICLE, changed)


def tilts_with(label: str, value: object) -> dict[str, str]:
    changed = {name: [list(row) for row in rows] for name, rows in TILTS.items()}
    changed["B"][1][ALIGNED.index(label)] = value
    return {name: loop(name, ALIGNED, rows) for name, rows in changed.items()}


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "visible frames": (
        {"particles": particles_with(3, rlnTomoVisibleFrames="[1,1,1]")},
        r"particle B/3 \(row 3\) of tomogram B: rlnTomoVisibleFrames is not as long",
    ),
    "an unknown tomogram": ({"particles": particles_with(1, rlnTomoName="Z")}, r"A/1 .*tomogram Z: .*no tilts"),
    "no size": (
        {"tomograms": loop("global", *without(GLOBAL, TOMOGRAMS, "rlnTomoSizeY"))},
        "B/1 .*tomogram B: .*no tomogram size",
    ),
    "no pixel size": (
        {"tomograms": loop("global", *without(GLOBAL, TOMOGRAMS, "rlnTomoTiltSeriesPixelSize"))},
        "B/1 .*tomogram B: .*no pixel size",
    ),
    "a tilt that is not aligned": ({"tilts": tilts_with("rlnTomoYTilt", "nan")}, "B/1 .*tomogram B: .*no alignment"),
    "no optics group": ({"particles": particles_with(1, rlnOpticsGroup=7)}, "A/1 .*optics group has no rlnTomoTilt"),
    "no trajectory": ({"motion": motion_text(["B/1", "A/1", "B/3"])}, "B/2 .*no trajectory"),
    "a short trajectory": (
        {"motion": motion_text(["B/1", "A/1", "B/2", "B/3"], lambda name: 1 if name == "B/2" else 3 - (name > "B"))},
        "B/2 .*trajectory is not as long",
    ),
}


@pytest.mark.parametrize(("changed", "message"), MISFITS.values(), ids=MISFITS)
def test_misfits_are_told_with_particle_and_tomogram(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    frame = small(tmp_path, **changed).particle_tilts()
    with pytest.raises(ta.SchemaError, match=message):
        frame.collect()


def test_fewer_numbered_trajectories_than_particles(tmp_path: Path) -> None:
    frame = small(
        tmp_path,
        particles=OPTICS + loop("particles", *without(PARTICLE, PARTICLES, "rlnTomoParticleName")),
        motion=motion_text(["0", "1"], lambda name: 2 + int(name)),
    ).particle_tilts()
    with pytest.raises(ta.DatasetError, match="2 numbered trajectories for 4 particles"):
        frame.collect()


UNUSABLE: dict[str, tuple[dict[str, Any], type[ta.TomoarrowError], str]] = {
    "no alignment": (
        {"tilts": {n: loop(n, *without(ALIGNED, rows, "rlnTomoZRot")) for n, rows in TILTS.items()}},
        ta.SchemaError,
        "not aligned: no rlnTomoZRot",
    ),
    "no coordinates": (
        {"particles": OPTICS + loop("particles", *without(PARTICLE, PARTICLES, "rlnCenteredCoordinateYAngst"))},
        ta.SchemaError,
        "no coordinates",
    ),
}


@pytest.mark.parametrize(("changed", "error", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_is_told_at_once(
    tmp_path: Path, changed: dict[str, Any], error: type[ta.TomoarrowError], message: str
) -> None:
    dataset = small(tmp_path, **changed)
    with pytest.raises(error, match=message):
        dataset.particle_tilts()


@pytest.mark.parametrize("image_size", [(0, 5), (5,), "header"])
def test_sizes_that_are_none(tmp_path: Path, image_size: Any) -> None:
    with pytest.raises(ta.UsageError, match="image_size"):
        small(tmp_path).particle_tilts(image_size=image_size)


def test_a_missing_table_names_those_that_are_there(tmp_path: Path) -> None:
    dataset = small(tmp_path)
    with pytest.raises(ta.DatasetError, match="no table trajectories") as caught:
        _ = dataset.trajectories
    assert caught.value.expected.startswith("one of: tilts, tomograms")
    assert dataset.particles.collect().height == 4
    assert dataset.tilts.select(pl.len()).collect().item() == 5
    assert (dataset.tomograms.collect().height, dataset.optics.collect().height) == (2, 1)
    assert "tilts: 5 rows" in repr(dataset)


def test_tilts_in_another_order_are_told_of(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=2, tilts=3, particles=2)
    assert made.optimisation_set_star is not None
    ta.convert(made.optimisation_set_star, tmp_path / "d")
    path = tmp_path / "d/tilts/part-00000.parquet"
    pl.read_parquet(path).reverse().write_parquet(path)
    with pytest.raises(ta.SchemaError, match="do not stand together, or are not numbered from 0"):
        ta.Dataset(tmp_path / "d").particle_tilts()


def test_headers_of_images_in_a_store_are_not_read(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=2, tilts=3, particles=2)
    assert made.optimisation_set_star is not None
    ta.convert(made.optimisation_set_star, tmp_path / "d")
    with pytest.raises(ta.UsageError, match="image_size='headers' takes a folder, not memory://p"):
        ta.Dataset(tmp_path / "d").particle_tilts(image_size="headers", project="memory://p")
