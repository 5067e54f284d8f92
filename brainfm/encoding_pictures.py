"""Pictures of encoding models: layers by time, and dissimilarities of stimuli.

Shapes: N stimuli, I layers, T times, E = N (N - 1) / 2 pairs.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainfm.report_style import LEVEL_MAP, ORIGINAL, QUIET, SIGNED_MAP, new_figure
from brainfm.sensors import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_WRITTEN = 12
"""Most times for which numbers are written into the cells."""


def layer_time_figure(
    layers: Sequence[str],
    r: FloatArray,
    times: Sequence[float] | NDArray[Any],
    *,
    unit: str = "time (s)",
    ceiling: FloatArray | None = None,
) -> "Figure":
    """Draw r (I, T), mean over targets, as a map of layers by time, first layer below.

    A ring marks the best layer of every time at which any is above zero. Below, the best r beside
    the noise ``ceiling`` (T,), if that is known.
    """
    if r.shape != (len(layers), len(times)):
        raise ValueError(f"r must be (layers, times) {(len(layers), len(times))}, got {r.shape}")
    reach = max(float(np.abs(r).max()), 1e-6)
    with new_figure(2.9 + 0.35 * len(layers), width=9.0) as figure:
        above, below = figure.subplots(2, 1, height_ratios=(1 + 0.3 * len(layers), 1), sharex=True)
        place = np.arange(len(times))
        image = above.imshow(
            r, aspect="auto", origin="lower", cmap=SIGNED_MAP, vmin=-reach, vmax=reach
        )
        figure.colorbar(image, ax=above, label="r of left-out trials", pad=0.01)
        there = r.max(0) > 0
        above.plot(place[there], r.argmax(0)[there], "o", mfc="none", mec=ORIGINAL, ms=7)
        if len(times) <= MAX_WRITTEN:
            for (row, column), value in np.ndenumerate(r):
                strong = abs(value) > 0.6 * reach
                colour = "white" if strong else ORIGINAL
                above.text(column + 0.1, row, f"{value:.2f}", color=colour, fontsize=8, va="center")
        above.set_yticks(range(len(layers)), list(layers))
        below.plot(place, r.max(0), color=ORIGINAL, label="best layer")
        if ceiling is not None:
            below.plot(place, ceiling, color=QUIET, ls="--", label="noise ceiling")
        below.axhline(0, color=QUIET, lw=0.6)
        below.legend(loc="best")
        below.set_ylabel("r")
        step = max(1, len(times) // 10)
        below.set_xticks(place[::step], [f"{t:g}" for t in np.asarray(times)[::step]])
        below.set_xlabel(unit)
    return figure


def dissimilarity_figure(tables: Mapping[str, FloatArray]) -> "Figure":
    """Draw dissimilarities (E,) of all pairs as matrices, one per name, each on its own scale."""
    from scipy.spatial.distance import squareform

    with new_figure(3.1, width=0.4 + 2.9 * len(tables)) as figure:
        panels: Any = figure.subplots(1, len(tables), squeeze=False)
        for axes, (name, values) in zip(panels[0], tables.items(), strict=True):
            # Unbiased ones have no exact zeros on the diagonal to check, and may be negative.
            image = axes.imshow(squareform(values, checks=False), cmap=LEVEL_MAP)
            axes.set_title(name)
            axes.set_xticks([])
            axes.set_yticks([])
            figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    return figure
