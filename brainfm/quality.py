"""What is wrong with a recording, second by second: NaN, clipping, flat stretches, jumps.

The raw signal is read once in blocks and reduced to five numbers per channel and second; every
judgement compares those with the same channel's own, so neither unit nor gain matters.

Shapes: C channels, T samples, S seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

RAIL_S = 0.01
"""A signal that stays this long at its highest or lowest value ever is clipped."""

RAIL_SAMPLES = 3
"""... and for at least this many steps from sample to sample."""

FLAT_SHARE = 1e-3
"""A second is flat when its range is below this share of the channel's median range."""

JUMP_RATIO = 20.0
"""A second has a jump when its largest step is this many times the channel's median one."""


class Quality(IntFlag):
    """What one byte of the quality track says of its second."""

    GOOD = 0
    NAN = 1
    CLIPPED = 2
    FLAT = 4
    JUMP = 8
    ANNOTATED = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class SecondStatistics:
    """Raw statistics of every channel and second, each (C, S), NaN where a sample is missing.

    Parameters
    ----------
    low, high
        Lowest and highest value.
    step
        Largest step from sample to sample.
    held_low, held_high
        Steps that stay at the lowest or highest value; 0 where there are too few to matter.
    n_samples
        (S,) length of each second; the last may be short.
    """

    low: FloatArray
    high: FloatArray
    step: FloatArray
    held_low: FloatArray
    held_high: FloatArray
    n_samples: NDArray[np.int64]


def second_edges(n_times: int, sfreq: float) -> NDArray[np.int64]:
    """Return (S + 1,) the first sample of every second begun, and ``n_times``."""
    rate = Fraction(sfreq)
    n_seconds = -int(-n_times // rate)
    return np.array([-int(-s * rate // 1) for s in range(n_seconds)] + [n_times], dtype=np.int64)


def second_statistics(
    blocks: Iterator[FloatArray], edges: NDArray[np.int64], n_channels: int, sfreq: float
) -> SecondStatistics:
    """Reduce a signal that comes in blocks (C, T), each of whole seconds, NaN where missing."""
    n_seconds = len(edges) - 1
    tables = {
        name: np.full((n_channels, n_seconds), np.nan)
        for name in ("low", "high", "step", "held_low", "held_high")
    }
    at, second = 0, 0
    previous: FloatArray | None = None
    rail = max(RAIL_SAMPLES, round(RAIL_S * sfreq))
    for x in blocks:
        until = int(np.searchsorted(edges, at + x.shape[1]))
        assert edges[until] == at + x.shape[1], "a block must end with a second"
        starts = edges[second:until] - at
        inside = slice(second, until)
        x = np.where(np.isinf(x), np.nan, x) if np.isinf(x).any() else x
        low = np.minimum.reduceat(x, starts, axis=1)
        high = np.maximum.reduceat(x, starts, axis=1)
        step = np.abs(np.diff(x, axis=1, prepend=x[:, :1] if previous is None else previous))
        tables["low"][:, inside] = low
        tables["high"][:, inside] = high
        tables["step"][:, inside] = np.maximum.reduceat(step, starts, axis=1)
        still = step == 0
        n_still = np.add.reduceat(still, starts, axis=1, dtype=np.int64)
        tables["held_low"][:, inside] = tables["held_high"][:, inside] = 0
        for i in np.flatnonzero((n_still >= rail).any(axis=0)):
            stop = starts[i + 1] if i + 1 < len(starts) else x.shape[1]
            rows = np.flatnonzero(n_still[:, i] >= rail)
            part, quiet = x[rows, starts[i] : stop], still[rows, starts[i] : stop]
            for name, extreme in (("held_low", low), ("held_high", high)):
                at_rail = quiet & (part == extreme[rows, i, None])
                tables[name][rows, second + i] = at_rail.sum(axis=1)
        previous = x[:, -1:].copy()
        at, second = at + x.shape[1], until
    return SecondStatistics(n_samples=np.diff(edges), **tables)


def channel_flags(stats: SecondStatistics, sfreq: float) -> NDArray[np.uint8]:
    """Return the flags (C, S) of every channel and second."""
    rail = max(RAIL_SAMPLES, round(RAIL_S * sfreq))
    missing = ~np.isfinite(stats.low) | ~np.isfinite(stats.high)
    ranges = np.where(missing, np.nan, stats.high - stats.low)
    typical_range = _median(ranges)
    whole = stats.n_samples >= sfreq / 2  # a few samples at the end can be flat by chance
    flat = (ranges <= FLAT_SHARE * typical_range) & whole
    lowest = _reduce(np.fmin, stats.low)
    highest = _reduce(np.fmax, stats.high)
    clipped = (stats.held_low >= rail) & (stats.low == lowest)
    clipped |= (stats.held_high >= rail) & (stats.high == highest)
    typical_step = _median(stats.step)
    jump = (stats.step > JUMP_RATIO * typical_step) & (typical_step > 0)
    out = np.zeros(missing.shape, dtype=np.uint8)
    out[missing] |= np.uint8(Quality.NAN)
    out[clipped & ~flat & ~missing] |= np.uint8(Quality.CLIPPED)
    out[flat & ~missing] |= np.uint8(Quality.FLAT)
    out[jump & ~missing] |= np.uint8(Quality.JUMP)
    return out


def _median(x: FloatArray) -> FloatArray:
    """Return the median (C, 1) over seconds that are not NaN; 0 where there is none."""
    out = np.zeros((len(x), 1))
    seen = np.isfinite(x).any(axis=1)
    out[seen, 0] = np.nanmedian(x[seen], axis=1)
    return out


def _reduce(ufunc: np.ufunc, x: FloatArray) -> FloatArray:
    return np.asarray(ufunc.reduce(x, axis=1, keepdims=True))


def quality_track(
    flags: NDArray[np.uint8], good: BoolArray, types: NDArray[np.str_], *, share: float
) -> NDArray[np.uint8]:
    """Join the flags of all good channels into one byte per second, (S,).

    NaN in one channel marks the second; the other flags need ``share`` of the good channels of one
    sensor type, and at least one.
    """
    track = np.zeros(flags.shape[1], dtype=np.uint8)
    for kind in np.unique(types[good]):
        of_kind = flags[good & (types == kind)]
        enough = max(1, int(share * len(of_kind)))
        for flag in (Quality.NAN, Quality.CLIPPED, Quality.FLAT, Quality.JUMP):
            count = np.count_nonzero(of_kind & np.uint8(flag), axis=0)
            track[count >= (1 if flag is Quality.NAN else enough)] |= np.uint8(flag)
    return track


def annotated_seconds(
    annotations: Sequence[tuple[float, float, str]], n_seconds: int
) -> NDArray[np.uint8]:
    """Return (S,) the flag of seconds that an annotation whose text begins with "bad" touches."""
    track = np.zeros(n_seconds, dtype=np.uint8)
    for onset, duration, text in annotations:
        if text.lower().startswith("bad"):
            first = max(0, int(onset // 1))
            track[first : max(first, int(-(-(onset + duration) // 1)))] |= np.uint8(
                Quality.ANNOTATED
            )
    return track
