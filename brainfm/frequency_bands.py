"""The rhythms of the brain as bands of frequency, each limited to what a recording holds.

Shapes: C sensors, T samples.
"""

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

BANDS = MappingProxyType(
    {
        "delta": (0.5, 4.0),
        "theta": (4.0, 8.0),
        "alpha": (8.0, 13.0),
        "beta": (13.0, 30.0),
        "gamma": (30.0, 60.0),
        "high gamma": (60.0, 150.0),
    }
)
"""Edges of the bands, Hz."""

MIN_OCTAVES = 0.25
ORDER = 4


def limited_band(
    low: float, high: float, *, sfreq: float, lowpass: float
) -> tuple[float, float] | None:
    """Return the part of a band (Hz) that a recording holds; None if hardly any is left."""
    top = min(high, 0.49 * sfreq, lowpass if np.isfinite(lowpass) else high)
    return (low, top) if top > low * 2**MIN_OCTAVES else None


def band_signal(
    x: NDArray[np.floating], band: tuple[float, float], sfreq: float
) -> NDArray[np.float64]:
    """Return the part of signals (C, T) in a band (Hz), without delay.

    Butterworth of order 4, forth and back.
    """
    from scipy.signal import butter, sosfiltfilt

    sos = butter(ORDER, band, "bandpass", fs=sfreq, output="sos")
    return np.ascontiguousarray(sosfiltfilt(sos, x.astype(np.float64), axis=-1))
