"""Pictures of what codes keep: waveforms and power spectra, original against reconstruction.

Shapes: C sensors, T samples, W windows, L samples a window, F frequencies.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from brainfm.fidelity import Fidelity, FloatArray, Reconstructed
from brainfm.objective import correlation
from brainfm.report_style import ORIGINAL, QUIET, TYPE_COLOURS, display_unit, label_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_TRACES = 5
TRACE_WINDOWS = 2


class Excerpt(NamedTuple):
    """A few seconds of a recording: first sample, original and reconstruction (C, T)."""

    start: int
    original: FloatArray
    reconstruction: FloatArray


class Spectra(NamedTuple):
    """Power spectral densities (C, F) in units of scale squared per Hz, at ``freqs`` (F,) Hz."""

    freqs: NDArray[np.float64]
    original: NDArray[np.float64]
    reconstruction: NDArray[np.float64]
    error: NDArray[np.float64]


def typical_excerpt(result: Reconstructed, n_windows: int = TRACE_WINDOWS) -> Excerpt:
    """Return consecutive windows whose correlation is the median of all there are: not the best."""
    found: list[tuple[float, int, int]] = []
    for k, (x, y) in enumerate(zip(result.original, result.reconstruction, strict=True)):
        wide = min(n_windows * result.window, x.shape[1])
        for begin in range(0, x.shape[1] - wide + 1, result.window):
            part = slice(begin, begin + wide)
            r = correlation(torch.from_numpy(y[:, part]), torch.from_numpy(x[:, part]))
            found.append((float(r.mean()), k, begin))
    _, k, begin = sorted(found)[(len(found) - 1) // 2]
    stop = begin + n_windows * result.window
    return Excerpt(
        result.starts[k] + begin,
        result.original[k][:, begin:stop],
        result.reconstruction[k][:, begin:stop],
    )


def spread_channels(positions: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return up to ``n`` sensors that lie far from each other, from front to back.

    The foremost comes first, then always the one farthest from all that are chosen.
    """
    chosen = [int(positions[:, 1].argmax())]
    distance = np.linalg.norm(positions - positions[chosen[0]], axis=1)
    while len(chosen) < min(n, len(positions)):
        # Planar gradiometers share places: those of a chosen place come last, each once.
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
        step = np.linalg.norm(positions - positions[chosen[-1]], axis=1)
        distance = np.minimum(distance, step)
    ordered = sorted(chosen, key=lambda k: -positions[k, 1])
    return np.array(ordered, np.int64)


def spectra_of(result: Reconstructed) -> Spectra:
    """Return Welch's spectra, mean over the pieces, of original, reconstruction and error."""
    from scipy.signal import welch

    weights = [piece.shape[1] for piece in result.original]
    freqs = np.fft.rfftfreq(result.window, 1 / result.sfreq)

    def mean_spectrum(pieces: Sequence[FloatArray]) -> NDArray[np.float64]:
        each = [welch(p, result.sfreq, nperseg=result.window, axis=-1)[1] for p in pieces]
        return np.average(each, axis=0, weights=weights).astype(np.float64)

    errors = [y - x for x, y in zip(result.original, result.reconstruction, strict=True)]
    return Spectra(
        freqs.astype(np.float64),
        mean_spectrum(result.original),
        mean_spectrum(result.reconstruction),
        mean_spectrum(errors),
    )


def reconstruction_figure(
    result: Reconstructed, rows: Sequence[Fidelity], lowpass: float
) -> "Figure":
    """Draw waveforms and spectra, one row per sensor type.

    Parameters
    ----------
    result
        What to draw; not empty.
    rows
        Its fidelity per sensor type, which goes into the titles.
    lowpass
        Hz above which the recording holds nothing; NaN where unknown.
    """
    excerpt, spectra = typical_excerpt(result), spectra_of(result)
    with new_figure(0.3 + 3.1 * len(rows)) as figure:
        grid = figure.add_gridspec(len(rows), 2, width_ratios=[2.1, 1])
        for k, row in enumerate(rows):
            waves, powers = figure.add_subplot(grid[k, 0]), figure.add_subplot(grid[k, 1])
            chosen = np.flatnonzero(result.sensors.types == row.sensor_type)
            _draw_waves(waves, result, excerpt, chosen, row.sensor_type)
            _draw_spectra(powers, result, spectra, chosen, row.sensor_type, lowpass)
            waves.set_title(fidelity_line(row))
            if k == 0:
                powers.set_title("power spectrum, mean over channels")
            if k == len(rows) - 1:
                waves.set_xlabel("time in the recording (s)")
                powers.set_xlabel("frequency (Hz)")
    return figure


def fidelity_line(row: Fidelity) -> str:
    """Return one line: what, how many, correlation and relative error with their intervals."""
    (r_low, r_high), (e_low, e_high) = row.correlation_interval, row.error_interval
    return (
        f"{row.n_channels} {label_of(row.sensor_type, row.n_channels)}:  "
        f"correlation {row.correlation:.2f} [{r_low:.2f}, {r_high:.2f}],  "
        f"relative error {row.error_ratio:.2f} [{e_low:.2f}, {e_high:.2f}]"
    )


def _draw_waves(
    axes: "Axes",
    result: Reconstructed,
    excerpt: Excerpt,
    chosen: NDArray[np.int64],
    kind: str,
) -> None:
    unit = display_unit(kind)
    picked = chosen[spread_channels(result.sensors.positions[chosen], N_TRACES)]
    factor = (result.scale[picked] * unit.per_si)[:, None]
    x, y = excerpt.original[picked] * factor, excerpt.reconstruction[picked] * factor
    x, y = x - np.median(x, axis=1, keepdims=True), y - np.median(y, axis=1, keepdims=True)
    step = 1.3 * float(np.median(np.ptp(np.quantile(x, [0.01, 0.99], axis=1), axis=0))) or 1.0
    times = (excerpt.start + np.arange(x.shape[1])) / result.sfreq
    for k, channel in enumerate(picked):
        base = -k * step
        labels = ("original", "through the codes") if k == 0 else (None, None)
        axes.plot(times, x[k] + base, color=ORIGINAL, lw=0.8, alpha=0.75, label=labels[0])
        axes.plot(times, y[k] + base, color=TYPE_COLOURS[kind], lw=1.4, label=labels[1])
        axes.text(
            -0.01,
            base,
            result.sensors.names[channel].rstrip("."),
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=9,
        )
    size = _round_number(step)
    edge = times[-1] + 0.015 * (times[-1] - times[0])
    low = -(len(picked) - 1) * step
    axes.plot([edge, edge], [low, low + size], color="black", lw=2)
    axes.text(edge, low + size / 2, f"  {size:g} {unit.name}", va="center", fontsize=9)
    axes.set_xlim(times[0], edge)
    axes.set_ylim(low - 0.9 * step, 1.2 * step)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.plot([], [], color=QUIET, lw=1, ls=":", label="error (spectrum)")
    axes.legend(
        loc="upper right", ncols=3, bbox_to_anchor=(1.0, 1.0), borderaxespad=0, framealpha=0
    )


def _draw_spectra(
    axes: "Axes",
    result: Reconstructed,
    spectra: Spectra,
    chosen: NDArray[np.int64],
    kind: str,
    lowpass: float,
) -> None:
    unit = display_unit(kind)
    shown = (spectra.freqs >= 0.5) & (spectra.freqs <= 100)
    factor = (result.scale[chosen] * unit.per_si)[:, None] ** 2
    freqs = spectra.freqs[shown]
    x, y, e = (
        (power[chosen] * factor)[:, shown].mean(0)
        for power in (spectra.original, spectra.reconstruction, spectra.error)
    )
    axes.loglog(freqs, x, color=ORIGINAL)
    axes.loglog(freqs, y, color=TYPE_COLOURS[kind], lw=1.6)
    axes.loglog(freqs, e, color=QUIET, lw=1.2, ls=":")
    if np.isfinite(lowpass) and lowpass < 100:
        axes.axvline(lowpass, color=QUIET, lw=0.8, ls="--")
        axes.text(
            lowpass,
            0.98,
            "low-pass ",
            transform=axes.get_xaxis_transform(),
            ha="right",
            va="top",
            fontsize=8,
            color="#666666",
        )
    within = freqs < 0.9 * lowpass if np.isfinite(lowpass) else freqs > 0
    if (x[within] > 0).any():
        axes.set_ylim(0.1 * x[within][x[within] > 0].min(), 3 * x.max())
    ticks = [1, 4, 8, 13, 30, 60, 100]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(0.5, 100)
    axes.set_ylabel(f"{_squared(unit.name)}/Hz")


def _squared(unit: str) -> str:
    return f"({unit})²" if "/" in unit else f"{unit}²"


def _round_number(value: float) -> float:
    """Return the largest of 1, 2, 5, 10, ... that is not above ``value``."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(k for k in (1, 2, 5) if k * power <= value * (1 + 1e-9)))
