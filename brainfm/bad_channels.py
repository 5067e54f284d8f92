"""Channels not to be trusted: flat, wrong most of the time, or unlike the others of their kind.

Shapes: C channels, S seconds, F frequencies, G segments, T samples.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from brainfm.quality import (
    CHANNELS_AT_ONCE,
    FLAT_SHARE,
    Quality,
    SecondStatistics,
    median_seconds,
)

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

BANDS = ((1.0, 4.0), (4.0, 8.0), (8.0, 15.0), (15.0, 30.0), (30.0, 96.0))
MIN_CHANNELS = 8
"""Fewer channels of a kind say nothing about what is usual."""

SPREAD_FLOOR = 0.15
"""Smallest spread of log10 power between channels that is believed; 0.15 is 1.5 dB."""

SEGMENTS, SEGMENT_S, WELCH_S = 24, 4.0, 2.0


def spread_segments(n_times: int, n_segments: int, length: int) -> list[tuple[int, int]]:
    """Return up to ``n_segments`` disjoint (start, stop) evenly spread over ``n_times`` samples."""
    length = max(1, min(length, n_times))
    count = max(1, min(n_segments, n_times // length))
    if count == 1:
        return [(0, n_times if n_times < 2 * length else length)]
    starts = [(n_times - length) * i // (count - 1) for i in range(count)]
    return [(start, start + length) for start in starts]


def spectrum(
    read: Callable[[int, int], FloatArray], n_times: int, sfreq: float
) -> tuple[FloatArray, FloatArray]:
    """Return frequencies (F,) and each channel's power (C, F): the median over spread segments.

    ``read(start, stop)`` gives (C, T); NaN there counts as the segment's mean.
    """
    powers = []
    frequencies = np.empty(0)
    nperseg = max(8, min(round(WELCH_S * sfreq), n_times))
    for start, stop in spread_segments(n_times, SEGMENTS, round(SEGMENT_S * sfreq)):
        x = read(start, stop)
        holes = ~np.isfinite(x)
        count = np.maximum((~holes).sum(axis=1, keepdims=True), 1)
        mean = np.where(holes, 0.0, x).sum(axis=1, keepdims=True) / count
        x = np.where(holes, 0.0, x - mean)
        frequencies, power = welch(x, sfreq, nperseg=min(nperseg, x.shape[1]), detrend="constant")
        powers.append(power.copy())  # a view of complex numbers twice its size
    median = np.empty_like(powers[0])
    for row in range(0, len(median), CHANNELS_AT_ONCE):
        rows = slice(row, row + CHANNELS_AT_ONCE)
        median[rows] = np.median([power[rows] for power in powers], axis=0)
    return frequencies, median


def flat_channels(stats: SecondStatistics, types: NDArray[np.str_]) -> BoolArray:
    """Return (C,) which channels hardly move: by themselves or beside others of their kind."""
    typical = median_seconds(stats.high - stats.low)
    flat = typical == 0
    for kind in np.unique(types):
        of_kind = (types == kind) & (typical > 0)
        if of_kind.any():
            flat |= (types == kind) & (typical < FLAT_SHARE * np.median(typical[of_kind]))
    return flat


def spoiled_channels(flags: NDArray[np.uint8], share: float) -> BoolArray:
    """Return (C,) which channels have flags (C, S) in more than ``share`` of the seconds.

    A pause, in which every channel is missing, is nobody's fault and does not count.
    """
    recorded = ~(flags & np.uint8(Quality.NAN)).all(axis=0)
    return np.asarray(np.count_nonzero(flags[:, recorded], axis=1) > share * recorded.sum())


def spectrum_outliers(
    frequencies: FloatArray,
    power: FloatArray,
    types: NDArray[np.str_],
    usable: BoolArray,
    *,
    line: float | None,
    threshold: float,
) -> BoolArray:
    """Return (C,) which channels differ from the usable ones of their kind in most bands.

    Parameters
    ----------
    frequencies, power, types
        (F,) Hz, (C, F) and (C,).
    usable
        (C,) channels that define what is usual; only they are judged.
    line
        Mains frequency whose surroundings are left out, Hz.
    threshold
        Distance from the median of log power in robust standard deviations, in at least half of
        the bands.
    """
    clear = np.ones(len(frequencies), dtype=bool)
    if line is not None:
        clear = np.abs(frequencies - line * np.maximum(1, np.round(frequencies / line))) > 2
    masks = [(frequencies >= low) & (frequencies < high) & clear for low, high in BANDS]
    masks = [mask for mask in masks if mask.any()]
    out = np.zeros(len(power), dtype=bool)
    if not masks:
        return out
    with np.errstate(divide="ignore"):
        levels = np.log10(np.array([power[:, mask].mean(axis=1) for mask in masks])).T  # (C, bands)
    for kind in np.unique(types[usable]):
        chosen = usable & (types == kind)
        if chosen.sum() < MIN_CHANNELS:
            continue
        centre = np.median(levels[chosen], axis=0)
        spread = 1.4826 * np.median(np.abs(levels[chosen] - centre), axis=0)
        far = np.abs(levels[chosen] - centre) > threshold * np.maximum(spread, SPREAD_FLOOR)
        out[np.flatnonzero(chosen)] = far.mean(axis=1) >= 0.5
    return out
