"""The works on tables: reading and writing particles.star and motion.star, each in this process, kernels warm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa

from tomoarrow import read_table, write_star

from . import data, peers
from .agree import with_vectors_as_text
from .contest import Contest, hold
from .measure import Contestant
from .results import Figure, Result

#: What RELION's style and starfile-rs's six decimals may differ by.
_SIX_DECIMALS = 5.1e-7


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is done: `folder` holds the data, `rounds` is how often each runs."""

    folder: Path
    rounds: int
    quick: bool
    full: bool

    @property
    def particles(self) -> int:
        return 30_000 if self.quick else 1_000_000


def _the_same(result: pa.Table) -> pa.Table:
    return result


def _sized(path: Path, what: str) -> str:
    return f"{what}, {path.stat().st_size / 1e6:.0f} MB"


def read_particles(settings: Settings) -> Iterator[Result]:
    """W3: particles.star to Arrow, against readers of the same table as CSV; then in other layouts."""
    rows = settings.particles
    star = data.particles_star(settings.folder / f"particles-{rows}.star", rows)
    csv = data.particles_csv(settings.folder / f"particles-{rows}.csv", star)
    ours = Contestant("tomoarrow", partial(read_table, star, block="particles"), _the_same)
    polars = Contestant("polars.read_csv", partial(peers.read_csv_with_polars, csv), _the_same, aim=1.5)
    others = (
        polars,
        Contestant("pyarrow.csv", partial(peers.read_csv_with_pyarrow, csv), _the_same, aim=1.5),
        Contestant("duckdb read_csv", partial(peers.read_csv_with_duckdb, csv), _the_same, aim=1.5, needs=("duckdb",)),
        Contestant(
            "starfile-rs + polars",
            partial(peers.read_with_starfile_rs, star),
            _the_same,
            aim=5,
            needs=("starfile_rs",),
        ),
    )
    floor = Contestant("read the bytes", star.read_bytes)
    size = _sized(star, f"{rows:,} rows x {len(data.PARTICLE_LABELS)} columns")
    yield hold(Contest("W3", "particles.star to Arrow", size, ours, others, floor), settings.rounds)
    shuffled = data.shuffled_star(settings.folder / f"shuffled-{rows}.star", rows)
    by_hand = data.by_hand_star(settings.folder / f"by-hand-{rows}.star", star)
    relion = Contestant("tomoarrow, RELION's layout", ours.run, _the_same, aim=0.8)
    for path, title in (
        (shuffled, "particles.star, columns in another order"),
        (by_hand, "particles.star, tabs, ragged blanks"),
    ):
        variant = Contestant("tomoarrow", partial(read_table, path, block="particles"), _the_same)
        floor = Contestant("read the bytes", path.read_bytes)
        contest = Contest("W3", title, _sized(path, f"{rows:,} rows"), variant, (relion, polars), floor)
        yield hold(contest, settings.rounds)


def write_particles(settings: Settings) -> Iterator[Result]:
    """W4: the same table from Arrow to STAR in RELION's own style, into a new file each time."""
    rows = settings.particles
    star = data.particles_star(settings.folder / f"particles-{rows}.star", rows)
    table = read_table(star, block="particles")
    frame = pl.DataFrame(with_vectors_as_text(table))
    text = star.read_bytes()
    out, csv = settings.folder / "written.star", settings.folder / "written.csv"
    new, new_csv = partial(out.unlink, missing_ok=True), partial(csv.unlink, missing_ok=True)

    def read_back(_: object) -> pa.Table:
        return read_table(out, block=0)

    ours = Contestant("tomoarrow", partial(write_star, table, out), read_back, before=new)
    others = (
        Contestant(
            "polars.write_csv",
            partial(peers.write_csv_with_polars, frame, csv),
            lambda _: peers.read_csv_with_polars(csv),
            before=new_csv,
            aim=1,
        ),
        Contestant(
            "starfile-rs + polars",
            partial(peers.write_with_starfile_rs, frame, out),
            read_back,
            before=new,
            needs=("starfile_rs",),
            aim=5,
            within=_SIX_DECIMALS,
        ),
    )
    floor = Contestant("write the bytes", partial(out.write_bytes, text), before=new)
    size = _sized(star, f"{rows:,} rows x {table.num_columns} columns")
    yield hold(Contest("W4", "Arrow to particles.star", size, ours, others, floor), settings.rounds)
    new()
    new_csv()


def read_motion(settings: Settings) -> Iterator[Result]:
    """W5: motion.star, which has a block for each particle, to one table; its time grows as its blocks do."""
    few, many = (2_000, 10_000) if settings.quick else (20_000, 200_000)
    results = []
    for blocks in (few, many):
        star = data.motion_star(settings.folder / f"motion-{blocks}.star", blocks)
        ours = Contestant("tomoarrow", partial(read_table, star, block="*"), _the_same)
        gemmi = Contestant(
            "gemmi + numpy",
            partial(peers.read_motion_with_gemmi, star),
            _the_same,
            needs=("gemmi",),
            aim=5,
            rounds=1 if blocks > 100_000 and not settings.full else None,
        )
        floor = Contestant("read the bytes", star.read_bytes)
        size = _sized(star, f"{blocks:,} blocks x {data.TILTS} rows")
        results.append(
            hold(
                Contest("W5", f"motion.star of {blocks:,} blocks to Arrow", size, ours, (gemmi,), floor),
                settings.rounds,
            )
        )
        yield results[-1]
    one, other = (result.ours_best_s or 0.0 for result in results)
    growth = Figure("a block of many, over a block of few", other / one * few / many, "", at_most=1.2)
    yield Result("W5", "motion.star, linear", f"{few:,} and {many:,} blocks", figures=(growth,))
