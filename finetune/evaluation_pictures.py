"""Pictures of an evaluation. All are drawn from its numbers (``evaluation.json``)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainfm.report_style import ORIGINAL, QUIET, TYPE_COLOURS, new_figure

from .run_controls import spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN, BASELINE, CONTROL = TYPE_COLOURS["eeg"], TYPE_COLOURS["planar"], QUIET
MAX_NAMED = 24
"""Most subjects, or classes, that are named on an axis."""

Numbers = Mapping[str, Any]


def beside_figure(numbers: Numbers) -> "Figure":
    """Draw the main score of the run above those of its controls and baselines."""
    main = numbers["scores"][0]
    rows = [("this run", main, OWN)]
    for where, colour in (("controls", CONTROL), ("baselines", BASELINE)):
        rows += [(spoken(name), one["score"], colour) for name, one in numbers[where].items()]
    with new_figure(1.1 + 0.32 * len(rows)) as figure:
        axes = figure.subplots()
        for place, (_, score, colour) in enumerate(rows):
            _draw_estimate(axes, score["value"], place, score["interval"], colour)
            each = [v for v in score["subjects"].values() if v is not None]
            axes.plot(each, [place + 0.22] * len(each), ".", color=colour, ms=4, alpha=0.5)
        _draw_chance(axes, main["chance"], vertical=True)
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axes.invert_yaxis()
        axes.set_xlabel(_axis_name(main))
    return figure


def subjects_figure(score: Numbers) -> "Figure":
    """Draw the value of every subject, sorted, with mean, interval and chance."""
    pairs = sorted(score["subjects"].items(), key=lambda item: item[1])
    with new_figure(3.4) as figure:
        axes = figure.subplots()
        if score["interval"]:
            axes.axhspan(*score["interval"], color=OWN, alpha=0.15, lw=0, label="95 % interval")
        axes.axhline(score["value"], color=OWN, label="mean")
        _draw_chance(axes, score["chance"], vertical=False)
        axes.plot([value for _, value in pairs], "o", color=ORIGINAL, ms=5)
        if len(pairs) <= MAX_NAMED:
            names = [name.rsplit("/", 1)[-1] for name, _ in pairs]
            axes.set_xticks(range(len(pairs)), names, rotation=45 if len(pairs) > 8 else 0)
        axes.set_xlim(-0.6, len(pairs) - 0.4)
        axes.set_xlabel("subject")
        axes.set_ylabel(_axis_name(score))
        axes.legend(loc="best")
    return figure


def confusion_figure(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> "Figure":
    """Draw how often each class was taken for each: colours are shares of a row, numbers counts."""
    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    n = len(counts)
    size = min(8.0, 2.2 + 0.5 * n)
    with new_figure(size, width=size + 1.2) as figure:
        axes = figure.subplots()
        brightest = 1.0 if n <= MAX_NAMED else float(shares.max())
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=brightest)
        if n <= MAX_NAMED:
            for row, column in np.ndindex(n, n):
                colour = "white" if shares[row, column] > 0.55 else ORIGINAL
                text = str(counts[row, column])
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
            axes.set_xticks(
                range(n), names, rotation=45 if n > 4 else 0, ha="right" if n > 4 else "center"
            )
            axes.set_yticks(range(n), names)
        axes.set_xlabel("decoded")
        axes.set_ylabel("true")
        figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046, pad=0.03)
    return figure


def calibration_figure(curve: Sequence[Numbers]) -> "Figure":
    """Draw the share of right decisions against confidence; size is the number of trials."""
    with new_figure(4.2, width=5.6) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=QUIET, ls="--", label="calibrated")
        x, y, n = ([point[name] for point in curve] for name in ("confidence", "right", "n"))
        axes.plot(x, y, color=OWN)
        axes.scatter(x, y, s=12 + 180 * np.array(n) / max(n), color=OWN)
        axes.set_xlim(0, 1.03)
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("confidence (probability of the decoded class)")
        axes.set_ylabel("share right")
        axes.legend(loc="upper left")
    return figure


def n_way_figure(curve: Sequence[Numbers]) -> "Figure":
    """Draw identification among n contents against n."""
    n = [point["n"] for point in curve]
    with new_figure(3.8, width=7.0) as figure:
        axes = figure.subplots()
        _draw_curve(axes, n, curve, OWN, "this run")
        axes.plot(n, [point["chance"] for point in curve], color=QUIET, ls="--", label="chance")
        _log2_axis(axes, n)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("contents to choose from")
        axes.set_ylabel("share identified")
        axes.legend()
    return figure


def averaging_figure(curves: Mapping[str, Sequence[Numbers]]) -> "Figure":
    """Draw what averaging presentations gains, within subjects and over them."""
    held = {name: points for name, points in curves.items() if points}
    measures = list(next(iter(held.values()))[0]["measures"])
    with new_figure(3.6, width=4.6 * len(measures)) as figure:
        panels: Any = figure.subplots(1, len(measures), squeeze=False)
        for axes, measure in zip(panels[0], measures, strict=True):
            for (name, points), colour in zip(held.items(), (OWN, BASELINE), strict=False):
                k = [point["k"] for point in points]
                values = [point["measures"][measure] for point in points]
                _draw_curve(axes, k, values, colour, name)
            _log2_axis(axes, sorted({p["k"] for points in held.values() for p in points}))
            axes.set_ylim(0, 1.02)
            axes.set_title(measure)
            axes.set_xlabel("presentations averaged")
        panels[0, 0].set_ylabel("share identified")
        panels[0, 0].legend(loc="lower right")
    return figure


def outputs_figure(outputs: Sequence[Numbers]) -> "Figure":
    """Draw the correlation of every output with its interval, sorted."""
    order = sorted(outputs, key=lambda one: -(one["r"]["value"] or 0))
    with new_figure(min(9.0, 1.2 + 0.24 * len(order))) as figure:
        axes = figure.subplots()
        for place, one in enumerate(order):
            if one["r"]["value"] is not None:
                _draw_estimate(axes, one["r"]["value"], place, one["r"]["interval"], OWN)
        _draw_chance(axes, 0.0, vertical=True)
        if len(order) <= 3 * MAX_NAMED:
            axes.set_yticks(range(len(order)), [one["name"] for one in order], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("correlation")
    return figure


def _draw_curve(
    axes: "Axes", x: Sequence[float], points: Sequence[Numbers], colour: str, label: str
) -> None:
    values = [point["value"] for point in points]
    axes.plot(x, values, "o-", color=colour, ms=4, label=label)
    if all(point["interval"] for point in points):
        low, high = zip(*(point["interval"] for point in points), strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)


def _draw_estimate(
    axes: "Axes", value: float | None, place: float, interval: Sequence[float] | None, colour: str
) -> None:
    if value is None:
        return
    if interval:
        axes.plot(interval, [place, place], color=colour, lw=2)
    axes.plot([value], [place], "o", color=colour, ms=7)


def _draw_chance(axes: "Axes", chance: float | None, *, vertical: bool) -> None:
    if chance is not None:
        draw = axes.axvline if vertical else axes.axhline
        draw(chance, color=QUIET, ls="--", lw=1, zorder=0, label="chance")


def _log2_axis(axes: "Axes", ticks: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _axis_name(score: Numbers) -> str:
    less = score["name"] in ("CER", "WER", "median rank", "calibration error")
    return f"{score['name']} (less is better)" if less else str(score["name"])
