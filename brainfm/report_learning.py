"""Pictures of how the two stages learned, beside what can be had without learning."""

from typing import TYPE_CHECKING, Any

import numpy as np

from brainfm.report_style import ORIGINAL, QUIET, TYPE_COLOURS, label_of, level_colours, new_figure
from brainfm.sensors import SENSOR_TYPES
from brainfm.training_log import Series, TrainingLog

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN = "#b8b8b8"


def tokenizer_figure(log: TrainingLog) -> "Figure":
    """Draw loss, correlation and error of the tokenizer, and the codes in use, over its steps."""
    with new_figure(6.4) as figure:
        panels: Any = figure.subplots(2, 2, sharex=True)
        loss, fidelity, error, usage = panels.flat
        _curve(loss, log.series("train/loss"), TRAIN, "training")
        _curve(loss, log.series("validation/loss"), ORIGINAL, "validation", marked=True)
        loss.set_title("loss")
        loss.set_ylabel("loss (no unit)")
        _curve(fidelity, log.series("train/correlation"), TRAIN, "training")
        _curve(fidelity, log.series("validation/correlation"), ORIGINAL, "validation", marked=True)
        for kind in SENSOR_TYPES:
            series = log.series(f"validation/correlation_{kind}")
            _curve(fidelity, series, TYPE_COLOURS[kind], f"  {label_of(kind, 2)}", marked=True)
        _level_line(fidelity, 0.0, "predicting zero")
        fidelity.set_title("correlation of original and reconstruction")
        fidelity.set_ylabel("correlation")
        _curve(error, log.series("train/amplitude"), TRAIN, "training")
        _curve(error, log.series("validation/error"), ORIGINAL, "validation", marked=True)
        zero = log.series("validation/error_of_zero")
        if len(zero.values):
            _level_line(error, float(zero.values[-1]), "predicting zero (validation)")
        error.set_title("absolute error")
        error.set_ylabel("error (units of the scale)")
        levels = log.levels("validation/usage")
        for level, (series, colour) in enumerate(
            zip(levels, level_colours(len(levels)), strict=True)
        ):
            shown = Series(series.steps, 100 * series.values)
            _curve(usage, shown, colour, f"level {level + 1}", marked=True)
        usage.set_title("codes in use in validation")
        usage.set_ylabel("share of the codebook (%)")
        usage.set_ylim(0, 103)
        commitment = log.series("train/commitment")
        started = commitment.steps[commitment.values > 0]
        for axes in panels.flat:
            if len(started) and started[0] > commitment.steps[0]:
                axes.axvline(started[0], color=QUIET, lw=0.8, ls=":")
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="best")
            axes.set_xlim(0, 1.03 * log.last_step)
        for axes in panels[1]:
            axes.set_xlabel("optimizer step (dotted: codebooks come in)")
    return figure


def masked_model_figure(log: TrainingLog, until: int | None = None) -> "Figure":
    """Draw the masked model's loss per level over its steps, and its accuracy at step ``until``."""
    losses = log.levels("validation/loss")
    colours = level_colours(len(losses))
    with new_figure(4.2) as figure:
        curves, bars = figure.subplots(1, 2, width_ratios=[1.3, 1])
        _curve(curves, log.series("train/loss"), TRAIN, "training, mean of levels")
        for level, (series, colour) in enumerate(zip(losses, colours, strict=True)):
            _curve(curves, series, colour, f"level {level + 1}", marked=True)
            unigram = log.last(f"validation/unigram_loss_{level}", until=until)
            if unigram is not None:
                curves.axhline(unigram, color=colour, lw=1, ls="--")
        curves.plot([], [], color=ORIGINAL, lw=1, ls="--", label="unigram of the same level")
        curves.set_title("loss on hidden codes (validation)")
        curves.set_xlabel("optimizer step")
        curves.set_ylabel("cross-entropy (nats)")
        curves.set_xlim(0, 1.03 * log.last_step)
        curves.legend(loc="best")
        if until is not None and until < log.last_step:
            curves.axvline(until, color=QUIET, lw=0.8, ls=":", label="exported")
            curves.legend(loc="best")
        _accuracy_bars(bars, log, colours, until)
    return figure


def _accuracy_bars(axes: "Axes", log: TrainingLog, colours: list[Any], until: int | None) -> None:
    levels = np.arange(len(colours))
    for offset, name, solid in ((-0.2, "accuracy", True), (0.2, "unigram_accuracy", False)):
        found = [log.last(f"validation/{name}_{level}", until=until) for level in levels]
        heights = [np.nan if value is None else 100 * value for value in found]
        faces = colours if solid else ["white"] * len(colours)
        drawn = axes.bar(levels + offset, heights, 0.38, color=faces, edgecolor=colours, lw=1.3)
        axes.bar_label(drawn, fmt="%.1f", fontsize=9, padding=2)
    axes.bar([0], [np.nan], color=ORIGINAL, edgecolor=ORIGINAL, label="masked model")
    axes.bar([0], [np.nan], color="white", edgecolor=ORIGINAL, label="unigram: always its top code")
    axes.set_xticks(levels, [f"level {level + 1}" for level in levels])
    axes.set_ylabel("hidden codes predicted right (%)")
    axes.set_title("accuracy on hidden codes (validation)")
    axes.margins(y=0.22)
    axes.legend(loc="upper right")


def _curve(axes: "Axes", series: Series, colour: Any, label: str, *, marked: bool = False) -> None:
    if not len(series.steps):
        return
    style: dict[str, Any] = {"marker": "o", "ms": 3.5, "lw": 1.5} if marked else {"lw": 1.0}
    axes.plot(series.steps, series.values, color=colour, label=label, **style)


def _level_line(axes: "Axes", value: float, label: str) -> None:
    axes.axhline(value, color="black", lw=1, ls="--", label=label)
