"""Fidelity by frequency band: which rhythms survive the codes.

Shapes: C sensors, T samples.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from brainfm.fidelity import FloatArray, Reconstructed
from brainfm.objective import correlation
from brainfm.report_style import SHARE_MAP, TYPE_COLOURS, label_of, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BANDS = MappingProxyType(
    {
        "delta": (0.5, 4.0),
        "theta": (4.0, 8.0),
        "alpha": (8.0, 13.0),
        "beta": (13.0, 30.0),
        "gamma": (30.0, 95.0),
    }
)
"""Edges of the bands, Hz."""

MIN_OCTAVES = 0.25


def limited_band(
    low: float, high: float, *, sfreq: float, lowpass: float
) -> tuple[float, float] | None:
    """Return the part of a band (Hz) that a recording holds; None if hardly any is left."""
    top = min(high, 0.49 * sfreq, lowpass if np.isfinite(lowpass) else high)
    return (low, top) if top > low * 2**MIN_OCTAVES else None


def band_correlations(result: Reconstructed, lowpass: float) -> dict[str, dict[str, float | None]]:
    """Return, by sensor type and band, the correlation of the band-passed signals.

    Both are filtered forth and back (Butterworth, order 4); the mean over channels and pieces,
    each piece weighted by its length. None where the recording holds nothing of the band.
    """
    from scipy.signal import butter, sosfiltfilt

    weights = np.array([piece.shape[1] for piece in result.original], np.float64)
    rows: dict[str, dict[str, float | None]] = {kind: {} for kind in result.types()}
    for name, edges in BANDS.items():
        band = limited_band(*edges, sfreq=result.sfreq, lowpass=lowpass)
        if band is None:
            for row in rows.values():
                row[name] = None
            continue
        sos = butter(4, band, "bandpass", fs=result.sfreq, output="sos")

        def passed(piece: FloatArray, sos: np.ndarray = sos) -> torch.Tensor:
            return torch.from_numpy(sosfiltfilt(sos, piece.astype(np.float64), axis=-1).copy())

        per_channel = np.stack(
            [
                correlation(passed(y), passed(x)).numpy()
                for x, y in zip(result.original, result.reconstruction, strict=True)
            ]
        )
        mean = np.average(per_channel, axis=0, weights=weights)
        for kind, row in rows.items():
            row[name] = float(mean[result.sensors.types == kind].mean())
    return rows


def band_figure(rows: Sequence[tuple[str, str, dict[str, float | None]]]) -> "Figure":
    """Draw a table of correlations.

    Parameters
    ----------
    rows
        Recording, sensor type and its correlation in every band.
    """
    values = np.array(
        [[np.nan if (v := row[band]) is None else v for band in BANDS] for *_, row in rows]
    )
    with new_figure(1.3 + 0.36 * len(rows)) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(values, cmap=SHARE_MAP, vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            dark = np.isfinite(value) and value < 0.6
            text = f"{value:.2f}".replace("-0.00", "0.00") if np.isfinite(value) else "–"
            axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
        names = [f"{band}\n{low:g}–{high:g} Hz" for band, (low, high) in BANDS.items()]
        axes.set_xticks(range(len(BANDS)), names)
        labels = [f"{recording} · {label_of(kind, 2)}" for recording, kind, _ in rows]
        axes.set_yticks(range(len(rows)), labels)
        for tick, (_, kind, _) in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_color(TYPE_COLOURS[kind])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, label="correlation", fraction=0.03, pad=0.02)
    return figure
