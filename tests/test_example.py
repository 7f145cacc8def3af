"""A made-up project: the text of RELION to the byte, and files that agree with one another."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gemmi import cif

import tomoarrow as ta
from tomoarrow.errors import DatasetError, UsageError
from tomoarrow.example import Example, make_project
from tomoarrow.example.text import list_block, rows_of_doubles

TOMOGRAMS, TILTS, PARTICLES = 3, 41, 200


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return make_project(
        tmp_path_factory.mktemp("made") / "p", tomograms=TOMOGRAMS, tilts=TILTS, particles=PARTICLES, seed=5
    )


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def columns(path: Path, block: str) -> dict[str, Any]:
    table = ta.read_table(path, block=block)
    return {name: table[name].to_pylist() for name in table.column_names}


# The text of RELION.

#: A project of one tomogram, two tilts and one particle. `<- random ->` is a number that chance chose, and `$` ends a
#: line after a blank.
TINY = {
    "Tomograms/job006/tomograms.star": """
# version 50001

data_global

loop_ $
_rlnTomoName #1 $
_rlnVoltage #2 $
_rlnSphericalAberration #3 $
_rlnAmplitudeContrast #4 $
_rlnMicrographOriginalPixelSize #5 $
_rlnTomoHand #6 $
_rlnOpticsGroupName #7 $
_rlnTomoTiltSeriesPixelSize #8 $
_rlnTomoTiltSeriesStarFile #9 $
_rlnEtomoDirectiveFile #10 $
_rlnTomoTomogramBinning #11 $
_rlnTomoSizeX #12 $
_rlnTomoSizeY #13 $
_rlnTomoSizeZ #14 $
_rlnTomoReconstructedTomogram #15 $
     TS_01   300.000000     2.700000     0.100000     0.675000     -1.00000    optics1     1.350000 \
Tomograms/job006/tilt_series/TS_01.star AlignTiltSeries/job005/external/TS_01/TS_01.edf     7.407407 \
        4000         4000         2000 Tomograms/job006/tomograms/rec_TS_01.mrc $
 $
""",
    "Extract/job009/particles.star": """
# version 50001

data_general

_rlnTomoSubTomosAre2DStacks                       1
 $

# version 50001

data_optics

loop_ $
_rlnVoltage #1 $
_rlnSphericalAberration #2 $
_rlnAmplitudeContrast #3 $
_rlnTomoTiltSeriesPixelSize #4 $
_rlnOpticsGroup #5 $
_rlnOpticsGroupName #6 $
_rlnCtfDataAreCtfPremultiplied #7 $
_rlnImageDimensionality #8 $
_rlnTomoSubtomogramBinning #9 $
_rlnImagePixelSize #10 $
_rlnImageSize #11 $
  300.000000     2.700000     0.100000     1.350000            1    optics1            1            2     \
1.000000     1.350000          192 $
 $

# version 50001

data_particles

loop_ $
_rlnTomoName #1 $
_rlnTomoSubtomogramRot #2 $
_rlnTomoSubtomogramTilt #3 $
_rlnTomoSubtomogramPsi #4 $
_rlnAngleRot #5 $
_rlnAngleTilt #6 $
_rlnAnglePsi #7 $
_rlnAngleTiltPrior #8 $
_rlnAnglePsiPrior #9 $
_rlnOpticsGroup #10 $
_rlnTomoParticleName #11 $
_rlnTomoVisibleFrames #12 $
_rlnImageName #13 $
_rlnOriginXAngst #14 $
_rlnOriginYAngst #15 $
_rlnOriginZAngst #16 $
_rlnCenteredCoordinateXAngst #17 $
_rlnCenteredCoordinateYAngst #18 $
_rlnCenteredCoordinateZAngst #19 $
_rlnGroupNumber #20 $
_rlnClassNumber #21 $
_rlnNormCorrection #22 $
_rlnRandomSubset #23 $
_rlnLogLikeliContribution #24 $
_rlnMaxValueProbDistribution #25 $
_rlnNrOfSignificantSamples #26 $
     TS_01 <- random -> <- random -> <- random -> <- random -> <- random -> <- random ->    90.000000     0.000000 \
           1    TS_01/1      [1,1] Extract/job009/Subtomograms/TS_01/1_stack2d.mrcs \
    0.000000     0.000000     0.000000 <- random -> <- random -> <- random -> \
           1            1     1.000000 <- random -> <- random -> <- random -> <- random -> $
 $
""",
    "Polish/job011/motion.star": """
# version 50001

data_general

_rlnParticleNumber                       1
 $

# version 50001

data_TS_01/1

loop_ $
_rlnOriginXAngst #1 $
_rlnOriginYAngst #2 $
_rlnOriginZAngst #3 $
    0.000000     0.000000     0.000000 $
<- random -> <- random -> <- random -> $
 $
""",
    "Polish/job011/optimisation_set.star": """
# version 50001

data_

_rlnTomoParticlesFile               Extract/job009/particles.star
_rlnTomoTomogramsFile               Tomograms/job006/tomograms.star
_rlnTomoTrajectoriesFile            Polish/job011/motion.star
 $
""",
}


def test_a_tiny_project_written_out_by_hand(tmp_path: Path) -> None:
    found = files(make_project(tmp_path / "p", tomograms=1, tilts=2, particles=1).directory)
    assert set(found) == {*TINY, "Tomograms/job006/tilt_series/TS_01.star"}
    for path, text in TINY.items():
        pattern = re.escape(text.replace(" $\n", " \n")).replace(
            re.escape("<- random ->"), r"(?=[ \d.e+-]{12} ) *-?\d+(?:\.\d+)?(?:e[+-]\d\d)?"
        )
        assert re.fullmatch(pattern, found[path].decode()), path


def relion_number(text: str) -> str:
    """A number that was read, as RELION writes it with C's printf (``src/metadata_container.cpp``)."""
    if re.fullmatch(r"-?\d+", text):
        return f"{int(text):12d}"
    value = float(text)
    decimals = 5 if value < 0 else 6
    style = "e" if 0 < abs(value) < 0.001 or abs(value) > 100000 else "f"
    return f"%12.{decimals}{style}" % value


def test_every_row_is_laid_out_as_relion_lays_it_out(made: Example) -> None:
    seen = 0
    for path in made.directory.rglob("*.star"):
        for loop in path.read_text().split("loop_ \n")[1:]:
            # A block ends with a line of one blank.
            lines = loop[: loop.index("\n \n")].split("\n")
            for line in (line for line in lines if not line.startswith("_")):
                words = line.split()
                cells = [relion_number(word) if re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", word) else word for word in words]
                assert line == "".join(cell.rjust(10) + " " for cell in cells)
                seen += 1
    assert seen == 3 + 2 + TOMOGRAMS * (TILTS + PARTICLES * (1 + TILTS))


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ({"a": "x"}, "\n# version 50001\n\ndata_n\n\n_a                     x\n \n"),
        ({"a": "x", "b" * 11: "y"}, f"\n# version 50001\n\ndata_n\n\n_a{' ' * 22}x\n_{'b' * 11}{' ' * 12}y\n \n"),
    ],
)
def test_values_of_a_list_begin_12_behind_the_longest_label_of_10_or_more(pairs: dict[str, str], text: str) -> None:
    assert list_block("n", pairs) == text


def test_rows_of_numbers() -> None:
    values = np.array([[0.0, -0.0, 1.5], [-1.5, 0.0005, -0.0005], [123456.5, -123456.789, 99999.5]])
    assert rows_of_doubles(values).tobytes().decode().splitlines() == [
        "    0.000000    -0.000000     1.500000 ",
        "    -1.50000 5.000000e-04 -5.00000e-04 ",
        "1.234565e+05 -1.23457e+05 99999.500000 ",
    ]


# What the seed and the counts decide.


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, same, other = (
        files(make_project(tmp_path / name, tomograms=2, tilts=3, particles=4, seed=seed).directory)
        for name, seed in (("a", 7), ("b", 7), ("c", 8))
    )
    assert first == same
    assert first.keys() == other.keys()
    fixed = {"Tomograms/job006/tomograms.star", "Polish/job011/optimisation_set.star"}
    assert {path for path in first if first[path] == other[path]} == fixed


def test_particles_change_nothing_in_the_tomogram_set(tmp_path: Path) -> None:
    without = make_project(tmp_path / "a", tomograms=3, tilts=4)
    beside = make_project(tmp_path / "b", tomograms=3, tilts=4, particles=5)
    assert (without.particles, without.particles_star) == (0, None)
    assert without.trajectories_star is None
    assert without.optimisation_set_star is None
    assert files(without.directory).items() < files(beside.directory).items()
    assert beside.particles == 15


@pytest.mark.parametrize("counts", [{"tomograms": 0}, {"tilts": -1}, {"particles": -1}, {"tilts": 0, "particles": 1}])
def test_counts_that_make_no_project(counts: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        make_project(tmp_path / "p", **counts)
    assert not (tmp_path / "p").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(DatasetError):
        make_project(tmp_path)
    assert list(files(tmp_path)) == ["mine"]


# Files that agree with one another.


def test_all_files_are_read_without_a_warning_and_as_gemmi_reads_them(made: Example) -> None:
    for path in made.directory.rglob("*.star"):
        document = ta.read_star(path)
        assert document.warnings == ()
        other = cif.read_file(str(path))
        # gemmi calls the block without a name " ".
        assert document.names == [block.name.strip() for block in other]
        for mine, theirs in zip(document.blocks, other, strict=True):
            loops = [item.loop for item in theirs if item.loop is not None]
            assert [loop.tags for loop in loops] == [[f"_{n}" for n in table.column_names] for table in mine.loops]
            assert [loop.length() for loop in loops] == [table.num_rows for table in mine.loops]


def test_the_optimisation_set_names_the_files(made: Example) -> None:
    assert made.optimisation_set_star is not None
    document = ta.read_star(made.optimisation_set_star)
    assert {label: made.directory / path for label, path in document.blocks[0].pairs.items()} == {
        "rlnTomoParticlesFile": made.particles_star,
        "rlnTomoTomogramsFile": made.tomograms_star,
        "rlnTomoTrajectoriesFile": made.trajectories_star,
    }


def test_particles_belong_to_tomograms_and_optics_groups(made: Example) -> None:
    assert made.particles_star is not None
    tomograms = columns(made.tomograms_star, "global")
    optics = columns(made.particles_star, "optics")
    particles = columns(made.particles_star, "particles")
    names = tomograms["rlnTomoName"]
    assert particles["rlnTomoName"] == [name for name in names for _ in range(PARTICLES)]
    assert particles["rlnTomoParticleName"] == [f"{name}/{n}" for name in names for n in range(1, PARTICLES + 1)]
    assert len(set(particles["rlnImageName"])) == made.particles == TOMOGRAMS * PARTICLES
    assert particles["rlnGroupNumber"] == [1 + n for n in range(TOMOGRAMS) for _ in range(PARTICLES)]
    assert optics["rlnOpticsGroup"] == [1, 2]
    by_group = dict(zip(optics["rlnOpticsGroup"], optics["rlnOpticsGroupName"], strict=True))
    by_tomogram = dict(zip(names, tomograms["rlnOpticsGroupName"], strict=True))
    for name, group in zip(particles["rlnTomoName"], particles["rlnOpticsGroup"], strict=True):
        assert by_group[group] == by_tomogram[name]
    for label in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnTomoTiltSeriesPixelSize"):
        assert set(optics[label]) == set(tomograms[label])
    assert set(particles["rlnRandomSubset"]) == {1, 2}


def test_one_tomogram_has_one_optics_group(tmp_path: Path) -> None:
    star = make_project(tmp_path / "p", tomograms=1, tilts=1, particles=1).particles_star
    assert star is not None
    assert columns(star, "optics")["rlnOpticsGroupName"] == ["optics1"]


def test_particles_are_inside_of_their_tomogram(made: Example) -> None:
    assert made.particles_star is not None
    particles = columns(made.particles_star, "particles")
    for axis, size_px in zip("XYZ", (4000, 4000, 2000), strict=True):
        centred_angst = np.array(particles[f"rlnCenteredCoordinate{axis}Angst"])
        assert np.abs(centred_angst).max() < 1.35 * size_px / 2
        assert np.abs(centred_angst).max() > 0.5 * 1.35 * size_px / 2


def projections(series: dict[str, Any]) -> np.ndarray:
    """Unbinned tomogram pixels to pixels of each image, as RELION's Tomogram::setProjectionMatrix has it."""

    def shift(x: float, y: float, z: float) -> np.ndarray:
        matrix = np.eye(4)
        matrix[:3, 3] = x, y, z
        return matrix

    def turn(first: int, second: int, degrees: float) -> np.ndarray:
        matrix = np.eye(4)
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        matrix[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
        return matrix

    labels = ("rlnTomoXShiftAngst", "rlnTomoYShiftAngst", "rlnTomoZRot", "rlnTomoYTilt")
    to_image, to_centre = shift(1919, 1855, 0), shift(-2000, -2000, -1000)
    return np.array(
        [
            shift(x / 1.35, y / 1.35, 0) @ to_image @ turn(0, 1, axis) @ turn(2, 0, tilt) @ to_centre
            for x, y, axis, tilt in zip(*(series[label] for label in labels), strict=True)
        ]
    )


def test_visible_frames_follow_from_dose_and_geometry_in_the_order_of_the_rows(made: Example) -> None:
    assert made.particles_star is not None
    particles = columns(made.particles_star, "particles")
    coordinates = np.stack([particles[f"rlnCenteredCoordinate{axis}Angst"] for axis in "XYZ"], axis=1)
    partly = 0
    for n, name in enumerate(columns(made.tomograms_star, "global")["rlnTomoName"]):
        own = slice(n * PARTICLES, (n + 1) * PARTICLES)
        series = columns(made.tomograms_star.parent / "tilt_series" / f"{name}.star", name)
        dose = np.array(series["rlnMicrographPreExposure"])
        points = np.ones((PARTICLES, 4))
        points[:, :3] = coordinates[own] / 1.35 + (2000, 2000, 1000)
        x, y = np.einsum("tij,pj->ipt", projections(series), points)[:2]
        margin = np.minimum.reduce([x, 3838 - x, y, 3710 - y]) - 192 / 2
        expected = (margin > 0) & (dose <= 50)
        found = np.array(particles["rlnTomoVisibleFrames"][own])
        assert found.shape == (PARTICLES, TILTS)
        # Coordinates are written with five or six decimals.
        sure = np.abs(margin) > 1e-3
        np.testing.assert_array_equal(found[sure], expected[sure])
        assert found[:, np.argmin(dose)].all()
        partly += int((found.sum(axis=1) < (dose <= 50).sum()).sum())
    assert 0 < partly < made.particles / 10


def test_each_particle_has_one_trajectory_which_is_smooth_in_the_order_of_the_dose(made: Example) -> None:
    assert made.particles_star is not None
    assert made.trajectories_star is not None
    document = ta.read_star(made.trajectories_star)
    assert document["general"].pairs == {"rlnParticleNumber": made.particles}
    assert document.names == ["general", *columns(made.particles_star, "particles")["rlnTomoParticleName"]]
    order = {}
    for name in columns(made.tomograms_star, "global")["rlnTomoName"]:
        series = columns(made.tomograms_star.parent / "tilt_series" / f"{name}.star", name)
        order[name] = np.argsort(series["rlnMicrographPreExposure"])
    for block in document.blocks[1:]:
        shifts = np.stack([column.to_numpy() for column in block.table.columns], axis=1)
        assert shifts.shape == (TILTS, 3)
        walk = shifts[order[block.name.split("/")[0]]]
        np.testing.assert_array_equal(walk[0], 0)
        assert np.abs(np.diff(walk, axis=0)).max() < 2
        assert np.abs(walk).max() > 0.1
