"""Mains hum: which frequency it has and which of its harmonics are in the band.

Shapes: C channels, F frequencies. Units: Hz.
"""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

MAINS = (50.0, 60.0)
DETECTION_RATIO = 5.0
"""Power at the line over that of its neighbourhood, median over channels, that counts as hum."""


def line_ratio(frequencies: FloatArray, power: FloatArray, line: float) -> float:
    """Return how far the power (C, F) at ``line`` stands out of 2-6 Hz beside it; median over C."""
    distance = np.abs(frequencies - line)
    at = distance <= 0.75
    beside = (distance >= 2) & (distance <= 6)
    if not at.any() or not beside.any() or frequencies[-1] < line + 2:
        return 0.0
    floor = np.median(power[:, beside], axis=1)
    live = floor > 0
    return float(np.median(power[live][:, at].max(axis=1) / floor[live])) if live.any() else 0.0


def detect_line(
    frequencies: FloatArray, power: FloatArray, types: NDArray[np.str_]
) -> float | None:
    """Return 50 or 60 where the spectrum (C, F) of any sensor type shows that hum, else None."""
    ratios = {
        line: max(line_ratio(frequencies, power[types == kind], line) for kind in np.unique(types))
        for line in MAINS
    }
    strongest = max(ratios, key=lambda line: ratios[line])
    return strongest if ratios[strongest] >= DETECTION_RATIO else None


def harmonics(line: float | None, stop: float) -> tuple[float, ...]:
    """Return the line and its multiples below ``stop``, where the low-pass lets nothing through."""
    if line is None:
        return ()
    return tuple(line * k for k in range(1, int(stop / line) + 1) if line * k < stop)
