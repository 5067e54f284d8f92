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

CHANNELS_AT_ONCE = 16
"""Channels judged together, so that statistics of many hours are not copied as a whole."""


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
    """Raw statistics of every channel and second, each (C, S).

    Parameters
    ----------
    low, high
        Lowest and highest value, NaN where a sample is missing.
    step
        Largest step from sample to sample, likewise.
    held_low, held_high
        Steps that stay at the lowest or highest value; 0 where there are too few to matter.
    n_samples
        (S,) length of each second; the last may be short.
    """

    low: FloatArray
    high: FloatArray
    step: FloatArray
    held_low: NDArray[np.int32]
    held_high: NDArray[np.int32]
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
    # The last second holds no sample where the rate is no integer: its columns stay NaN.
    low, high, step = (np.full((n_channels, n_seconds), np.nan) for _ in range(3))
    held_low, held_high = (np.zeros((n_channels, n_seconds), np.int32) for _ in range(2))
    at, second = 0, 0
    previous: FloatArray | None = None
    steps = np.empty((0, 0))
    rail = max(RAIL_SAMPLES, round(RAIL_S * sfreq))
    for x in blocks:
        until = int(np.searchsorted(edges, at + x.shape[1]))
        assert edges[until] == at + x.shape[1], "a block must end with a second"
        starts = edges[second:until] - at
        inside = slice(second, until)
        x = np.where(np.isinf(x), np.nan, x) if np.isinf(x).any() else x
        low[:, inside] = np.minimum.reduceat(x, starts, axis=1)
        high[:, inside] = np.maximum.reduceat(x, starts, axis=1)
        if steps.shape != x.shape:
            steps = np.empty_like(x)
        np.subtract(x[:, 1:], x[:, :-1], out=steps[:, 1:])
        np.subtract(x[:, :1], x[:, :1] if previous is None else previous, out=steps[:, :1])
        np.abs(steps, out=steps)
        step[:, inside] = np.maximum.reduceat(steps, starts, axis=1)
        still = steps == 0
        n_still = np.add.reduceat(still, starts, axis=1, dtype=np.int64)
        for i in np.flatnonzero((n_still >= rail).any(axis=0)):
            stop = starts[i + 1] if i + 1 < len(starts) else x.shape[1]
            rows = np.flatnonzero(n_still[:, i] >= rail)
            part, quiet = x[rows, starts[i] : stop], still[rows, starts[i] : stop]
            for held, extreme in ((held_low, low), (held_high, high)):
                at_rail = quiet & (part == extreme[rows, second + i, None])
                held[rows, second + i] = at_rail.sum(axis=1)
        previous = x[:, -1:].copy()
        at, second = at + x.shape[1], until
        del x, still  # while the next block is read
    return SecondStatistics(
        low=low,
        high=high,
        step=step,
        held_low=held_low,
        held_high=held_high,
        n_samples=np.diff(edges),
    )


def channel_flags(stats: SecondStatistics, sfreq: float) -> NDArray[np.uint8]:
    """Return the flags (C, S) of every channel and second."""
    rail = max(RAIL_SAMPLES, round(RAIL_S * sfreq))
    whole = stats.n_samples >= sfreq / 2  # a few samples at the end can be flat by chance
    out = np.zeros(stats.low.shape, dtype=np.uint8)
    for first in range(0, len(out), CHANNELS_AT_ONCE):
        rows = slice(first, first + CHANNELS_AT_ONCE)
        low, high, step = stats.low[rows], stats.high[rows], stats.step[rows]
        missing = ~np.isfinite(low) | ~np.isfinite(high)
        ranges = np.where(missing, np.nan, high - low)
        flat = (ranges <= FLAT_SHARE * median_seconds(ranges)[:, None]) & whole
        lowest = np.fmin.reduce(low, axis=1, keepdims=True)
        highest = np.fmax.reduce(high, axis=1, keepdims=True)
        clipped = (stats.held_low[rows] >= rail) & (low == lowest)
        clipped |= (stats.held_high[rows] >= rail) & (high == highest)
        typical_step = median_seconds(step)[:, None]
        jump = (step > JUMP_RATIO * typical_step) & (typical_step > 0)
        flags = out[rows]
        flags[missing] |= np.uint8(Quality.NAN)
        flags[clipped & ~flat & ~missing] |= np.uint8(Quality.CLIPPED)
        flags[flat & ~missing] |= np.uint8(Quality.FLAT)
        flags[jump & ~missing] |= np.uint8(Quality.JUMP)
    return out


def median_seconds(x: FloatArray) -> FloatArray:
    """Return the median (C,) of (C, S) over seconds that are not NaN; 0 where there is none."""
    out = np.zeros(len(x))
    seen = np.flatnonzero(np.isfinite(x).any(axis=1))
    for first in range(0, len(seen), CHANNELS_AT_ONCE):
        rows = seen[first : first + CHANNELS_AT_ONCE]
        out[rows] = np.nanmedian(x[rows], axis=1)
    return out


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
