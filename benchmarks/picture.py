"""The results as a picture: how many times as long each peer takes."""

from __future__ import annotations

from pathlib import Path

from .results import Result, Run

_OURS, _FLOOR = "#0072b2", "#009e73"
_PEERS = "#bbbbbb"


def draw(run: Run, path: Path) -> None:
    """Bars from tomoarrow on, on a logarithmic axis, a group for each work. Needs matplotlib."""
    import matplotlib as mpl

    mpl.use("svg")
    # Text stays text, and the same results give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tomoarrow", "font.size": 9})
    from matplotlib import pyplot as plt

    lines = [line for result in run.results if result.rows for line in _bars(result)]
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.26 * len(lines)), layout="constrained")
    for place, (label, ratio, colour) in enumerate(lines):
        weight = "bold" if colour is None else "normal"
        axes.text(-0.01, place, label, transform=axes.get_yaxis_transform(), ha="right", va="center", weight=weight)
        if ratio is not None:
            axes.barh(place, ratio - 1, left=1, color=colour, height=0.75)
            text = f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"
            axes.text(
                ratio * (1.05 if ratio > 1 else 0.95), place, text, va="center", ha="left" if ratio > 1 else "right"
            )
    axes.axvline(1, color=_OURS, linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.margins(x=0.15)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("times as long as tomoarrow (the line): to the right is slower")
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def _bars(result: Result) -> list[tuple[str, float | None, str | None]]:
    heading = f"{result.work} {result.title} ({result.ours_s:.2g} s)"
    return [(heading, None, None)] + [
        (f"{row.name} (the floor)" if row.is_floor else row.name, row.ratio, _FLOOR if row.is_floor else _PEERS)
        for row in result.rows
    ]
