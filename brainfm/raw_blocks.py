"""The samples of a recording in consecutive blocks of bounded size, gaps bridged.

Shapes: C channels, T samples, S seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brainfm.recordings import Recording
from brainfm.tape import Block

FloatArray = NDArray[np.float64]

BLOCK_VALUES = 1_000_000
"""Numbers in a block: 8 MB as float64."""

KEEP_VALUES = 2_000_000
"""Largest recording that is kept in memory after it was read once (16 MB)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawReader:
    """Reads a recording, from memory after the first time when it is small."""

    recording: Recording
    n_channels: int
    n_times: int
    block: int
    _kept: list[FloatArray] = field(default_factory=list)

    @classmethod
    def make(cls, recording: Recording) -> "RawReader":
        """Return a reader whose blocks hold at most :data:`BLOCK_VALUES` numbers or a second."""
        n_channels = len(recording.sensors)
        second = int(np.ceil(recording.sfreq))
        return cls(
            recording=recording,
            n_channels=n_channels,
            n_times=recording.n_times,
            block=max(second, BLOCK_VALUES // n_channels),
        )

    def read(self, start: int, stop: int) -> FloatArray:
        """Return samples (C, stop - start) in SI units, NaN where missing; not to be changed."""
        if self.n_channels * self.n_times > KEEP_VALUES:
            return self.recording.read(start, stop)
        if not self._kept:
            self._kept.append(self.recording.read(0, self.n_times))
        return self._kept[0][:, start:stop]

    def forget(self) -> None:
        """Let go of what is kept in memory."""
        self._kept.clear()

    def blocks(self, start: int, stop: int) -> Iterator[FloatArray]:
        """Yield (C, n) from ``start`` to ``stop``."""
        for at in range(start, stop, self.block):
            yield self.read(at, min(at + self.block, stop))

    def whole_seconds(self, edges: NDArray[np.int64]) -> Iterator[FloatArray]:
        """Yield all of the recording in blocks that begin and end at ``edges`` (S + 1,)."""
        first = 0
        while first < len(edges) - 1:
            last = int(np.searchsorted(edges, edges[first] + self.block, side="right")) - 1
            last = max(last, first + 1)
            yield self.read(int(edges[first]), int(edges[last]))
            first = last


def fill_gaps(blocks: Iterator[FloatArray], offset: FloatArray) -> Iterator[Block]:
    """Subtract ``offset`` (C, 1) and bridge NaN, so that no filter sees a step or a NaN.

    In a gap a channel keeps its last value; after it, the channel continues from there, that is, it
    is shifted by a constant, which the high-pass removes. Works block by block with the same result
    for every block length.
    """
    held: FloatArray | None = None
    shift = np.zeros_like(offset)
    for x in blocks:
        y = x - offset
        del x  # not held while the next filter works
        missing = ~np.isfinite(y)
        if held is None:
            held = np.zeros_like(offset)
        if not missing.any():
            y -= shift
            held = y[:, -1:].copy()
            yield y, None
            del y  # nor this one while the next block is read
            continue
        for row in np.flatnonzero(missing.any(axis=1)):
            y[row], held[row, 0], shift[row, 0] = _bridge(
                y[row], missing[row], held[row, 0], shift[row, 0]
            )
        whole = ~missing.any(axis=1)
        y[whole] -= shift[whole]
        held[whole] = y[whole, -1:]
        yield y, missing
        del y


def _bridge(
    x: FloatArray, missing: NDArray[np.bool_], held: float, shift: float
) -> tuple[FloatArray, float, float]:
    """Bridge the gaps of one channel (T,); return it with its last value and its shift."""
    edges = np.flatnonzero(np.diff(missing, prepend=False, append=False))
    out = x - shift
    for start, stop in edges.reshape(-1, 2):
        if start > 0:
            held = out[start - 1]
        out[start:stop] = held
        if stop < len(x):
            jump = out[stop] - held
            out[stop:] -= jump
            shift += jump
    return out, float(out[-1]), float(shift)
