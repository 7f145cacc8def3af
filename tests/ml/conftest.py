"""Datasets of a few small row groups."""

from pathlib import Path

import pytest

import tomoarrow as ta
from tomoarrow.dataset import layout
from tomoarrow.example import make_project

TOMOGRAMS, TILTS, PARTICLES = 23, 7, 30


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "p"
    make_project(folder, tomograms=TOMOGRAMS, tilts=TILTS, particles=PARTICLES, seed=3)
    return folder / "Polish/job011/optimisation_set.star"


@pytest.fixture(scope="session")
def dataset(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """161 tilts in groups of 21, three groups a file; 690 particles."""
    folder = tmp_path_factory.mktemp("dataset") / "d"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layout, "ROW_GROUP_ROWS", 21)
        patched.setattr(layout, "FILE_ROWS", 63)
        patched.setattr(layout, "_MOST_FILES", 1)
        ta.convert(project, folder)
    return folder


@pytest.fixture(scope="session")
def partitioned(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a folder for each optics group."""
    folder = tmp_path_factory.mktemp("partitioned") / "d"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layout, "ROW_GROUP_ROWS", 21)
        ta.convert(project, folder, partition_by="rlnOpticsGroupName")
    return folder
