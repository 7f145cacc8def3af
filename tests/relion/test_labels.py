"""The label table: RELION's labels with their types, and units and meanings for the tomography model."""

import csv
import re
from pathlib import Path
from typing import get_args

import pytest

from tomoarrow import LABELS
from tomoarrow.star.columns import LabelType

UNITS = {
    "", "1/angstrom", "angstrom", "angstrom^2", "angstrom^4/electron", "count", "degree", "eV", "electron",
    "electron/angstrom^2", "fraction", "kV", "micrometre", "mm", "mrad", "nm", "pixel", "second",
}  # fmt: skip

#: What RELION calls a type, and what it may be here.
TYPES = {
    "double": {"float64"},
    "int": {"int64"},
    "bool": {"bool"},
    "string": {"string", "name", "path"},
    "vector<double>": {"list<float64>"},
    "vector<int>": {"list<int64>"},
}

#: Labels that RELION's Python programs write and its dictionary lacks.
PYTHON_ONLY = {"rlnTomoReconstructedTomogramDenoised", "rlnSphereRadius"}


@pytest.mark.parametrize(
    ("label", "kind", "unit"),
    [
        ("rlnTomoName", "name", ""),
        ("rlnOpticsGroupName", "name", ""),
        ("rlnMicrographName", "path", ""),
        ("rlnTomoTiltSeriesStarFile", "path", ""),
        ("rlnTomoParticleName", "string", ""),
        ("rlnVoltage", "float64", "kV"),
        ("rlnSphericalAberration", "float64", "mm"),
        ("rlnDefocusU", "float64", "angstrom"),
        ("rlnTomoNominalDefocus", "float64", "micrometre"),
        ("rlnMicrographPreExposure", "float64", "electron/angstrom^2"),
        ("rlnTomoHand", "float64", ""),
        ("rlnTomoYTilt", "float64", "degree"),
        ("rlnTomoXShiftAngst", "float64", "angstrom"),
        ("rlnTomoSizeX", "int64", "pixel"),
        ("rlnTomoTiltMovieFrameCount", "int64", "count"),
        ("rlnTomoTomogramBinning", "float64", ""),
        ("rlnTomoSubTomosAre2DStacks", "bool", ""),
        ("rlnTomoVisibleFrames", "list<int64>", ""),
        ("rlnTomoProjX", "list<float64>", ""),
        ("rlnTomogramHProjectionalf2", "path", ""),
        ("rlnKullbackLeibnerDivergence", "float64", ""),
        ("rlnKullbackLeiblerDivergence", "float64", ""),
        ("rlnTomoReconstructedTomogramDenoised", "path", ""),
    ],
)
def test_labels_of_the_tomography_model(label: str, kind: str, unit: str) -> None:
    assert (LABELS[label].type, LABELS[label].unit) == (kind, unit)
    assert len(LABELS[label].description) > 10


def test_the_table_is_sound() -> None:
    assert len(LABELS) >= 612
    assert list(LABELS) == sorted(LABELS)
    for name, label in LABELS.items():
        assert label.name == name
        assert label.type in get_args(LabelType)
        assert label.unit in UNITS, name
        assert not (label.unit and label.type in ("string", "name", "path", "bool")), name
        assert label.description == label.description.strip()
        assert len(label.description) <= 120, name


def test_the_table_is_relions_own(shared: Path) -> None:
    with (shared / "reference" / "relion_labels.csv").open(newline="") as file:
        reference = {row["label"]: row["type"] for row in csv.DictReader(file) if row["type"] != "unknown"}
    with (shared / "reference" / "relion_label_aliases.csv").open(newline="") as file:
        reference |= {row["old_label"]: row["type"] for row in csv.DictReader(file)}
    assert set(LABELS) - PYTHON_ONLY == set(reference)
    for label, kind in reference.items():
        assert LABELS[label].type in TYPES[kind], label


def spelt_out(short: str) -> set[str]:
    """The labels meant by ``rlnTomoSizeX/Y/Z``, ``rlnOriginX/Y/ZAngst`` or ``rlnAngleRot/Tilt/Psi``."""
    first, *rest = short.split("/")
    tails = ["", *(rest[-1][cut:] for cut in range(len(rest[-1])))] if rest else [""]
    found = {first + tail for tail in tails}
    for end in rest:
        found |= {first[:cut] + end + tail for cut in range(3, len(first) + 1) for tail in tails}
    return found & set(LABELS)


def test_labels_that_the_description_of_the_model_names_have_a_meaning(shared: Path) -> None:
    text = (shared / "reference" / "relion_star.md").read_text(encoding="utf-8")
    section = text[text.index("## 4. ") : text.index("## 6. ")]
    named = set().union(*(spelt_out(short) for short in re.findall(r"\brln[A-Za-z0-9]+(?:/[A-Za-z0-9]+)*", section)))
    assert {"rlnTomoSizeZ", "rlnOriginYAngst", "rlnTomoSubtomogramPsi", "rlnTomoProjW"} <= named
    assert len(named) > 110
    assert [label for label in sorted(named) if not LABELS[label].description] == []
