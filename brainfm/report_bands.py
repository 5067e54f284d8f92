"""Fidelity by frequency band: which rhythms survive the codes.

Shapes: C sensors, T samples.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from brainfm.fidelity import Reconstructed
from brainfm.frequency_bands import BANDS, band_signal, limited_band
from brainfm.objective import correlation
from brainfm.report_style import SHARE_MAP, TYPE_COLOURS, label_of, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def band_correlations(result: Reconstructed, lowpass: float) -> dict[str, dict[str, float | None]]:
    """Return, by sensor type and band, the correlation of the band-passed signals.

    The mean over channels and pieces, each piece weighted by its length. None where the recording
    holds nothing of the band.
    """
    weights = np.array([piece.shape[1] for piece in result.original], np.float64)
    rows: dict[str, dict[str, float | None]] = {kind: {} for kind in result.types()}
    for name, edges in BANDS.items():
        band = limited_band(*edges, sfreq=result.sfreq, lowpass=lowpass)
        if band is None:
            for row in rows.values():
                row[name] = None
            continue
        per_channel = np.stack(
            [
                correlation(*(torch.from_numpy(band_signal(p, band, result.sfreq)) for p in pair))
                for pair in zip(result.reconstruction, result.original, strict=True)
            ]
        )
        mean = np.average(per_channel, axis=0, weights=weights)
        for kind, row in rows.items():
            row[name] = float(mean[result.sensors.types == kind].mean())
    return rows


def band_figure(
    rows: Sequence[tuple[str, str, Mapping[str, float | None]]],
    *,
    label: str = "correlation",
    limits: tuple[float, float] = (0.0, 1.0),
    high_is_good: bool = True,
    decimals: int = 2,
) -> "Figure":
    """Draw a table of a measure in every band.

    Parameters
    ----------
    rows
        Recording, sensor type and its value in every band.
    label
        What is measured.
    limits
        Values of the first and the last colour.
    high_is_good
        False turns the colours round: bright is good.
    decimals
        Digits after the point.
    """
    values = np.array(
        [[np.nan if (v := row.get(band)) is None else v for band in BANDS] for *_, row in rows]
    )
    low, high = limits
    good = (values - low) / (high - low)
    good = good if high_is_good else 1 - good
    with new_figure(1.3 + 0.36 * len(rows)) as figure:
        axes = figure.add_subplot()
        colours = SHARE_MAP if high_is_good else f"{SHARE_MAP}_r"
        image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            dark = np.isfinite(value) and good[i, j] < 0.6
            zero = f"{0:.{decimals}f}"
            text = f"{value:.{decimals}f}".replace(f"-{zero}", zero) if np.isfinite(value) else "–"
            axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
        names = [f"{band}\n{low:g}–{high:g} Hz" for band, (low, high) in BANDS.items()]
        axes.set_xticks(range(len(BANDS)), names)
        labels = [f"{recording} · {label_of(kind, 2)}" for recording, kind, _ in rows]
        axes.set_yticks(range(len(rows)), labels)
        for tick, (_, kind, _) in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_color(TYPE_COLOURS[kind])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, label=label, fraction=0.03, pad=0.02)
    return figure
