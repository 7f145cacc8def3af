"""What `validate` tells of whole projects: real ones, made-up ones, and made-up ones with a fault seeded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import tomoarrow as ta
from tomoarrow.example import Example, make_project

SKELETON = "TomoBabel__cets-relion/tests/test_data/skeleton_project"
CYLINDRA = "hanjinliu__cylindra/cylindra_builtins/relion/tests/test_jobs"
WARP = "bpowell122__tomodrgn/testing/data/warptools_test_4-tomos_10-ptcls_box-32_angpix-12"
RELION = "3dem__relion/src/tomography_python_programs/_tests/test_project_directory/tilt_series_metadata"

#: IMOD turned the first tilt of TS_54, at -60 degrees, to -54.9.
TURNED = "warning tilt-turned"
MISSING = "error missing-star"
#: Test data patched together: tilt series of another name, without dose and CTF.
PATCHED = ["error block-name", "error dose-column", "error defocus-columns"]

#: All tomogram sets and optimisation sets of real projects, and all that is truly wrong with them.
REAL: dict[str, list[str]] = {
    f"{SKELETON}/Import/job001/tilt_series.star": [],
    f"{SKELETON}/MotionCorr/job002/corrected_tilt_series.star": [],
    f"{SKELETON}/CtfFind/job003/tilt_series_ctf.star": [],
    f"{SKELETON}/ExcludeTiltImages/job004/selected_tilt_series.star": [],
    f"{SKELETON}/AlignTiltSeries/job005/aligned_tilt_series.star": [TURNED],
    # Only four of the five tomograms were reconstructed: they have rlnCtfScalefactor.
    f"{SKELETON}/Tomograms/job006/tomograms.star": [TURNED, "note columns-differ"],
    f"{SKELETON}/CtfRefine/job027/tomograms.star": [TURNED],
    f"{SKELETON}/Polish/job030/tomograms.star": [TURNED],
    f"{SKELETON}/Polish/job070/tomograms.star": [TURNED],
    # Large files were left out of the collection.
    f"{SKELETON}/CtfRefine/job027/optimisation_set.star": [MISSING, TURNED],
    f"{SKELETON}/Picks/job009/optimisation_set.star": [MISSING, MISSING],
    f"{SKELETON}/Picks/job019/optimisation_set.star": [MISSING],
    f"{SKELETON}/Extract/job031/optimisation_set.star": [MISSING, MISSING, TURNED],
    f"{SKELETON}/Class3D/job017/run_it025_optimisation_set.star": [MISSING, MISSING],
    f"{SKELETON}/Polish/job030/optimisation_set.star": [MISSING, TURNED],
    f"{SKELETON}/Polish/job070/optimisation_set.star": [MISSING, MISSING, TURNED],
    f"{SKELETON}/Refine3D/job074/run_optimisation_set.star": [MISSING, MISSING, TURNED],
    f"{SKELETON}/Polish/job030/particles.star": [],
    f"{SKELETON}/Picks/job009/annotations/TS_01_spheres.star": [],
    f"{SKELETON}/Select/job024/particles_removed.star": [],
    # Particles of no tomogram, and what is no set of a tomography project.
    "3dem__em-testdata/metadata/particles_1k.star": [],
    f"{SKELETON}/PostProcess/job079/postprocess.star": [],
    f"{RELION}/tilt_series.star": [],
    # Of an early version: optics in a table of their own, which RELION 5 does not read; another folder for the series.
    "alisterburt__tomo_preprocessing/test_data/import/tilt_series.star": [MISSING, "error global-columns"],
    f"{WARP}_tomograms.star": ["note relion4"],
    f"{WARP}_optimisation_set.star": ["note relion4"],
    f"{CYLINDRA}/Tomograms/job_tomo/tomograms.star": PATCHED,
    f"{CYLINDRA}/Picks/job_picks/optimisation_set.star": [*PATCHED, "warning outside-tomogram"],
    # Particles of other data than the tomograms.
    f"{CYLINDRA}/Class3D/job_class3d/run_it025_optimisation_set.star": [
        *PATCHED,
        "error other-pixel-size",
        "error frames-length",
        "warning outside-tomogram",
    ],
    f"{CYLINDRA}/Refine3D/job_refine/run_it040_optimisation_set.star": [*PATCHED, MISSING],
    f"{CYLINDRA}/Refine3D/job_refine/run_it050_optimisation_set.star": [
        *PATCHED,
        "error other-pixel-size",
        "warning other-optics",
        "warning other-optics",
        "warning outside-tomogram",
    ],
}


@pytest.mark.parametrize("path", REAL)
def test_real_projects_give_no_false_alarm(path: str, shared: Path) -> None:
    report = ta.validate(shared / "corpus" / path)
    found = [f"{finding.severity} {finding.code}" for finding in report.findings]
    assert sorted(found) == sorted(REAL[path]), "\n".join(map(str, report.findings))


def test_no_real_set_is_left_out(shared: Path) -> None:
    project = shared / "corpus" / SKELETON
    sets = {*project.glob("*/job*/*tilt_series*.star"), *project.glob("*/job*/*tomograms.star")}
    sets |= {*project.glob("*/job*/*optimisation_set.star")}
    assert {str(path.relative_to(shared / "corpus")) for path in sets} <= set(REAL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """Three tomograms of nine tilts, with particles and trajectories. Faults are seeded into copies of its files."""
    return make_project(tmp_path_factory.mktemp("made") / "p", tomograms=3, tilts=9, particles=6)


def test_a_made_up_project_is_sound(made: Example) -> None:
    report = ta.validate(made.optimisation_set_star)
    assert report.findings == ()
    assert (report.exit_code, report.counts) == (0, {"error": 0, "warning": 0, "note": 0})
    assert Path(report.project) == made.directory
    assert [(seen.kind, seen.counts) for seen in report.sets] == [
        ("optimisation set", {}),
        ("tomogram set", {"tomograms": 3, "tilts": 27}),
        ("particle set", {"particles": 18}),
        ("trajectory set", {"trajectories": 18}),
    ]


Rows = list[list[str]]


def cell(label: str, row: int, value: str) -> Callable[[str], str]:
    """Put a value into the last loop of a text."""

    def edit(text: str) -> str:
        head, labels, rows = _taken_apart(text)
        rows[row][labels.index(label)] = value
        return _joined(head, rows)

    return edit


def swapped(one: int, two: int, *chosen: str) -> Callable[[str], str]:
    """Exchange the values of some labels, or whole rows."""

    def edit(text: str) -> str:
        head, labels, rows = _taken_apart(text)
        for label in chosen or labels:
            at = labels.index(label)
            rows[one][at], rows[two][at] = rows[two][at], rows[one][at]
        return _joined(head, rows)

    return edit


def without_row(row: int) -> Callable[[str], str]:
    def edit(text: str) -> str:
        head, _, rows = _taken_apart(text)
        return _joined(head, rows[:row] + rows[row + 1 :])

    return edit


def replaced(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


def _taken_apart(text: str) -> tuple[str, list[str], Rows]:
    head, _, body = text.rpartition("loop_ \n")
    lines = body.strip().splitlines()
    labels = [line.split()[0][1:] for line in lines if line.startswith("_")]
    header = "".join(f"{line}\n" for line in lines if line.startswith("_"))
    return f"{head}loop_ \n{header}", labels, [line.split() for line in lines if not line.startswith("_")]


def _joined(head: str, rows: Rows) -> str:
    return head + "".join(" ".join(row) + " \n" for row in rows) + " \n"


GLOBAL = "Tomograms/job006/tomograms.star"
TILTS = "Tomograms/job006/tilt_series/TS_02.star"
PARTICLES = "Extract/job009/particles.star"
MOTION = "Polish/job011/motion.star"
IMAGES = ("rlnMicrographNameEven", "rlnMicrographNameOdd", "rlnMicrographName", "rlnCtfPowerSpectrum", "rlnCtfImage")
CTF = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnCtfImage")

#: One fault each, as they come from sorting, pasting, copying and typing.
SEEDED: list[tuple[str, str, Callable[[str], str]]] = [
    ("missing-star", GLOBAL, cell("rlnTomoTiltSeriesStarFile", 1, "Tomograms/job006/tilt_series/TS_2.star")),
    ("tomogram-twice", GLOBAL, cell("rlnTomoName", 2, "TS_02")),
    ("hand", GLOBAL, cell("rlnTomoHand", 2, "0.000000")),
    ("pixel-size", GLOBAL, cell("rlnMicrographOriginalPixelSize", 0, "0.000000")),
    ("binning", GLOBAL, cell("rlnTomoTomogramBinning", 0, "-1.00000")),
    ("tomogram-size", GLOBAL, cell("rlnTomoSizeZ", 1, "0")),
    ("bad-value", GLOBAL, cell("rlnAmplitudeContrast", 0, "0,1")),
    ("block-name", TILTS, replaced("data_TS_02", "data_TS_2")),
    ("crlf", TILTS, lambda text: text.replace("\n", "\r\n")),
    ("blank-line-in-loop", TILTS, replaced("frames/TS_02_000", "\nframes/TS_02_000")),
    ("not-finite", TILTS, cell("rlnDefocusU", 3, "nan")),
    ("missing", TILTS, cell("rlnCtfMaxResolution", 3, "None")),
    ("malformed", TILTS, replaced("85.000000", "85.000000 85.000000")),
    ("row-mixed", TILTS, swapped(0, 5, *IMAGES)),
    ("row-mixed", TILTS, swapped(2, 3, *CTF)),
    ("angle-mixed", TILTS, swapped(4, 5, "rlnTomoNominalStageTiltAngle")),
    ("dose-order", TILTS, swapped(1, 7, "rlnMicrographPreExposure")),
    ("tilt-turned", TILTS, swapped(1, 7, "rlnTomoYTilt")),
    ("alignment-columns", TILTS, replaced("_rlnTomoZRot", "_rlnTomoZrot")),
    ("defocus-unit", TILTS, cell("rlnDefocusU", 4, "4.012345")),
    ("unknown-tomogram", PARTICLES, cell("rlnTomoName", 0, "TS_99")),
    ("particle-twice", PARTICLES, cell("rlnTomoParticleName", 1, "TS_01/1")),
    ("unknown-optics", PARTICLES, cell("rlnOpticsGroup", 4, "7")),
    ("frames-length", PARTICLES, cell("rlnTomoVisibleFrames", 2, "[1,1,1,1]")),
    ("frames-values", PARTICLES, cell("rlnTomoVisibleFrames", 2, "[1,1,1,1,1,1,1,1,4]")),
    ("outside-tomogram", PARTICLES, cell("rlnCenteredCoordinateYAngst", 2, "99999.000000")),
    ("random-subset", PARTICLES, cell("rlnRandomSubset", 2, "4")),
    ("stack-kind", PARTICLES, replaced("Stacks                       1", "Stacks                       0")),
    ("no-trajectory", MOTION, replaced("data_TS_03/6", "data_TS_03/7")),
    ("trajectory-length", MOTION, without_row(4)),
    ("trajectory-count", MOTION, replaced("          18", "          12")),
]


#: What cannot be wrong without something else being wrong too.
FOLLOWS = {
    # The third tomogram is called as the second: its own series and particles are nobody's.
    "tomogram-twice": {"block-name", "unknown-tomogram"},
    # The misspelt label is another one.
    "alignment-columns": {"columns-differ"},
}


@pytest.mark.parametrize(("code", "path", "edit"), SEEDED, ids=[f"{i}-{each[0]}" for i, each in enumerate(SEEDED)])
def test_a_seeded_fault_is_found_by_its_code(code: str, path: str, edit: Callable[[str], str], made: Example) -> None:
    file = made.directory / path
    sound = file.read_bytes()
    try:
        spoiled = edit(sound.decode())
        assert spoiled != sound.decode()
        file.write_bytes(spoiled.encode())
        report = ta.validate(made.optimisation_set_star)
    finally:
        file.write_bytes(sound)
    assert {finding.code for finding in report.findings} == {code} | FOLLOWS.get(code, set())


def test_the_seeded_faults_are_of_many_kinds() -> None:
    assert len({code for code, *_ in SEEDED}) >= 20


def test_a_finding_says_where(made: Example) -> None:
    file = made.directory / TILTS
    sound = file.read_text()
    try:
        file.write_text(swapped(0, 5, "rlnCtfImage")(sound))
        (finding,) = ta.validate(made.optimisation_set_star).findings
        line = file.read_text().splitlines()[finding.place.line - 1]
    finally:
        file.write_text(sound)
    assert (finding.place.path, finding.place.block, finding.place.label) == (TILTS, "TS_02", "rlnCtfImage")
    assert line[finding.place.column - 1 :].startswith("CtfFind/job003/frames/TS_02_")
    assert line.split()[0].endswith("-12.0.mrc")
    assert "TS_02 row 1, TS_02 row 6" in finding.message


def test_all_that_is_broken_is_told_of_at_once(made: Example) -> None:
    changes = {TILTS: b"\x00not a STAR file", GLOBAL: None, MOTION: b"data_\n_a b c d\n"}
    files = {path: (made.directory / path).read_bytes() for path in changes}
    try:
        for path, data in changes.items():
            if data is not None:
                (made.directory / path).write_bytes(data)
        report = ta.validate(made.optimisation_set_star)
    finally:
        for path, data in files.items():
            (made.directory / path).write_bytes(data)
    assert {finding.place.path for finding in report.findings if finding.code == "malformed"} == {TILTS}
    assert report.exit_code == 1


def test_a_report_is_plain_values(made: Example) -> None:
    report = ta.validate(made.tomograms_star, files=True, strict=True)
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["counts"]["error"] == sum(finding["severity"] == "error" for finding in plain["findings"])
    assert {finding["code"] for finding in plain["findings"]} == {"missing-image", "missing-file"}
    assert (plain["exit_code"], plain["project"]) == (1, str(made.directory))


@pytest.mark.parametrize("severity", ["warning", "error"])
def test_only_errors_fail_if_not_strict(severity: str, made: Example) -> None:
    file = made.directory / TILTS
    sound = file.read_text()
    label, value = {"warning": ("rlnDefocusV", "-40000.0"), "error": ("rlnDefocusV", "4.0")}[severity]
    try:
        file.write_text(cell(label, 0, value)(sound))
        reports = [ta.validate(made.tomograms_star, strict=strict) for strict in (False, True)]
    finally:
        file.write_text(sound)
    assert [report.exit_code for report in reports] == [int(severity == "error"), 1]
    assert reports[0].counts[severity] == 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("data_x\nloop_\n_a\n_b\n1\n", "malformed"),
        ("data_x\n_a 'open\n", "malformed"),
        ("data_particles\nloop_\n_rlnTomoName\n_rlnImageName\n_rlnImageName\nTS_01 a.mrcs b.mrcs\n", "malformed"),
        ("data_TS_01\nloop_\n_rlnTomoManifoldType\n_rlnTomoManifoldType\nsphere sphere\n", "malformed"),
        ('data_\n_rlnTomoParticlesFile ""\n', "unfit"),
        ("data_\n_rlnTomoParticlesFile a b c", "blanks-in-value"),
        ("data_job\n_rlnJobTypeLabel a\nloop_\n_rlnComment\nb\n", "list-and-loop"),
    ],
)
def test_any_file_is_looked_at(text: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "any.star").write_text(text)
    report = ta.validate(tmp_path / "any.star")
    assert code in {finding.code for finding in report.findings}
    assert report.exit_code == 1


@pytest.mark.parametrize("name", ["nowhere.star", "."])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ta.MissingFileError):
        ta.validate(tmp_path / name)


@pytest.mark.slow
def test_a_large_project_is_sound(tmp_path: Path) -> None:
    """100,000 particles in 500 tomograms, with trajectories."""
    made = make_project(tmp_path / "p", tomograms=500, tilts=41, particles=200)
    report = ta.validate(made.optimisation_set_star)
    assert report.findings == ()
    assert report.sets[-1].counts == {"trajectories": 100_000}


@pytest.mark.parametrize("which", ["tomograms_star", "optimisation_set_star"])
def test_a_set_that_is_an_image_of_a_disk(which: str, tmp_path: Path) -> None:
    made = make_project(tmp_path, tomograms=1, tilts=2, particles=2)
    os.truncate(made.tomograms_star, 1 << 40)
    errors = [each for each in ta.validate(getattr(made, which)).findings if each.code == "malformed"]
    assert [Path(each.place.path).name for each in errors] == ["tomograms.star"]
    assert "byte 0x00" in errors[0].message
