"""The six questions of ``tomoarrow query``, as one asks them without it: each peer reads what it needs, and answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomoarrow.dataset.reading.query import QUESTIONS
from tomoarrow.example import Example

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

TILT_COLUMNS = ("rlnTomoName", "tilt_index", "rlnTomoYTilt", "rlnDefocusU", "rlnMicrographPreExposure")


def with_pandas(question: str, csv: dict[str, Path]) -> Any:
    """Read the columns that it takes from CSV files, and answer with pandas."""
    import pandas as pd

    if question not in QUESTIONS:
        tilts = pd.read_csv(csv["tilts"], usecols=list(TILT_COLUMNS))
        return tilts[tilts["rlnTomoName"] == question][list(TILT_COLUMNS)]
    ((table, columns),) = QUESTIONS[question].needs.items()
    if question == "missing":
        # Who has one table of all tilts counts them.
        table, columns = "tilts", ()
    keys = ["rlnTomoName"] + ["tilt_index"] * (table == "tilts")
    frame = pd.read_csv(csv[table], usecols=list(dict.fromkeys([*keys, *columns])))
    return _ANSWERS[question](frame)


def _ctf(tilts: pd.DataFrame) -> pd.DataFrame:
    groups = tilts.groupby("rlnTomoName")
    return groups.agg(
        worst_resolution_angst=("rlnCtfMaxResolution", "max"), least_merit=("rlnCtfFigureOfMerit", "min")
    ).reset_index()


def _motion(tilts: pd.DataFrame) -> pd.DataFrame:
    columns = ["rlnTomoName", "tilt_index", "rlnTomoNominalStageTiltAngle", "rlnAccumMotionTotal"]
    return tilts[tilts["rlnAccumMotionTotal"] > 15][columns]


def _dose(tilts: pd.DataFrame) -> pd.DataFrame:
    found = tilts.groupby("rlnTomoName")["rlnMicrographPreExposure"].agg(["count", "max", "min"]).reset_index()
    found["dose_per_tilt"] = (found["max"] - found["min"]) / (found["count"] - 1)
    found = found.rename(columns={"count": "tilts", "max": "last_pre_exposure"})
    return found[["rlnTomoName", "tilts", "last_pre_exposure", "dose_per_tilt"]]


def _shifts(tilts: pd.DataFrame) -> pd.DataFrame:
    tilts["shift_angst"] = (tilts["rlnTomoXShiftAngst"] ** 2 + tilts["rlnTomoYShiftAngst"] ** 2) ** 0.5
    groups = tilts.groupby("rlnTomoName")["shift_angst"]
    tilts["mean"], tilts["spread"] = groups.transform("mean"), groups.transform("std")
    far = (tilts["shift_angst"] - tilts["mean"]).abs() > 3 * tilts["spread"]
    return tilts[far][["rlnTomoName", "tilt_index", "shift_angst", "mean", "spread"]]


def _missing(tilts: pd.DataFrame) -> pd.DataFrame:
    tomograms = tilts.groupby("rlnTomoName").size().rename("tilt_count").reset_index()
    tomograms["usual_count"] = tomograms["tilt_count"].median()
    return tomograms[tomograms["tilt_count"] < tomograms["usual_count"]]


def _particles(particles: pd.DataFrame) -> pd.DataFrame:
    return particles.groupby(["rlnTomoName", "rlnOpticsGroup"]).size().rename("particles").reset_index()


_ANSWERS = {
    "ctf": _ctf,
    "motion": _motion,
    "dose": _dose,
    "shifts": _shifts,
    "missing": _missing,
    "particles": _particles,
}


def with_starfile_rs(question: str, made: Example) -> pl.DataFrame:
    """Read the STAR files that it takes with starfile-rs, and answer with Polars."""
    import polars as pl
    from starfile_rs import read_star

    if question not in QUESTIONS:
        tomograms = read_star(made.tomograms_star)["global"].to_polars()
        path = tomograms.filter(pl.col("rlnTomoName") == question)["rlnTomoTiltSeriesStarFile"][0]
        tilts = read_star(made.directory / path).first().to_polars().with_row_index("tilt_index")
        return tilts.with_columns(pl.lit(question).alias("rlnTomoName")).select(TILT_COLUMNS)
    if question == "particles":
        assert made.particles_star is not None
        frames = {"particles": read_star(made.particles_star)["particles"].to_polars()}
    else:
        frames = _read_set(made)
    return pl.SQLContext(frames, eager=True).execute(QUESTIONS[question].sql)


def _read_set(made: Example) -> dict[str, pl.DataFrame]:
    import polars as pl
    from starfile_rs import read_star

    tomograms = read_star(made.tomograms_star)["global"].to_polars()
    series = [
        read_star(made.directory / path)
        .first()
        .to_polars()
        .with_row_index("tilt_index")
        .with_columns(pl.lit(name).alias("rlnTomoName"))
        for name, path in tomograms.select("rlnTomoName", "rlnTomoTiltSeriesStarFile").iter_rows()
    ]
    counts = pl.DataFrame({"tilt_count": [each.height for each in series]})
    return {
        "tilts": pl.concat(series, how="diagonal_relaxed"),
        "tomograms": pl.concat([tomograms, counts], how="horizontal"),
    }
