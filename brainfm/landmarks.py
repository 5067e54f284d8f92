"""Marks by which a stretch of signal is known again, however it was cut out and stored.

Digests of whole recordings miss a part of a split FIF file given by itself, an excerpt, a copy with
other bad channels, another unit or in another format. Here a few channels are looked at second by
second: the shape around the largest sample, free of offset and gain and rounded, is hashed, and one
in sixteen hashes is kept (about 10 kB per hour). Two recordings that share some of them hold the
same measurement. A second's largest sample is mostly that of a shifted second too, so cuts at any
sample are found; a few ten seconds are needed.

Shapes: C channels, T samples, S seconds, R recordings, L landmarks.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brainfm.recording_info import content_hash

FloatArray = NDArray[np.float64]
Marks = NDArray[np.uint64]

CHANNELS = 8
"""Channels looked at: those whose names have the smallest hashes, so that a copy with fewer
channels shares many of them."""

POINTS, POINT_RATE = 32, 128.0
"""A shape is so many points at about so many per second."""

LEVELS = 512
"""Rounding, coarse enough for the rounding errors of other formats and units to vanish."""

MIN_VALUES = 16
"""A shape with fewer different values (clipped, a step, a constant) says nothing."""

KEEP_ONE_IN = 16

MIN_SHARED = 4
"""Recordings that share as many landmarks hold the same stretch."""


class LandmarkWatch:
    """Collects landmarks from blocks that pass by.

    Parameters
    ----------
    names
        (C,) names of the channels.
    edges
        (S + 1,) first sample of every second, and the end.
    sfreq
        Samples per second.
    """

    def __init__(self, names: Sequence[str], edges: NDArray[np.int64], sfreq: float) -> None:
        order = sorted(range(len(names)), key=lambda i: content_hash(names[i]))
        self._rows = order[:CHANNELS]
        self._edges = edges
        stride = max(1, round(sfreq / POINT_RATE))
        self._reach = stride * np.arange(-POINTS // 2, POINTS // 2)
        self._found: set[int] = set()

    def passing(self, blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
        """Pass blocks (C, T) on, each of whole seconds, the first at sample 0."""
        at, second = 0, 0
        for x in blocks:
            until = int(np.searchsorted(self._edges, at + x.shape[1]))
            local = (self._edges[second : until + 1] - at).tolist()
            for row in self._rows:
                self._look(x[row], local)
            at, second = at + x.shape[1], until
            yield x

    def _look(self, x: FloatArray, edges: list[int]) -> None:
        for start, stop in pairwise(edges):
            peak = start + int(x[start:stop].argmax())
            if peak + self._reach[0] < 0 or peak + self._reach[-1] >= len(x):
                continue
            shape = x[peak + self._reach]
            low, high = shape.min(), shape.max()
            # At the edge of a second, the largest sample is that of a slope, not a peak.
            if not high > low or x[peak] < high or not np.isfinite(high - low):
                continue
            level = np.rint((shape - low) * (LEVELS / (high - low))).astype("<i2")
            mark = int.from_bytes(blake2b(level.tobytes(), digest_size=8).digest(), "little")
            if mark % KEEP_ONE_IN == 0 and len(set(level.tolist())) >= MIN_VALUES:
                self._found.add(mark)

    def landmarks(self) -> Marks:
        """Return what was found, (L,), sorted."""
        return np.array(sorted(self._found), dtype=np.uint64)


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
