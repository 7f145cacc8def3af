"""Particles beside their optics groups."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tomoarrow.relion.particle_set import join_optics

OPTICS = pa.table({"rlnOpticsGroup": [1, 2], "rlnVoltage": [300.0, 200.0]})


@pytest.mark.parametrize(
    ("groups", "known", "voltages"),
    [
        ([2, 1, 3], [1, 2], [200.0, 300.0, None]),
        ([2.0, 1.5], [1, 2], [200.0, None]),
        ([2, 1], [1.0, 1.5], [None, 300.0]),
        # No double holds it.
        ([2, 2**53 + 1], [1.5, 2.0], [200.0, None]),
    ],
)
def test_each_particle_gets_its_group(groups: list[float], known: list[float], voltages: list[float | None]) -> None:
    optics = pa.table({"rlnOpticsGroup": known, "rlnVoltage": [300.0, 200.0]})
    joined = join_optics(pa.table({"rlnOpticsGroup": groups}), optics)
    assert joined.table["rlnVoltage"].to_pylist() == voltages
    assert joined.labels == {"rlnVoltage": "rlnVoltage"}


def test_a_label_of_both_is_the_particles_own() -> None:
    particles = pa.table({"rlnOpticsGroup": [1], "rlnVoltage": [120.0]})
    assert join_optics(particles, OPTICS).table.to_pylist() == [
        {"rlnOpticsGroup": 1, "rlnVoltage": 120.0, "rlnVoltage_optics": 300.0}
    ]
