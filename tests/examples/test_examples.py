"""The worked examples work."""

from pathlib import Path

import tomoarrow as ta
from tests.examples.defocus import train
from tomoarrow.example import make_project


def test_a_network_learns_defocus_from_neighbours(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", tomograms=60, tilts=41)
    ta.convert(project.tomograms_star, tmp_path / "d")
    of_mean, of_network = train(tmp_path / "d")
    assert of_network < of_mean / 3
