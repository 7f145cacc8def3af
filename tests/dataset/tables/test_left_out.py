"""What is left out is listed: a row for each value, file and tomogram, and no more than was allowed."""

from pathlib import Path

import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import loop, tilts, write_project
from tomoarrow.dataset.verify import verify
from tomoarrow.example import make_project

GOOD = tilts("x", 3)

#: Tilt-series files of tomogram b, and what is told of them.
BAD_FILES = {
    "a row that is cut": (loop("b", ["rlnTomoYTilt", "rlnTomoXTilt"], [[1, 2], [1]]).encode(), 7, "a row of 1 value"),
    "no UTF-8": (b"data_b\n\x80\n", 2, "is not UTF-8"),
    "a NUL byte": (b"data_b\nloop_\n_rlnTomoYTilt\n1\0\n", 4, "byte 0x00"),
    "a word in a number": (loop("b", ["rlnMicrographPreExposure"], [[1], ["much"]]).encode(), 6, "is not a number"),
    "two blocks of the name": (GOOD.replace("data_x", "data_b").encode() * 2, None, "2 blocks"),
    "the set itself": (
        b"data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\nb x.star\n",
        1,
        "is a tomogram set",
    ),
    "particles": (b"data_particles\nloop_\n_rlnTomoName\n_rlnCoordinateX\nb 1\n", 1, "is a particle set"),
    "trajectories": (
        b"data_b/1\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n1 1 1\n",
        1,
        "trajectory",
    ),
    "manifolds": (b"data_manifolds\nloop_\n_rlnTomoManifoldType\n_rlnX\nsphere 1\n", 1, "is a manifold set"),
    "a gzip that is cut": (b"\x1f\x8b\x08\0\0\0", None, "damaged"),
}


@pytest.mark.parametrize(("text", "line", "reason"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_tilt_series_that_cannot_be_read(tmp_path: Path, text: bytes, line: int | None, reason: str) -> None:
    star = write_project(tmp_path / "p", {name: tilts(name, 3) for name in "abc"})
    (tmp_path / "p/tilt_series/1.star").write_bytes(text)
    with pytest.raises(ta.TomoarrowError):
        ta.convert(star, tmp_path / "refused")
    report = ta.convert(star, tmp_path / "d", on_bad_file="skip")
    assert (report.rejects, report.exit_code, report.tilts, report.tomograms) == (1, 1, 6, 3)
    dataset = ta.Dataset(tmp_path / "d")
    (reject,) = dataset.rejects.collect().to_dicts()
    assert (reject["file"], reject["line"]) == ("tilt_series/1.star", line)
    assert "left out" in reject["reason"]
    assert reason in reject["reason"]
    assert dataset.manifest["rejects"] == 1
    assert dataset.tomograms.collect()["tilt_count"].to_list() == [3, None, 3]
    assert dataset.tilts.collect_schema().names()[2:] == ["rlnMicrographPreExposure", "rlnTomoTiltSeriesStarFile"]
    assert verify(tmp_path / "d").differences == []


def test_a_set_that_names_itself(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {name: tilts(name, 3) for name in "abc"})
    (tmp_path / "p/tilt_series/1.star").unlink()
    (tmp_path / "p/tilt_series/1.star").symlink_to("../tomograms.star")
    star.write_text(star.read_text().replace("tilt_series/2.star", star.name))
    with pytest.raises(ta.SchemaError, match=r"2 errors in tilt-series files(?s:.*)is a tomogram set"):
        ta.convert(star, tmp_path / "refused")
    report = ta.convert(star, tmp_path / "d", on_bad_file="skip")
    assert (report.rejects, report.tilts, report.tomograms) == (2, 3, 3)
    assert [finding.severity for finding in ta.validate(star).findings][:2] == ["error", "error"]


def test_each_slab_leaves_its_own_files_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomoarrow.dataset.tables.tilts._SLAB_BYTES", 1)
    star = write_project(tmp_path / "p", {name: tilts(name, 3) for name in "abcd"})
    for number in (0, 2):
        (tmp_path / f"p/tilt_series/{number}.star").write_bytes(b"\x80")
    report = ta.convert(star, tmp_path / "d", on_bad_file="skip")
    assert (report.rejects, report.tilts) == (2, 6)


@pytest.mark.parametrize("which", ["particles_star", "trajectories_star"])
def test_a_set_that_cannot_be_read(tmp_path: Path, which: str) -> None:
    made = make_project(tmp_path / "p", tomograms=2, tilts=3, particles=4)
    path = getattr(made, which)
    path.write_bytes(path.read_bytes().rstrip()[:-20] + b"\n")
    assert made.optimisation_set_star is not None
    with pytest.raises(ta.TomoarrowError):
        ta.convert(made.optimisation_set_star, tmp_path / "refused")
    report = ta.convert(made.optimisation_set_star, tmp_path / "d", on_bad_file="skip")
    assert (report.rejects, report.exit_code) == (1, 1)
    dataset = ta.Dataset(tmp_path / "d")
    left = {"particles_star": {"tilts", "tomograms", "trajectories", "pairs"}}
    left["trajectories_star"] = {"tilts", "tomograms", "particles", "optics", "pairs"}
    assert set(dataset.tables) == left[which]
    (reject,) = dataset.rejects.collect().to_dicts()
    assert reject["file"].endswith(path.name)
    assert verify(tmp_path / "d").differences == []


def test_the_file_that_was_given_is_never_left_out(tmp_path: Path) -> None:
    (tmp_path / "x.star").write_bytes(b"data_x\nloop_\n_a\n_b\n1\n")
    with pytest.raises(ta.StarSyntaxError):
        ta.convert(tmp_path / "x.star", tmp_path / "d", on_bad_file="skip")


@pytest.mark.parametrize("most", [0, 1, 2, 3, None])
def test_no_more_is_left_out_than_was_allowed(tmp_path: Path, most: int | None) -> None:
    star = write_project(tmp_path / "p", {name: tilts(name, 3) for name in "abc"})
    (tmp_path / "p/tilt_series/0.star").unlink()
    (tmp_path / "p/tilt_series/1.star").write_bytes(b"\x80")
    (tmp_path / "p/tilt_series/2.star").write_text(loop("c", ["rlnMicrographPreExposure"], [["x"], [1]]))
    left_out = {"missing": "skip", "on_bad_file": "skip", "on_bad_value": "null", "max_rejects": most}
    if most is not None and most < 3:
        with pytest.raises(ta.SchemaError, match=f"3 rejects, more than {most}"):
            ta.convert(star, tmp_path / "d", **left_out)  # type: ignore[arg-type]
        assert not (tmp_path / "d").exists()
    else:
        report = ta.convert(star, tmp_path / "d", **left_out)  # type: ignore[arg-type]
        assert report.rejects == 3
        rejects = pl.read_parquet(tmp_path / "d/rejects/*.parquet")
        assert rejects["file"].to_list() == [str(star), "tilt_series/1.star", "tilt_series/2.star"]


def test_what_cannot_be_looked_at_is_not_missing(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {name: tilts(name, 2) for name in "ab"})
    ta.convert(star, tmp_path / "e")
    series = tmp_path / "p" / "tilt_series" / "0.star"
    series.unlink()
    # Nobody can say what this is, as of a file in a folder that may not be looked into.
    series.symlink_to(series.name)
    with pytest.raises(ta.MissingFileError, match="cannot read the file: Too many levels"):
        ta.convert(star, tmp_path / "d", missing="skip")
    report = ta.convert(star, tmp_path / "d", on_bad_file="skip")
    assert (report.tomograms, report.tilts) == (2, 2)
    assert "Too many levels" in ta.Dataset(tmp_path / "d").rejects.collect()["reason"][0]
    again = ta.convert(star, tmp_path / "d", on_bad_file="skip", update=True)
    assert (again.tomograms, again.tilts, again.rejects) == (2, 2, 1)
    with pytest.raises(ta.MissingFileError, match="cannot read the file: Too many levels"):
        ta.convert(star, tmp_path / "d", missing="skip", update=True)
    # The same of one that has come since.
    series.unlink()
    series.write_text(tilts("a", 2))
    star.write_text(star.read_text() + "c tilt_series/2.star\n")
    (series.parent / "2.star").symlink_to("2.star")
    with pytest.raises(ta.MissingFileError, match="cannot read the file: Too many levels"):
        ta.convert(star, tmp_path / "e", update=True)
    more = ta.convert(star, tmp_path / "d", on_bad_file="skip", update=True)
    assert (more.tomograms, more.tilts, more.rejects) == (3, 4, 1)


def test_a_missing_tomogram_may_have_a_name_that_no_block_can_have(tmp_path: Path) -> None:
    text = b"data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\n'a b' gone.star\n"
    (tmp_path / "x.star").write_bytes(text)
    ta.convert(tmp_path / "x.star", tmp_path / "d", missing="skip")
    ta.export(tmp_path / "d", tmp_path / "out")
    assert [path.read_bytes() for path in (tmp_path / "out").rglob("*.star")] == [text]
