"""What `inspect` tells of a project: its sets, what they hold, what they refer to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tomoarrow.relion.overview import Reference, SetSummary, summarise

OPTIMISATION_SET = "data_\n_rlnTomoParticlesFile Extract/job009/p.star\n_rlnTomoTrajectoriesFile Polish/job010/m.star\n"
TOMOGRAMS = "data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\nT1 series/T1.star\nT2 series/T2.star\n"
PARTICLES = (
    "data_optics\nloop_\n_rlnOpticsGroup\n1\n2\n\ndata_particles\nloop_\n_rlnTomoName\n_rlnCoordinateX\nT1 1\nT1 2\n"
)
MOTION = (
    "data_T1/1\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n1 2 3\n\n"
    "data_T1/2\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n1 2 3\n4 5 6\n"
)
RELION_4 = "data_global\nloop_\n_rlnTomoName\nT1\n\ndata_T1\nloop_\n_rlnTomoProjX\n[1,0,0,0]\n"

SUMMARIES = {
    "Extract/job009/optimisation_set.star": SetSummary(
        "Extract/job009/optimisation_set.star",
        "optimisation set",
        {"files": 2},
        (
            Reference("rlnTomoParticlesFile", "Extract/job009/p.star"),
            Reference("rlnTomoTrajectoriesFile", "Polish/job010/m.star", 1, 1),
        ),
    ),
    "Extract/job009/p.star": SetSummary(
        "Extract/job009/p.star", "particle set", {"particles": 2, "tomograms": 1, "optics groups": 2}
    ),
    "Polish/job010/motion.star": SetSummary(
        "Polish/job010/motion.star", "trajectory set", {"trajectories": 2, "rows": 3}
    ),
    "Tomograms/job006/old.star": SetSummary("Tomograms/job006/old.star", "RELION 4 tomogram set", {"tomograms": 1}),
    "Tomograms/job006/tomograms.star": SetSummary(
        "Tomograms/job006/tomograms.star",
        "tomogram set",
        {"tomograms": 2},
        (Reference("rlnTomoTiltSeriesStarFile", "series/T1.star", 2, 1),),
    ),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "Extract/job009/optimisation_set.star": OPTIMISATION_SET,
        "Extract/job009/p.star": PARTICLES,
        "Extract/job009/job.star": "data_job\n_rlnJobTypeLabel relion.pseudosubtomo\n",
        "Polish/job010/motion.star": MOTION,
        "Tomograms/job006/old.star": RELION_4,
        "Tomograms/job006/tomograms.star": TOMOGRAMS,
        "series/T1.star": "data_T1\nloop_\n_rlnTomoYTilt\n0\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_project(project: Path) -> None:
    assert summarise(project) == [SUMMARIES[name] for name in sorted(SUMMARIES)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Extract/job009/optimisation_set.star", ["Extract/job009/optimisation_set.star", "Extract/job009/p.star"]),
        ("Tomograms/job006/tomograms.star", ["Tomograms/job006/tomograms.star"]),
    ],
)
def test_a_set_and_what_it_names(project: Path, given: str, expected: list[str]) -> None:
    assert summarise(project / given) == [SUMMARIES[name] for name in expected]


def test_a_file_that_is_no_set(project: Path) -> None:
    assert summarise(project / "Extract/job009/job.star") == []


def test_a_broken_file_is_told_of_among_the_others(project: Path) -> None:
    (project / "Extract/job009/p.star").write_text(PARTICLES + "T1\n")
    broken = next(each for each in summarise(project) if each.path == "Extract/job009/p.star")
    assert "a row of 1 value in a loop of 2 labels" in broken.problem


def test_what_leads_out_of_the_project_is_told_of_and_not_looked_at(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    for path in [*tmp_path.iterdir()]:
        if path != folder:
            path.rename(folder / path.name)
    given = folder / "Extract/job009/optimisation_set.star"
    (tmp_path / "p.star").write_bytes((folder / "Extract/job009/p.star").read_bytes())
    given.write_text(given.read_text().replace("Extract/job009/p.star", "../p.star"))
    for found in (summarise(given)[0], next(each for each in summarise(folder) if "optimisation" in each.path)):
        assert [(each.path, each.missing, each.outside) for each in found.refers if each.outside] == [
            ("../p.star", 0, 1)
        ]
    assert [each.path for each in summarise(given)] == ["Extract/job009/optimisation_set.star"]
    everything = summarise(given, folder, allow_outside=True)
    assert [each.path for each in everything] == ["Extract/job009/optimisation_set.star", "../p.star"]
    assert not any(each.outside for each in everything[0].refers)


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("series/T1.star", 0),
        ("series/T3.star", 1),
        ("series/T1.star/T3.star", 1),
        ('""', 1),
        # Of which the system does not say.
        ("a" * 300, 0),
    ],
)
def test_what_is_missing_is_what_a_conversion_misses(project: Path, path: str, missing: int) -> None:
    star = project / "Tomograms/job006/tomograms.star"
    star.write_text(TOMOGRAMS.replace("series/T2.star", path))
    (found,) = summarise(star)
    assert [each.missing for each in found.refers] == [missing]


def test_what_is_no_regular_file_is_not_opened(project: Path) -> None:
    os.mkfifo(project / "Extract" / "pipe.star")
    (project / "Extract" / "folder.star").mkdir()
    assert summarise(project) == [SUMMARIES[name] for name in sorted(SUMMARIES)]
