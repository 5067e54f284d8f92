"""Pictures of decoded BOLD: courses of regions and their responses.

Maps on the brain are in :mod:`brainfm.bold_maps`.

Shapes: V volumes, R regions, P frames before a volume.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainfm.report_style import ORIGINAL, QUIET, TYPE_COLOURS, new_figure
from brainfm.sensors import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURED, PREDICTED = ORIGINAL, TYPE_COLOURS["mag"]
COLUMNS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """What one region showed in the volumes of a recording, and what was predicted.

    Parameters
    ----------
    name
        Of the region.
    measured, predicted
        (V,) in any units.
    """

    name: str
    measured: NDArray[Any]
    predicted: NDArray[Any]


def course_figure(times: NDArray[Any], courses: Sequence[Course]) -> "Figure":
    """Draw measured and predicted courses, a row per region, each with mean 0 and deviation 1.

    Ticks at the bottom of a row are the triggers of the volumes; lines break where one is missing.

    Parameters
    ----------
    times
        (V,) s of the triggers in the recording, rising.
    courses
        Of the regions, one or more.

    Raises
    ------
    ValueError
        No courses; times and courses differ in length, or times do not rise.
    """
    lengths = {
        len(times),
        *(len(c.measured) for c in courses),
        *(len(c.predicted) for c in courses),
    }
    if not courses or len(lengths) != 1 or (np.diff(times) <= 0).any():
        raise ValueError(
            f"courses must be one or more, as long as {len(times)} rising times; got lengths "
            f"{sorted(lengths)} of {len(courses)} courses"
        )
    steps = np.diff(times)
    typical = float(np.median(steps)) if len(steps) else 0.0
    gaps = np.flatnonzero(steps > 1.5 * typical) + 1
    with new_figure(0.9 + 1.5 * len(courses)) as figure:
        rows = figure.subplots(len(courses), 1, sharex=True, squeeze=False)[:, 0]
        for axes, course in zip(rows, courses, strict=True):
            for values, colour, label in (
                (course.measured, MEASURED, "measured"),
                (course.predicted, PREDICTED, "predicted"),
            ):
                drawn = np.insert(_standardised(values), gaps, np.nan)
                at = np.insert(np.asarray(times, float), gaps, np.nan)
                axes.plot(at, drawn, color=colour, label=label)
            axes.plot(
                times,
                np.full(len(times), 0.03),
                "|",
                color=QUIET,
                ms=5,
                label="volume trigger",
                transform=axes.get_xaxis_transform(),
            )
            axes.set_title(f"{course.name}: r = {_correlation(course):.2f}")
            axes.set_ylabel("deviations")
        figure.legend(*rows[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
        rows[-1].set_xlabel("time in the recording (s)")
    return figure


def _standardised(values: NDArray[Any]) -> FloatArray:
    apart = np.asarray(values, np.float64) - np.mean(values)
    spread = float(apart.std())
    return apart / spread if spread > 1e-7 * float(np.abs(values).mean()) else np.zeros(len(apart))


def _correlation(course: Course) -> float:
    """Return r; 0 for a course that does not vary."""
    return float(np.mean(_standardised(course.measured) * _standardised(course.predicted)))


def response_figure(
    lags: NDArray[Any],
    responses: Sequence[FloatArray],
    names: Sequence[str],
    *,
    canonical: FloatArray | None = None,
    delays: Sequence[NDArray[Any]] = (),
) -> "Figure":
    """Draw the response of every region against the time since the drive.

    Each is divided by its own largest deviation from zero, with sign: whether the drive or the
    response is the negative one cannot be told.

    Parameters
    ----------
    lags
        (P,) s from a frame to the volume, in the order of the frames.
    responses
        One (R, P) per decoder (fold), drawn as a line each.
    names
        Of the regions, R.
    canonical
        (P,) response for comparison.
    delays
        Per decoder (R,) s by which a region is later than the canonical response, for the titles.

    Raises
    ------
    ValueError
        No responses, or other numbers of regions or frames.
    """
    shape = (len(names), len(lags))
    if not responses or any(each.shape != shape for each in responses):
        raise ValueError(
            f"responses must be (regions, frames) {shape}, got {[each.shape for each in responses]}"
        )
    n_columns = min(COLUMNS, len(names))
    n_rows = -(-len(names) // n_columns)
    width = 11.0 if n_columns == COLUMNS else 0.8 + 2.7 * n_columns
    with new_figure(0.6 + 1.9 * n_rows, width=max(width, 5.0)) as figure:
        panels: NDArray[Any] = figure.subplots(
            n_rows, n_columns, sharex=True, sharey=True, squeeze=False
        )
        for k, name in enumerate(names):
            axes: Axes = panels.flat[k]
            axes.axhline(0, color=QUIET, lw=0.6)
            if canonical is not None:
                axes.plot(lags, _by_peak(canonical), color=QUIET, ls="--", label="canonical")
            for number, each in enumerate(responses):
                label = "decoder of a fold" if number == 0 else None
                axes.plot(lags, _by_peak(each[k]), color=PREDICTED, alpha=0.8, label=label)
            late = [float(one[k]) for one in delays]
            span = f": {min(late):+.1f} to {max(late):+.1f} s" if late else ""
            axes.set_title(f"{name}{span}")
        for k, axes in enumerate(panels.flat[len(names) :], start=len(names)):
            axes.set_axis_off()
            panels.flat[k - n_columns].tick_params(labelbottom=True)
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
        figure.supxlabel("seconds from the drive to the volume", fontsize=10)
        figure.supylabel("response (peak 1)", fontsize=10)
    return figure


def _by_peak(response: FloatArray) -> FloatArray:
    peak = float(response[np.abs(response).argmax()])
    return response / peak if peak else response
