"""Power of sound in bands of the mel scale: features that need no weights.

Shapes: T samples, N frames, F bands.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from brainfm.sensors import FloatArray

LOWEST_HZ = 80.0
HIGHEST_HZ = 8000.0
FLOOR = 1e-10
"""Power that silence is given, 100 dB below a full-scale tone's."""


def mel_bank(rate: int, length: int, n_bands: int) -> FloatArray:
    """Return triangular weights (n_bands, length // 2 + 1) of the bins of a Fourier transform."""
    top = _mel(min(rate / 2, HIGHEST_HZ))
    edges = 700 * (10 ** (np.linspace(_mel(LOWEST_HZ), top, n_bands + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(length, 1 / rate)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bank = np.maximum(np.minimum(rise, fall), 0)
    empty = np.flatnonzero(bank.sum(axis=1) == 0)
    bank[empty, np.argmin(np.abs(bins - edges[1:-1, None]), axis=1)[empty]] = 1.0
    return np.asarray(bank)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def log_mel(
    samples: NDArray[np.floating],
    rate: int,
    *,
    n_bands: int = 40,
    hop_s: float = 0.01,
    window_s: float = 0.025,
) -> tuple[FloatArray, FloatArray]:
    """Return natural logarithms of band powers (N, F) of a sound (T,), and their times (N,).

    Parameters
    ----------
    samples
        Sound between -1 and 1.
    rate
        Its samples per second.
    n_bands
        Triangular bands, even on the mel axis from 80 Hz to 8 kHz or half the rate.
    hop_s
        Time in s from frame to frame; the first is at 0 and looks at silence before the sound.
    window_s
        Length in s of what a frame looks at, centred on its time.
    """
    length = round(window_s * rate)
    n_frames = int(np.floor(len(samples) / rate / hop_s)) + 1
    centres = np.round(np.arange(n_frames) * hop_s * rate).astype(int)
    window = signal.windows.hann(length)
    bank = mel_bank(rate, length, n_bands) / (window.sum() / 2) ** 2
    values = np.empty((n_frames, n_bands))
    for first in range(0, n_frames, 4096):  # an hour's frames at once would be gigabytes
        chosen = centres[first : first + 4096, None] + np.arange(length) - length // 2
        inside = (chosen >= 0) & (chosen < len(samples))
        frames = samples[np.clip(chosen, 0, len(samples) - 1)] * inside * window
        power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
        values[first : first + 4096] = np.log(FLOOR + power @ bank.T)
    return values, np.arange(n_frames, dtype=np.float64) * hop_s
