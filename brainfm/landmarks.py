"""Marks by which a stretch of signal is known again, however it was filtered, cut out and stored.

Digests of whole recordings miss an excerpt, a part of a split FIF file given by itself, a copy with
other bad channels, and every derivative: filtered, resampled, re-referenced. Here differences of
two channels, which no reference touches, are limited to a band that every derivative keeps. Around
a peak of such a difference, the signs of its values at fixed times are read off: neither gain nor
polarity changes them. Where all values are well away from zero and the signs follow no rhythm, they
make a mark; one in eight is kept (about 20 kB per hour and sensor type). Two recordings that share
some of them hold the same measurement; half a minute of it is enough.

On 35 real recordings of up to ten per person, no two different ones had one mark in common, even
with all marks kept; a 1-40 Hz copy at another rate, with another reference and start, had nine in
ten. Filters that shift phases (causal ones) change most marks: such copies are not found.

Shapes: C channels, T samples, A peaks, K signs, R recordings, L landmarks.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from brainfm.recording_info import content_hash

FloatArray = NDArray[np.float64]
Marks = NDArray[np.uint64]

CHANNELS = 6
"""Channels of each type whose differences are looked at: those whose names have the smallest
hashes, so that a copy with fewer channels shares many of them."""

BAND_HZ = (3.0, 20.0)

SIGNS, SPACING_S = 48, 0.05
"""A mark is so many signs at so many seconds from each other, half of them on each side."""

MIN_HEIGHT = 1.5
"""Peaks are at least this high, in units of the root mean square of the stretch around them."""

MARGIN = 0.05
"""No value is closer to zero, in the same unit: filters and rounding shall not change a sign."""

MAX_RHYTHM = 0.5
"""Largest autocorrelation of the signs at any lag: alpha waves of one frequency are all alike."""

KEEP_ONE_IN = 8

MIN_SHARED = 4
"""Recordings that share as many landmarks hold the same stretch."""

CHUNK_S = 60.0


class LandmarkWatch:
    """Collects landmarks from a standardised signal that comes in blocks.

    Parameters
    ----------
    names, types
        (C,) names of the channels, and their sensor types.
    sfreq
        Samples per second.
    """

    def __init__(self, names: Sequence[str], types: Sequence[str], sfreq: float) -> None:
        self._pairs: list[tuple[int, int]] = []
        self._rows: list[int] = []
        for kind in sorted(set(types)):
            rows = [row for row, of_row in enumerate(types) if of_row == kind]
            rows = sorted(rows, key=lambda row: content_hash(names[row]))[:CHANNELS]
            first = len(self._rows)
            self._pairs += combinations(range(first, first + len(rows)), 2)
            self._rows += rows
        self._kernel = _band_kernel(sfreq)
        self._times = SPACING_S * sfreq * (np.arange(SIGNS) - (SIGNS - 1) / 2)
        # Samples that a peak needs on each side: its signs, and two for the interpolation.
        self._reach = int(np.ceil(self._times[-1])) + 2
        self._margin = self._reach + len(self._kernel) // 2
        self._chunk = round(CHUNK_S * sfreq)
        self._pending: list[NDArray] = []
        self._found: set[int] = set()

    def add(self, block: NDArray[np.float16]) -> None:
        """Look at the next samples, (C, T) of any length."""
        self._pending.append(block[self._rows])
        wanted = self._chunk + 2 * self._margin
        # Chunks lie where they lie, so that marks do not depend on how the signal comes.
        while sum(piece.shape[1] for piece in self._pending) >= wanted:
            held = np.concatenate(self._pending, axis=1)
            self._look(held[:, :wanted])
            self._pending = [held[:, self._chunk :]]

    def finish(self) -> Marks:
        """Return the landmarks of all that was added, (L,), sorted; nothing can follow."""
        if self._pending:
            self._look(np.concatenate(self._pending, axis=1))
        return np.array(sorted(self._found), dtype=np.uint64)

    def _look(self, x: NDArray[np.float16]) -> None:
        """Find the marks of peaks that are at least the margin away from both ends."""
        from scipy.signal import oaconvolve

        if x.shape[1] <= 2 * self._margin:
            return
        kernel = self._kernel[None]
        limited = oaconvolve(x.astype(np.float64), kernel, mode="valid", axes=1)
        for a, b in self._pairs:
            self._found.update(self._marks(limited[a] - limited[b]).tolist())

    def _marks(self, x: FloatArray) -> Marks:
        """Return the marks of a difference (T,)."""
        peaks, size = _peaks(x, self._reach)
        if not len(peaks):
            return np.zeros(0, np.uint64)
        centre = np.rint(peaks).astype(np.int64)
        values = _interpolate(x, peaks[:, None] + self._times)
        sure = (np.abs(values) > MARGIN * size[:, None]).all(axis=1)
        signs = np.sign(values[sure]) * np.sign(x[centre[sure], None])
        signs = signs[_rhythm(signs) < MAX_RHYTHM]
        bits = (signs > 0).astype(np.uint64) << np.arange(SIGNS, dtype=np.uint64)
        # Multiplicative hashing: all signs have a say in the highest bits, which decide what stays.
        marks: Marks = bits.sum(axis=1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return marks[marks <= np.uint64((2**64 - 1) // KEEP_ONE_IN)]


def _band_kernel(sfreq: float) -> FloatArray:
    """Return the taps (L,) of the band; at a rate that cannot carry it, one that passes nothing."""
    from mne.filter import create_filter

    low, high = BAND_HZ
    high = min(high, 0.4 * sfreq)
    if high < 2 * low:
        return np.zeros(1)
    kernel = create_filter(
        None,
        sfreq,
        low,
        high,
        l_trans_bandwidth=low * 2 / 3,
        h_trans_bandwidth=high / 4,
        verbose="error",
    )
    return np.asarray(kernel, np.float64)


def _peaks(x: FloatArray, reach: int) -> tuple[FloatArray, FloatArray]:
    """Return where (samples, (A,)) high peaks of either polarity lie, and the size around them."""
    height = np.abs(x)
    inner = height[1:-1]
    peaks = np.flatnonzero((inner > height[:-2]) & (inner >= height[2:])) + 1
    peaks = peaks[(peaks >= reach) & (peaks < len(x) - reach)]
    energy = np.concatenate([[0.0], np.cumsum(x * x)])
    size = np.sqrt((energy[peaks + reach] - energy[peaks - reach]) / (2 * reach))
    high = height[peaks] > MIN_HEIGHT * size
    peaks, size = peaks[high], size[high]
    before, at, after = height[peaks - 1], height[peaks], height[peaks + 1]
    return peaks + 0.5 * (before - after) / (before - 2 * at + after), size


def _interpolate(x: FloatArray, at: FloatArray) -> FloatArray:
    """Return ``x`` (T,) between its samples, by Catmull and Rom's cubic through four of them."""
    i = np.floor(at).astype(np.int64)
    f = at - i
    p, q, r, s = x[i - 1], x[i], x[i + 1], x[i + 2]
    curve = 2 * p - 5 * q + 4 * r - s + f * (3 * (q - r) + s - p)
    return np.asarray(q + 0.5 * f * (r - p + f * curve))


def _rhythm(signs: FloatArray) -> FloatArray:
    """Return the largest autocorrelation of rows of signs (A, K), at up to half their length."""
    lags = range(1, SIGNS // 2 + 1)
    each = [np.abs((signs[:, lag:] * signs[:, :-lag]).mean(axis=1)) for lag in lags]
    return np.asarray(np.max(each, axis=0))


def sharing(landmarks: Sequence[Marks]) -> NDArray[np.int32]:
    """Return for each recording (R,) the first one it shares a stretch with; itself if none."""
    n = len(landmarks)
    values = np.concatenate([np.zeros(0, np.uint64), *landmarks])
    owners = np.repeat(np.arange(n), [len(marks) for marks in landmarks])
    order = np.argsort(values, kind="stable")  # owners stay in order within a value
    values, owners = values[order], owners[order]
    same = values[1:] == values[:-1]
    pairs, counts = np.unique(owners[:-1][same] * n + owners[1:][same], return_counts=True)
    first = np.arange(n, dtype=np.int32)

    def root(i: int) -> int:
        while first[i] != i:
            first[i] = first[first[i]]
            i = int(first[i])
        return i

    for pair in pairs[counts >= MIN_SHARED].tolist():
        low, high = sorted(map(root, divmod(pair, n)))
        first[high] = low
    return np.array([root(i) for i in range(n)], dtype=np.int32)
