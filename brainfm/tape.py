"""A signal that comes in blocks, read as windows that overlap and reach past its ends.

Shapes: C channels, T samples.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Block = tuple[FloatArray, BoolArray | None]
"""Signal (C, T) and where it is missing (C, T), None when nothing is."""


def pad_ends(x: FloatArray, before: int, after: int) -> FloatArray:
    """Extend ``x`` (C, T) at its ends by odd reflection; by its only sample where T is 1."""
    if x.shape[1] == 1:
        return np.pad(x, ((0, 0), (before, after)), mode="edge")
    return np.pad(x, ((0, 0), (before, after)), mode="reflect", reflect_type="odd")


class Tape:
    """Consecutive blocks of a signal, read as overlapping windows that move forward.

    Parameters
    ----------
    blocks
        Blocks (C, T) in order, the first at sample ``first``.
    n_total
        Length of the whole signal; windows that pass its ends see it reflected there.
    """

    def __init__(self, blocks: Iterator[Block], *, first: int, n_total: int) -> None:
        self._blocks = blocks
        self._held: list[Block] = []
        self._first = first
        self._end = first
        self._n_total = n_total

    def take(self, start: int, stop: int) -> Block:
        """Return the signal from ``start`` to ``stop`` and forget what lies before ``start``."""
        before, after = max(0, -start), max(0, stop - self._n_total)
        # a reflection of n samples is made from the n + 1 nearest the end, or from all there are
        need = min(self._n_total, max(stop, before + 1))
        while self._end < need:
            block = next(self._blocks)
            self._held.append(block)
            self._end += block[0].shape[1]
        x, missing = self._joined()
        a = max(0, start - after - 1) if after else max(0, start)
        a, b = max(a, self._first), need if before else min(stop, self._n_total)
        y = x[:, a - self._first : b - self._first]
        gone = None if missing is None else missing[:, a - self._first : b - self._first]
        if before or after:
            y = pad_ends(y, before, after)
            gone = None if gone is None else np.pad(gone, ((0, 0), (before, after)))
        skip = start - (a - before)
        window = slice(skip, skip + stop - start)
        self._forget(start - 2)  # two more than asked for: the last reflection reaches one further
        return y[:, window], None if gone is None else gone[:, window]

    def _joined(self) -> Block:
        if len(self._held) > 1:
            x = np.concatenate([block for block, _ in self._held], axis=1)
            missing = None
            if any(gone is not None for _, gone in self._held):
                parts = [np.zeros(b.shape, dtype=bool) if g is None else g for b, g in self._held]
                missing = np.concatenate(parts, axis=1)
            self._held = [(x, missing)]
        return self._held[0]

    def _forget(self, before: int) -> None:
        x, missing = self._held[0]
        drop = min(before - self._first, x.shape[1] - 1)
        if drop > 0:
            kept = None if missing is None else missing[:, drop:]
            self._held = [(x[:, drop:], None if kept is None or not kept.any() else kept)]
            self._first += drop
