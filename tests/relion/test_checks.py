"""Each check with what it finds, in a project in which all else is sound, and with what it lets pass."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.relion.sound import (
    MANIFOLDS,
    MOTION,
    N_TILTS,
    OPTIMISATION_SET,
    OTHER_SERIES,
    PARTICLES,
    SERIES,
    TOMOGRAMS,
    Block,
    Files,
    as_relion4,
    sound_project,
    write,
)
from tomoarrow.relion.checks import CHECKS
from tomoarrow.relion.validation import validate

Edit = Callable[[Files], None]

GLOBAL = (TOMOGRAMS, 0)
TILTS = (SERIES, 0)
OPTICS = (PARTICLES, 1)
ROWS = (PARTICLES, 2)

Table = tuple[str, int]


def put(table: Table, label: str, *values: object, at: int = 0) -> Edit:
    """Values from a row on; the column is made where there is none."""

    def edit(files: Files) -> None:
        columns = files[table[0]][table[1]].columns
        n_rows = len(next(iter(columns.values())))
        columns.setdefault(label, [values[0]] * n_rows)[at : at + len(values)] = values

    return edit


def swap(table: Table, one: int, two: int, *labels: str) -> Edit:
    """Exchange the values of two rows in some columns."""

    def edit(files: Files) -> None:
        columns = files[table[0]][table[1]].columns
        for label in labels:
            columns[label][one], columns[label][two] = columns[label][two], columns[label][one]

    return edit


def drop(table: Table, *labels: str) -> Edit:
    def edit(files: Files) -> None:
        for label in labels:
            del files[table[0]][table[1]].columns[label]

    return edit


def keep_rows(table: Table, *rows: int) -> Edit:
    def edit(files: Files) -> None:
        columns = files[table[0]][table[1]].columns
        for label, values in columns.items():
            columns[label] = [values[row] for row in rows]

    return edit


def name_block(table: Table, name: str) -> Edit:
    def edit(files: Files) -> None:
        files[table[0]][table[1]].name = name

    return edit


def all_of(*edits: Edit) -> Edit:
    def edit(files: Files) -> None:
        for each in edits:
            each(files)

    return edit


def on_every_series(make: Callable[[Table], Edit]) -> Edit:
    return all_of(make(TILTS), make((OTHER_SERIES, 0)))


def without_file(path: str) -> Edit:
    return lambda files: files.__delitem__(path)


def without(path: str, block: int) -> Edit:
    return lambda files: files[path].__delitem__(block)


def without_particles(files: Files) -> None:
    """No set but that of tomograms: what particles say of tilts is gone."""
    columns = files[OPTIMISATION_SET][0].columns
    files[OPTIMISATION_SET][0].columns = {"rlnTomoTomogramsFile": columns["rlnTomoTomogramsFile"]}


def lengthen(particle: int, to: int) -> Edit:
    def edit(files: Files) -> None:
        columns = files[MOTION][particle].columns
        files[MOTION][particle].columns = {label: [0.5] * to for label in columns}

    return edit


def again(path: str, block: int) -> Edit:
    return lambda files: files[path].append(files[path][block])


def numbered(files: Files) -> None:
    for number, block in enumerate(files[MOTION][1:]):
        block.name = str(number)


def as_volumes(word: object) -> Edit:
    """Particles that are volumes, as the block `general` says in this word."""
    return all_of(put((PARTICLES, 0), "rlnTomoSubTomosAre2DStacks", word), put(OPTICS, "rlnImageDimensionality", 3))


_IMAGES = ("rlnMicrographName", "rlnCtfPowerSpectrum", "rlnCtfImage", "rlnMicrographPreExposure")
_ALIGNMENT = ("rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnTomoYShiftAngst")
_CENTRED = ("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst")
_NO_FRAMES = "[" + ",".join("0" * N_TILTS) + "]"

VOLTS = all_of(put(GLOBAL, "rlnVoltage", 3e5, 3e5), put(OPTICS, "rlnVoltage", 3e5))
TWO_NOTES = "data_notes\n_rlnComment a\n\ndata_notes\n_rlnComment b\n\n"

#: Code, what is spoiled, how many are found. Where one mistake is another too, both are expected.
SPOILED: list[tuple[str, Edit, int]] = [
    ("missing-star", without_file(MOTION), 1),
    ("missing-star missing-star", all_of(without_file(MOTION), without_file(MANIFOLDS)), 1),
    ("missing-star", put(GLOBAL, "rlnTomoTiltSeriesStarFile", "nowhere.star"), 1),
    ("bad-value", put(GLOBAL, "rlnVoltage", "high"), 1),
    ("not-finite", put(TILTS, "rlnDefocusU", "nan", at=2), 1),
    ("not-finite", put(ROWS, "rlnCenteredCoordinateXAngst", "nan", "inf"), 2),
    ("missing", put(TILTS, "rlnDefocusU", "<NA>"), 1),
    ("boolean-word", put(OPTICS, "rlnCtfDataAreCtfPremultiplied", "True"), 1),
    ("boolean-word", put((PARTICLES, 0), "rlnTomoSubTomosAre2DStacks", "True"), 1),
    ("boolean-word", as_volumes("False"), 1),
    ("bad-value", put((MOTION, 0), "rlnParticleNumber", "four"), 1),
    ("widened", put(GLOBAL, "rlnTomoSizeX", "4000.5"), 1),
    ("exponent", put(GLOBAL, "rlnTomoSizeX", "4e3"), 1),
    ("unfit", drop(GLOBAL, "rlnTomoName"), 1),
    ("no-tomograms", all_of(without_particles, keep_rows(GLOBAL)), 1),
    ("tomogram-name", all_of(without_particles, put(GLOBAL, "rlnTomoName", "TS/1"), name_block(TILTS, "TS/1")), 1),
    ("tomogram-twice series-twice", keep_rows(GLOBAL, 0, 1, 1), 1),
    ("global-columns", drop(GLOBAL, "rlnTomoHand", "rlnVoltage"), 2),
    ("hand", put(GLOBAL, "rlnTomoHand", 0.0), 1),
    ("hand", put(GLOBAL, "rlnTomoHand", 2, -1), 1),
    ("pixel-size", put(GLOBAL, "rlnMicrographOriginalPixelSize", -0.675), 1),
    ("no-pixel-size", drop(GLOBAL, "rlnTomoTiltSeriesPixelSize"), 1),
    ("pixel-ratio", put(GLOBAL, "rlnMicrographOriginalPixelSize", 0.8, 0.8), 2),
    ("binning", put(GLOBAL, "rlnTomoTomogramBinning", 0.0), 1),
    ("binned-sizes", put(GLOBAL, "rlnTomoTomogramBinning", 4.0), 2),
    ("tomogram-size", put(GLOBAL, "rlnTomoSizeZ", 0), 1),
    ("tomogram-size", drop(GLOBAL, "rlnTomoSizeZ"), 2),
    (
        "optics-range particle-optics-range",
        VOLTS,
        2,
    ),
    ("optics-range other-optics", put(GLOBAL, "rlnSphericalAberration", -2.7, -2.7), 2),
    ("optics-range other-optics", put(GLOBAL, "rlnAmplitudeContrast", 10, 10), 2),
    ("optics-of-group other-optics", put(GLOBAL, "rlnVoltage", 300.0, 200.0), 1),
    ("series-twice block-name", put(GLOBAL, "rlnTomoTiltSeriesStarFile", SERIES, SERIES), 1),
    ("relion4", as_relion4, 1),
    ("relion4 relion4-order", all_of(as_relion4, lambda files: files[TOMOGRAMS].append(files[TOMOGRAMS].pop(1))), 1),
    ("relion4 relion4-blocks", all_of(as_relion4, without(TOMOGRAMS, 2)), 1),
    ("relion4 frame-count", all_of(as_relion4, put(GLOBAL, "rlnTomoFrameCount", 6)), 1),
    ("relion4 alignment-columns", all_of(as_relion4, drop((TOMOGRAMS, 1), "rlnTomoProjW")), 1),
    ("no-tilts frames-length trajectory-length", keep_rows(TILTS), 1),
    ("block-name", name_block(TILTS, "TS_1"), 1),
    ("other-blocks", lambda files: files[SERIES].append(Block("more", {"rlnTomoName": ["TS_01"]})), 1),
    ("dose-column", drop(TILTS, "rlnMicrographPreExposure"), 1),
    ("alignment-columns", drop(TILTS, "rlnTomoZRot"), 1),
    ("some-aligned", drop(TILTS, *_ALIGNMENT), 1),
    ("defocus-columns", drop(TILTS, "rlnDefocusAngle"), 1),
    ("image-columns", on_every_series(lambda table: drop(table, "rlnMicrographName")), 2),
    ("columns-differ", drop(TILTS, "rlnTomoNominalDefocus"), 1),
    ("one-tilt", all_of(without_particles, keep_rows(TILTS, 3)), 1),
    ("negative-dose dose-order", put(TILTS, "rlnMicrographPreExposure", -1.0), 1),
    ("same-dose", put(TILTS, "rlnMicrographPreExposure", 0.0, 0.0, 0.0), 3),
    ("tilt-twice", all_of(without_particles, keep_rows(TILTS, 0, 1, 2, 3, 3, 4, 5, 6)), 1),
    ("tilt-twice row-mixed angle-mixed", put(TILTS, "rlnMicrographMovieName", "frames/TS_01_003_-6.0.mrc"), 1),
    ("movie-of-two-series row-mixed", put((OTHER_SERIES, 0), "rlnMicrographMovieName", "frames/TS_01_006_-9.0.mrc"), 1),
    ("tilt-gaps", all_of(without_particles, keep_rows(TILTS, 0, 1, 2, 3, 4, 6)), 1),
    ("tilt-range", put(TILTS, "rlnTomoYTilt", *[100 + 3 * i for i in range(N_TILTS)]), 7),
    ("tilt-turned", swap(TILTS, 0, 6, "rlnTomoYTilt"), 2),
    ("defocus-unit", put(TILTS, "rlnDefocusU", *[4.01] * N_TILTS), 7),
    ("defocus", put(TILTS, "rlnDefocusV", 0.0, -40000.0), 2),
    ("astigmatism", put(TILTS, "rlnDefocusV", 10000.0), 1),
    ("nominal-defocus", put(TILTS, "rlnTomoNominalDefocus", *[4.0] * N_TILTS), 7),
    ("nominal-defocus", put(TILTS, "rlnTomoNominalDefocus", *[-40000.0] * N_TILTS), 7),
    ("row-mixed dose-order", swap(TILTS, 1, 5, *_IMAGES), 2),
    ("row-mixed", swap(TILTS, 1, 5, "rlnCtfImage"), 2),
    ("row-mixed", put(TILTS, "rlnMicrographName", "MotionCorr/job002/frames/TS_02_006_-9_0.mrc"), 1),
    ("angle-mixed tilt-turned", swap(TILTS, 0, 6, "rlnTomoNominalStageTiltAngle"), 2),
    ("dose-order", swap(TILTS, 0, 6, "rlnMicrographPreExposure"), 2),
    ("no-particles", keep_rows(ROWS), 1),
    ("particle-columns", drop(ROWS, "rlnCenteredCoordinateZAngst"), 1),
    ("particle-columns", drop(OPTICS, "rlnTomoTiltSeriesPixelSize"), 1),
    ("particle-block", name_block(ROWS, "picks"), 1),
    ("unknown-tomogram", put(ROWS, "rlnTomoName", "TS_09"), 1),
    ("no-particles-in", keep_rows(ROWS, 0, 1), 1),
    ("unknown-optics", put(ROWS, "rlnOpticsGroup", 2, 2), 2),
    ("unknown-optics", put(ROWS, "rlnOpticsGroup", 2**53 + 1), 1),
    ("optics-twice", keep_rows(OPTICS, 0, 0), 1),
    ("particle-optics-range other-optics", put(OPTICS, "rlnVoltage", 0.0), 1),
    ("other-pixel-size image-pixel-size", put(OPTICS, "rlnTomoTiltSeriesPixelSize", 1.0), 1),
    ("other-optics", put(OPTICS, "rlnSphericalAberration", 2.0), 1),
    ("image-pixel-size", put(OPTICS, "rlnImagePixelSize", 1.35), 1),
    ("stack-kind", put(OPTICS, "rlnImageDimensionality", 3), 1),
    ("stack-kind", without(PARTICLES, 0), 1),
    ("no-visible-frames", drop(ROWS, "rlnTomoVisibleFrames"), 1),
    ("particle-twice", put(ROWS, "rlnTomoParticleName", "TS_01/2"), 1),
    ("particle-name no-trajectory", put(ROWS, "rlnTomoParticleName", "one"), 1),
    ("particle-of-other", swap(ROWS, 0, 2, "rlnTomoName"), 2),
    ("outside-tomogram", put(ROWS, "rlnCenteredCoordinateZAngst", 1400.0), 1),
    ("random-subset", put(ROWS, "rlnRandomSubset", 3), 1),
    ("frames-length", put(ROWS, "rlnTomoVisibleFrames", "[1,1,1]"), 1),
    ("frames-values", put(ROWS, "rlnTomoVisibleFrames", "[0,2,1,1,1,1,1]"), 1),
    ("frames-values", put(ROWS, "rlnTomoVisibleFrames", f"[0,{2**53 + 1},1,1,1,1,1]"), 1),
    ("frames-none", put(ROWS, "rlnTomoVisibleFrames", _NO_FRAMES), 1),
    ("no-trajectory trajectories-cut", without(MOTION, 2), 1),
    ("trajectory-length", lengthen(3, N_TILTS + 1), 1),
    ("trajectory-count", put((MOTION, 0), "rlnParticleNumber", 3), 1),
    ("trajectory-count", without(MOTION, 0), 1),
    ("trajectories-cut", put((MOTION, 0), "rlnParticleNumber", 5), 1),
    ("trajectory-twice", again(MOTION, 1), 1),
    ("trajectory-twice", again(MOTION, -1), 1),
    ("numbered-trajectories", numbered, 1),
    ("manifold-of-unknown", name_block((MANIFOLDS, 1), "TS_07"), 1),
    ("manifold-type", put((MANIFOLDS, 0), "rlnTomoManifoldType", "torus"), 1),
]

#: What may look wrong and is not.
SOUND: dict[str, Edit] = {
    "as it is": lambda files: None,
    "the other hand": put(GLOBAL, "rlnTomoHand", 1, 1),
    "volumes": as_volumes(0),
    "no optics groups yet": all_of(without(PARTICLES, 1), drop((PARTICLES, 1), "rlnOpticsGroup")),
    "no names of particles yet": drop(ROWS, "rlnTomoParticleName"),
    "coordinates in pixels": all_of(
        drop(ROWS, *_CENTRED), *(put(ROWS, f"rlnCoordinate{axis}", 0, 10, 1000, 2000) for axis in "XYZ")
    ),
    "particles at the very edge": put(ROWS, "rlnCenteredCoordinateXAngst", 2700.0, -2700.0),
    "half sets not made yet": put(ROWS, "rlnRandomSubset", 0, 0, 0, 0),
    "more trajectories than particles": keep_rows(ROWS, 0, 2, 3),
    "a tilt offset of the whole series": put(TILTS, "rlnTomoYTilt", *[3.0 * i - 9 + 20 for i in range(N_TILTS)]),
    "in the order of acquisition": all_of(
        without_particles, on_every_series(lambda table: keep_rows(table, 3, 4, 2, 1, 5, 6, 0))
    ),
    "names that tell nothing": on_every_series(
        lambda table: all_of(
            put(table, "rlnMicrographMovieName", *[f"frames/{table[0][-6]}{letter}.mrc" for letter in "ecbadfg"]),
        )
    ),
    "the even and odd halves only": on_every_series(
        lambda table: all_of(
            put(table, "rlnMicrographNameEven", *[f"{i}_EVN.mrc" for i in range(N_TILTS)]),
            drop(table, "rlnMicrographName"),
        )
    ),
    "before the tilt series are aligned": all_of(
        without_particles,
        drop(GLOBAL, "rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ", "rlnTomoTomogramBinning"),
        on_every_series(lambda table: drop(table, *_ALIGNMENT)),
    ),
    "as imported": all_of(
        without_particles,
        drop(GLOBAL, "rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ", "rlnTomoTiltSeriesPixelSize"),
        on_every_series(lambda table: drop(table, *_ALIGNMENT, "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")),
        on_every_series(lambda table: drop(table, "rlnMicrographName", "rlnCtfPowerSpectrum", "rlnCtfImage")),
    ),
    "one tilt, whose dose is told": all_of(
        without_particles, keep_rows(TILTS, 3), put(GLOBAL, "rlnTomoImportFractionalDose", 3.0, 3.0)
    ),
    "slightly astigmatic, the other way round": swap(TILTS, 0, 0, "rlnDefocusU"),
}


@pytest.mark.parametrize(("codes", "edit", "count"), SPOILED, ids=[f"{i}-{s[0]}" for i, s in enumerate(SPOILED)])
def test_finds_what_is_wrong_and_nothing_else(codes: str, edit: Edit, count: int, tmp_path: Path) -> None:
    files = sound_project()
    edit(files)
    report = validate(write(files, tmp_path), project=tmp_path, files=True)
    assert sorted(finding.code for finding in report.findings) == sorted(codes.split())
    assert next(finding.count for finding in report.findings if finding.code == codes.split(maxsplit=1)[0]) == count


@pytest.mark.parametrize("edit", SOUND.values(), ids=SOUND)
def test_lets_pass_what_is_sound(edit: Edit, tmp_path: Path) -> None:
    files = sound_project()
    edit(files)
    report = validate(write(files, tmp_path), project=tmp_path, files=True)
    assert [str(finding) for finding in report.findings] == []
    assert report.exit_code == 0


#: Code, file, the text that is replaced wherever it stands, and by what.
MISTYPED = [
    ("malformed", MOTION, "data_TS_01/1", "loose words\ndata_TS_01/1"),
    ("malformed", SERIES, " 85.2 ", " "),
    ("blank-line-in-loop", SERIES, "frames/TS_01_000_0.0", "\nframes/TS_01_000_0.0"),
    ("comment-in-loop", SERIES, "frames/TS_01_000_0.0", "# the first\nframes/TS_01_000_0.0"),
    ("comment-in-loop", PARTICLES, "\n\ndata_particles", "\n# version 50001\n\ndata_particles"),
    ("crlf", SERIES, "\n", "\r\n"),
    ("no-blank-before-block", PARTICLES, "\n\ndata_particles", "\ndata_particles"),
    ("hash-in-label", SERIES, "_rlnTomoXTilt #", "_rlnTomoXTilt#"),
    ("keyword-in-comment", SERIES, "data_TS_01\n", "data_TS_01\n# the loop_ of TS_01\n"),
    ("blanks-in-name block-name", SERIES, "data_TS_01\n", "data_TS_01 copy\n"),
    ("no-rows", PARTICLES, "data_particles", "data_extra\n\nloop_\n_rlnTomoName\n\ndata_particles"),
    ("list-and-loop", PARTICLES, "Stacks 1\n", "Stacks 1\nloop_\n_rlnTomoName\nTS_01\n"),
    ("blanks-in-value missing-image", OPTIMISATION_SET, "half1.mrc", "half1.mrc or half2.mrc"),
    ("semicolon-line", SERIES, "\nloop_", "; a note\n\nloop_"),
    ("text-before-block", SERIES, "data_TS_01\n", "written by hand\ndata_TS_01\n"),
    (
        "repeated-block",
        TOMOGRAMS,
        "data_global",
        f"{TWO_NOTES}data_global",
    ),
    ("keyword-row missing-file", SERIES, "frames/TS_01_000_0.0.mrc", "_/TS_01_000_0.0.mrc"),
    ("absolute-path", TOMOGRAMS, " Tomograms/job006/tilt", " FOLDER/Tomograms/job006/tilt"),
    ("missing-image", TOMOGRAMS, "rec_TS_01.mrc", "rec_TS_1.mrc"),
    ("missing-image", OPTIMISATION_SET, "half1.mrc", "half.mrc"),
    ("missing-file", TOMOGRAMS, "TS_01.edf", "TS_1.edf"),
    ("outside-star", TOMOGRAMS, " Tomograms/job006/tilt_series/TS_01", " ../Tomograms/job006/tilt_series/TS_01"),
    ("outside-star absolute-path", TOMOGRAMS, " Tomograms/job006/tilt_series/TS_01", " /etc/TS_01"),
    ("outside-star", OPTIMISATION_SET, "Polish/job011/motion.star", "/dev/zero"),
    ("outside-file", OPTIMISATION_SET, "Reconstruct/job012/half1.mrc", "../half1.mrc"),
    ("outside-file", TOMOGRAMS, "rec_TS_01.mrc", "../../../../rec_TS_01.mrc"),
]


@pytest.mark.parametrize(("codes", "path", "old", "new"), MISTYPED, ids=[f"{i}-{m[0]}" for i, m in enumerate(MISTYPED)])
def test_finds_what_is_mistyped_and_nothing_else(codes: str, path: str, old: str, new: str, tmp_path: Path) -> None:
    optimisation_set = write(sound_project(), tmp_path)
    text = (tmp_path / path).read_text()
    assert old in text
    (tmp_path / path).write_bytes(text.replace(old, new.replace("FOLDER", str(tmp_path))).encode())
    report = validate(optimisation_set, project=tmp_path, files=True)
    assert sorted(finding.code for finding in report.findings) == sorted(codes.split())


def test_every_check_has_an_example() -> None:
    shown = {code for codes, *_ in [*SPOILED, *MISTYPED] for code in codes.split()}
    assert {check.code for check in CHECKS} == shown
    assert len({check.code for check in CHECKS}) == len(CHECKS)


def test_a_tilt_that_stands_twice_is_told_of_where_it_stands(tmp_path: Path) -> None:
    files = sound_project()
    without_particles(files)
    keep_rows(TILTS, 0, 1, 2, 3, 3, 4, 5, 6)(files)
    on_every_series(lambda table: drop(table, "rlnMicrographMovieName"))(files)
    (finding,) = validate(write(files, tmp_path), project=tmp_path).findings
    line = (tmp_path / SERIES).read_text().splitlines()[finding.place.line - 1]
    assert (finding.code, line.split()[0]) == ("tilt-twice", "0.001")


def test_images_in_a_folder_that_may_not_be_looked_into_are_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimisation_set = write(sound_project(), tmp_path)
    stat = os.stat

    def refused(path: object, *args: object, **named: object) -> object:
        if "MotionCorr" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return stat(path, *args, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "stat", refused)
    assert not validate(optimisation_set, project=tmp_path, files=True).findings
