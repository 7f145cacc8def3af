"""What a STAR file is found to be."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import tomoarrow as ta
from tomoarrow.relion.kinds import Kind, kind_of

FILES: list[tuple[str, Kind]] = [
    ("data_\n\n_rlnTomoParticlesFile a.star\n_rlnTomoTomogramsFile b.star\n", "optimisation set"),
    ("data_optimisation_set\nloop_\n_rlnTomoTomogramsFile\nb.star\n", "optimisation set"),
    # The optimiser of a refinement names a tomogram set among many other things.
    ("data_optimiser_general\n_rlnOutputRootName r\n_rlnTomoTomogramsFile b.star\n", "STAR file"),
    ("data_general\n_a 1\ndata_\n_rlnTomoTomogramsFile b.star\n", "STAR file"),
    ("data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\nTS_1 a.star\n", "tomogram set"),
    ("data_global\n_rlnTomoName TS_1\n_rlnTomoTiltSeriesStarFile a.star\n", "tomogram set"),
    ("data_optics\nloop_\n_o\n1\ndata_x\nloop_\n_rlnTomoTiltSeriesStarFile\na.star\n", "tomogram set"),
    ("data_global\nloop_\n_rlnTomoName\nTS_1\ndata_TS_1\nloop_\n_rlnTomoProjX\n[1,0,0,0]\n", "RELION 4 tomogram set"),
    ("data_global\nloop_\n_rlnTomoName\nTS_1\n", "STAR file"),
    ("data_TS_1\nloop_\n_rlnTomoProjX\n[1,0,0,0]\n", "STAR file"),
    ("data_particles\nloop_\n_rlnTomoName\n_rlnCenteredCoordinateXAngst\nTS_1 1\n", "particle set"),
    ("data_\nloop_\n_rlnTomoName\n_rlnCoordinateX\nTS_1 1\n", "particle set"),
    ("data_optics\nloop_\n_rlnOpticsGroup\n1\ndata_particles\nloop_\n_rlnImageName\n1@a.mrcs\n", "particle set"),
    ("data_particles\nloop_\n_x\n1\n", "STAR file"),
    ("data_\nloop_\n_rlnMicrographName\n_rlnCoordinateX\na.mrc 1\n", "STAR file"),
    (
        "data_general\n_rlnParticleNumber 1\n"
        "data_T/1\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n1 2 3\n",
        "trajectory set",
    ),
    ("data_0\nloop_\n_rlnOriginZAngst\n_rlnOriginXAngst\n_rlnOriginYAngst\n1 2 3\n", "trajectory set"),
    (
        "data_T1\nloop_\n_rlnTomoManifoldIndex\n_rlnTomoManifoldType\n_rlnTomoManifoldParams\n1 sphere [1,2]\n",
        "manifold set",
    ),
    ("data_job\n_rlnJobTypeLabel relion.pseudosubtomo\n", "STAR file"),
    ("data_\n", "STAR file"),
]


@pytest.mark.parametrize(("text", "kind"), FILES)
def test_kinds(text: str, kind: Kind) -> None:
    assert kind_of(text.encode()) == kind


#: What the corpus's own list calls a file, and what it is then.
LISTED = {
    "optimisation_set": {"optimisation set"},
    "tomograms(R5)": {"tomogram set"},
    "tomograms(R4/Warp)": {"RELION 4 tomogram set"},
    "particles(tomo)": {"particle set", "STAR file"},
    "particles(spa)": {"particle set", "STAR file"},
}


def test_real_files(shared: Path) -> None:
    with (shared / "corpus" / "PROVENANCE.csv").open() as file:
        listed = [row for row in csv.DictReader(file) if row["kind"] not in ("cif", "nmr-star", "bsoft")]
    found = {}
    for row in listed:
        try:
            found[row["file"]] = kind_of(shared / "corpus" / row["file"])
        except ta.StarSyntaxError:
            continue
    assert len(found) > 370
    kinds = {row["file"]: row["kind"] for row in listed}
    wrong = {file: kind for file, kind in found.items() if kind not in LISTED.get(kinds[file], {"STAR file"})}
    assert wrong == {}
    tomo = [file for file in found if kinds[file] == "particles(tomo)" and "rlnTomoName" in read(shared, file)]
    assert {found[file] for file in tomo} == {"particle set"}


def read(shared: Path, file: str) -> str:
    return (shared / "corpus" / file).read_text()
