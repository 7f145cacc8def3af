"""The charts, with Altair: the same for the page, where scripts fill their data, and for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from ...relion.tomogram_set import NAME
from .gather import Histogram, histogram
from .metrics import Metric, with_unit

#: What a chart's data may be: rows, or the name by which a script finds them.
Rows = Sequence[dict[str, Any]]

_HEIGHT_PX = 180

#: Up to so many tomograms each has a bar of its own; more are counted in a histogram.
_MOST_BARS = 40


@dataclass(frozen=True, slots=True)
class Colours:
    """Quiet for all, strong for those chosen, a warning for outliers; ink is what text is written in."""

    quiet: str = "#c3cad5"
    chosen: str = "#2f6db5"
    outlier: str = "#c8503c"
    ink: str = "#1d2530"


def bins(counted: Histogram) -> list[dict[str, float]]:
    """The bars of a histogram, all of them chosen."""
    return [
        {
            "begin": counted.begin + i * counted.width,
            "end": counted.begin + (i + 1) * counted.width,
            "all": count,
            "chosen": count,
        }
        for i, count in enumerate(counted.counts)
    ]


def distribution(title: str, of: str, counted: Histogram, colours: Colours, *, linked: bool = False) -> alt.LayerChart:
    """A histogram of all values; where it is linked, a script counts those chosen, and marks one.

    Parameters
    ----------
    title : str
        Of the horizontal axis, with the unit.
    of : str
        What is counted: the title of the vertical axis.
    counted : Histogram
    colours : Colours
    linked : bool
        Whether the data `bins` (`begin`, `end`, `all`, `chosen`) and `mark` (`at`) are filled by a script.
    """
    rows = bins(counted)
    scale = alt.Scale(domain=[rows[0]["begin"], rows[-1]["end"]], nice=False, zero=False)
    x = alt.X("begin:Q", title=title, bin="binned", scale=scale, axis=alt.Axis(tickCount=6))
    tooltip = [
        alt.Tooltip("begin:Q", title="from", format=".6~g"),
        alt.Tooltip("end:Q", title="to", format=".6~g"),
        alt.Tooltip("chosen:Q", title=of.lower(), format=","),
        *[alt.Tooltip("all:Q", title=f"of all {of.lower()}", format=",")] * linked,
    ]
    bars = alt.Chart(alt.InlineData(values=rows, name="bins")).encode(x=x, x2="end:Q", tooltip=tooltip)
    y = alt.Y("all:Q", title=of, axis=alt.Axis(tickCount=4, tickMinStep=1, format="~s"))
    layers = [
        bars.mark_bar(color=colours.quiet, binSpacing=1, aria=False).encode(y=y),
        bars.mark_bar(color=colours.chosen, binSpacing=1, aria=False).encode(y=alt.Y("chosen:Q", title=of)),
    ]
    if linked:
        mark = alt.Chart(alt.InlineData(values=[], name="mark")).mark_rule(
            color=colours.outlier, strokeWidth=2, clip=True
        )
        layers.append(mark.encode(x=alt.X("at:Q")))
    return alt.LayerChart(layer=layers if linked else layers[1:], height=_HEIGHT_PX)


def curve(
    metric: Metric, unit: str, angle: tuple[str, str], rows: Rows, band: pl.DataFrame, colours: Colours
) -> alt.LayerChart:
    """One tomogram's values against the tilt angle, before how all tomograms spread.

    Parameters
    ----------
    metric : Metric
    unit : str
    angle : tuple of str
        Title and unit of the horizontal axis.
    rows : sequence of dict
        `angle`, `value` and `dose` of each tilt: the data `curve`.
    band : polars.DataFrame
        As `bands` gives it.
    colours : Colours
    """
    x = alt.X("angle:Q", title=with_unit(*angle), scale=alt.Scale(zero=False, nice=False, padding=6))
    title = with_unit(metric.title, unit)
    scale = alt.Scale(zero=metric.worse == "high")
    spread = alt.Chart(alt.InlineData(values=_band_rows(metric, band), name="band"))
    area = spread.mark_area(color=colours.quiet, opacity=0.55).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q")
    middle = spread.mark_line(color=colours.ink, opacity=0.45, strokeDash=[3, 3], strokeWidth=1)
    one = alt.Chart(alt.InlineData(values=list(rows), name="curve"))
    y = alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5))
    tooltip = [
        alt.Tooltip("angle:Q", title=angle[0].lower(), format=".2f"),
        alt.Tooltip("value:Q", title=metric.title.lower(), format=".5~g"),
        alt.Tooltip("dose:Q", title="dose", format=".4~g"),
    ]
    line = one.mark_line(color=colours.chosen, strokeWidth=1.5, point=alt.OverlayMarkDef(color=colours.chosen, size=22))
    layers = [
        area,
        middle.encode(x=x, y=alt.Y("mid:Q", scale=scale)),
        line.encode(x=x, y=y, tooltip=tooltip),
    ]
    return alt.LayerChart(layer=layers, height=_HEIGHT_PX)


def _band_rows(metric: Metric, band: pl.DataFrame) -> list[dict[str, Any]]:
    if f"{metric.key}_mid" not in band.columns:
        return []
    names = {f"{metric.key}_{part}": part for part in ("low", "mid", "high")}
    rows = band.select("angle", *(pl.col(column).alias(name) for column, name in names.items()))
    return rows.drop_nulls().to_dicts()


def scatter(title: str, rows: Rows, colours: Colours) -> alt.Chart:
    """One point a tomogram, in the order of the set; outliers and the selected one stand out.

    Parameters
    ----------
    title : str
        Of the vertical axis, with the unit.
    rows : sequence of dict
        `tomogram` (from 1), `name`, `value` and `state` ("quiet", "chosen", "outlier" or "selected"): the data
        `points`.
    colours : Colours
    """
    states = ["quiet", "chosen", "outlier", "selected"]
    colour = alt.Scale(domain=states, range=[colours.quiet, colours.chosen, colours.outlier, colours.ink])
    small, large = alt.datum.state == "outlier", alt.datum.state == "selected"
    across = alt.Scale(zero=False, nice=False, padding=8)
    points = alt.Chart(alt.InlineData(values=list(rows), name="points"), height=220)
    # Thousands of marks are nothing to read aloud: the table has the same.
    drawn: alt.Chart = points.mark_point(filled=True, opacity=0.8, aria=False).encode(
        x=alt.X("tomogram:Q", title="Tomogram, in the order of the set", scale=across, axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
        color=alt.Color("state:N", scale=colour, legend=None),
        size=alt.when(large).then(alt.value(130)).when(small).then(alt.value(46)).otherwise(alt.value(22)),
        tooltip=[alt.Tooltip("name:N", title="tomogram"), alt.Tooltip("value:Q", title=title, format=".5~g")],
    )
    return drawn


def particles(tomograms: pl.DataFrame, colours: Colours) -> alt.Chart | alt.LayerChart | None:
    """Particles per tomogram: a bar each for up to 40 tomograms, else a histogram; None where there are none.

    Parameters
    ----------
    tomograms : polars.DataFrame
        As `gather` gives them.
    colours : Colours
    """
    if "particles" not in tomograms.columns or tomograms.is_empty():
        return None
    if tomograms.height > _MOST_BARS:
        counted = histogram(tomograms["particles"])
        assert counted is not None
        return distribution("Particles in a tomogram", "Tomograms", counted, colours)
    rows = tomograms.select(pl.col(NAME).alias("name"), pl.col("particles").alias("value")).to_dicts()
    bars = alt.Chart(alt.InlineData(rows), height=_HEIGHT_PX).mark_bar(color=colours.chosen)
    drawn: alt.Chart = bars.encode(
        x=alt.X("name:N", title="Tomogram", sort=None, axis=alt.Axis(labelAngle=-60, labelLimit=90)),
        y=alt.Y("value:Q", title="Particles", axis=alt.Axis(tickCount=4, tickMinStep=1)),
        tooltip=[alt.Tooltip("name:N", title="tomogram"), alt.Tooltip("value:Q", title="particles", format=",")],
    )
    return drawn
