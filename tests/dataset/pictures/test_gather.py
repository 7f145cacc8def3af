"""What pictures are made of: outliers, bins, and values a tomogram."""

import base64
import gzip
import math
import statistics
import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.dataset.pictures.conftest import NAMES, motion
from tests.dataset.projects import loop, write_project
from tomoarrow import Dataset, convert, write_page
from tomoarrow.dataset.pictures.gather import bands, gather, histogram, outliers
from tomoarrow.dataset.pictures.outliers import is_outlier, robust_z
from tomoarrow.dataset.pictures.packing import packed_floats, script_json

#: Ten values with median 5.5 and median absolute deviation 2.5.
TEN = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0]


@pytest.mark.parametrize(
    ("values", "scores"),
    [
        (TEN, [(value - 5.5) / (1.482602 * 2.5) for value in TEN]),
        # More than half are the same: the mean of deviations, here 1/10, takes the place of the median.
        ([41] * 9 + [40], [0.0] * 9 + [-1 / (0.1 * math.sqrt(math.pi / 2))]),
        ([7.0] * 9, [0.0] * 9),
        ([1.0, 2.0, 900.0], [0.0] * 3),
        ([*TEN, None], [*((value - 5.5) / (1.482602 * 2.5) for value in TEN), None]),
    ],
    ids=["median", "mean", "constant", "few", "null"],
)
def test_robust_z(values: list[float | None], scores: list[float | None]) -> None:
    found = robust_z(pl.Series(values, strict=False)).to_list()
    assert found == [None if score is None else pytest.approx(score, rel=1e-6) for score in scores]


@pytest.mark.parametrize(
    ("worse", "flagged"), [("high", [False, False, True]), ("low", [True, False, False]), ("both", [True, False, True])]
)
def test_outliers_have_a_side(worse: str, flagged: list[bool]) -> None:
    assert is_outlier(pl.Series([-3.6, 3.4, 3.6]), worse).to_list() == flagged


@pytest.mark.parametrize(
    ("values", "begin", "width", "counts"),
    [
        ([0.0, 3.0, 3.0, 6.0, None], -1.5, 3.0, [1, 2, 1]),
        ([5.0, 5.0], 5.0 - 3.5 * 0.5, 0.5, [0, 0, 0, 2, 0, 0, 0]),
        (pl.Series([20, 20, 20]), 16.5, 1.0, [0, 0, 0, 3, 0, 0, 0]),
        (pl.Series(range(100)), -0.5, 3.0, [3] * 33 + [1]),
    ],
    ids=["steps", "one value", "whole", "whole numbers"],
)
def test_histogram(values: list[float], begin: float, width: float, counts: list[int]) -> None:
    found = histogram(pl.Series(values))
    assert found is not None
    assert (found.begin, found.width, found.counts, found.beyond) == (begin, pytest.approx(width), counts, 0)


def test_a_histogram_counts_each_value_once() -> None:
    values = np.random.default_rng(1).normal(40_000, 5_000, 10_000)
    values[0] = 1e12
    found = histogram(pl.Series(values))
    assert found is not None
    edges = found.begin + found.width * np.arange(len(found.counts) + 1)
    assert found.counts == np.histogram(values, edges)[0].tolist()
    assert sum(found.counts) + found.beyond == len(values)
    assert found.beyond <= 20
    assert 20 <= len(found.counts) <= 60
    assert histogram(pl.Series([None, None], dtype=pl.Float32)) is None


def test_gather(dataset: Path) -> None:
    gathered = gather(Dataset(dataset))
    assert [metric.key for metric in gathered.metrics] == ["defocus", "astigmatism", "motion", "dose"]
    tomograms = gathered.tomograms
    assert tomograms["rlnTomoName"].to_list() == NAMES
    assert tomograms["tilts"].to_list() == [5] * 11 + [3]
    assert tomograms["defocus"].to_list() == [29500.0 + 100 * i for i in range(12)]
    assert tomograms["dose"].to_list() == [12.0] * 11 + [6.0]
    medians = [statistics.median(motion(i, t) for t in range(3 if i == 11 else 5)) for i in range(12)]
    assert tomograms["motion"].to_list() == pytest.approx(medians, rel=1e-6)
    assert {key: frame["tomogram"].to_list() for key, frame in outliers(gathered).items() if frame.height} == {
        "tilts": [11],
        "motion": [9],
        "dose": [11],
    }
    middle = bands(gathered).filter(pl.col("angle").abs() < 1.5)
    assert middle["motion_mid"].to_list() == pytest.approx([statistics.median(motion(i, 2) for i in range(12))])


def test_text_cannot_leave_its_script() -> None:
    text = script_json({"name": "</script><!--&\u2028"})
    assert not set("<>&") & set(text)
    with pytest.raises(ValueError, match="JSON"):
        script_json(float("nan"))


def test_packed_floats() -> None:
    columns = [np.array([0.0, -1.5, np.nan], np.float32), np.array([30_123.456, 1e-30, np.inf], np.float32)]
    planes = gzip.decompress(base64.b64decode(packed_floats(columns)))
    found = [struct.unpack("<f", planes[i::6])[0] for i in range(6)]
    assert found == pytest.approx(np.concatenate(columns).tolist(), rel=0, nan_ok=True)


def test_numbers_that_are_too_large_to_draw_are_left_out(tmp_path: Path) -> None:
    rows = [["1e300", "1e300", "3e38"], ["20000", "1e39", "-3e38"], ["inf", "nan", "1"]]
    series = {name: loop(name, ["rlnDefocusU", "rlnDefocusV", "rlnAccumMotionTotal"], rows) for name in "ab"}
    convert(write_project(tmp_path / "p", series), tmp_path / "d")
    found = gather(Dataset(tmp_path / "d")).tilts
    assert found["defocus"].to_list() == [None] * 6
    assert found["motion"].is_finite().all()
    write_page(tmp_path / "d", tmp_path / "page.html")
