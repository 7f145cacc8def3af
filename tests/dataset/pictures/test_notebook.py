"""Charts for notebooks: what they draw, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest

import tomoarrow as ta
from tests.dataset.pictures.conftest import ANGLES, NAMES, motion
from tomoarrow.example import make_project


def data(chart: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows of a chart's data of one name."""
    return next(
        part["data"]["values"] for part in [chart, *chart.get("layer", [])] if part.get("data", {}).get("name") == name
    )


def test_plot_tilts(dataset: Path) -> None:
    drawn = ta.plot_tilts(dataset, "TS_3", ["motion"]).to_dict()
    (chart,) = drawn["concat"]
    rows = data(chart, "curve")
    assert [row["angle"] for row in rows] == list(ANGLES)
    assert [row["value"] for row in rows] == pytest.approx([motion(2, t) for t in range(5)])
    assert chart["layer"][-1]["encoding"]["y"]["title"] == "Motion (Å)"
    assert len(ta.Dataset(dataset).plot_tilts("TS_3").to_dict()["concat"]) == 4


def test_plot_distributions(dataset: Path) -> None:
    charts = ta.Dataset(dataset).plot_distributions().to_dict()["concat"]
    assert [sum(row["all"] for row in data(chart, "bins")) for chart in charts] == [58] * 4
    titles = [chart["layer"][0]["encoding"]["x"]["title"] for chart in charts]
    assert titles == ["Defocus (Å)", "Astigmatism (Å)", "Motion (Å)", "Dose (e⁻/Å²)"]


def test_plot_tomograms(dataset: Path) -> None:
    rows = data(ta.Dataset(dataset).plot_tomograms("motion").to_dict(), "points")
    assert [row["name"] for row in rows] == NAMES
    assert [row["tomogram"] for row in rows if row["state"] == "outlier"] == [10]


def test_plot_particles(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=3, tilts=5, particles=4)
    assert made.optimisation_set_star is not None
    ta.convert(made.optimisation_set_star, tmp_path / "ds")
    (rows,) = ta.Dataset(tmp_path / "ds").plot_particles().to_dict()["datasets"].values()
    assert [row["value"] for row in rows] == [4, 4, 4]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ds: ta.plot_tilts(ds, "TS_99"), "no tomogram 'TS_99'"),
        (lambda ds: ta.plot_tilts(ds, "TS_1", ["colour"]), "metric='colour'"),
        (lambda ds: ta.plot_distributions(ds, ["fit"]), "rlnCtfFigureOfMerit"),
        (ta.plot_particles, "no particles"),
    ],
)
def test_what_cannot_be_drawn(dataset: Path, call: Any, message: str) -> None:
    with pytest.raises(ta.UsageError, match=message):
        call(dataset)
