"""A signal that comes in blocks, read as windows that overlap and reach past its ends.

Shapes: C channels, T samples.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Block = tuple[FloatArray, BoolArray | None]
"""Signal (C, T) and where it is missing (C, T), None when nothing is."""

ROWS = 16
"""Channels moved or reflected at once; numpy copies as much."""


def copied(block: Block) -> Block:
    """Return a block with memory of its own."""
    x, missing = block
    return x.copy(), None if missing is None else missing.copy()


def pad_ends(x: FloatArray, before: int, after: int) -> FloatArray:
    """Extend ``x`` (C, T) at its ends by odd reflection; by its only sample where T is 1."""
    if x.shape[1] == 1:
        return np.pad(x, ((0, 0), (before, after)), mode="edge")
    return np.pad(x, ((0, 0), (before, after)), mode="reflect", reflect_type="odd")


class Tape:
    """Consecutive blocks of a signal, read as overlapping windows that move forward.

    Blocks are copied piece by piece into one array of the length of a window, and the next is asked
    for when the one before is used up: memory is that of a window and a block.

    Parameters
    ----------
    blocks
        Blocks (C, T) in order, the first at sample ``first``.
    n_total
        Length of the whole signal; windows that pass its ends see it reflected there.
    """

    def __init__(self, blocks: Iterator[Block], *, first: int, n_total: int) -> None:
        self._blocks = blocks
        self._rest: Block | None = None  # what the array has not taken of the last block
        self._held: FloatArray = np.empty((0, 0))
        self._gone: BoolArray | None = None
        self._zero = first  # sample of the array's first column
        self._first = self._end = first  # samples that the array holds
        self._n_total = n_total

    def take(self, start: int, stop: int) -> Block:
        """Return the signal from ``start`` to ``stop`` and forget what lies before ``start``.

        The result is a view that the next call changes. The caller may write over those of its
        samples that lie before the next window.
        """
        before, after = max(0, -start), max(0, stop - self._n_total)
        # a reflection of n samples is made from the n + 1 nearest the end, or from all there are
        need = min(self._n_total, max(stop, before + 1))
        # one more than asked for: the last reflection may reach one further
        self._move(start - 1, max(stop, need))
        while self._end < need:
            self._append(self._rest or next(self._blocks), need)
        a, b = self._first - self._zero, self._end - self._zero
        window = slice(start - self._zero, stop - self._zero)
        if max(before, after) >= b - a:  # so short that it is reflected more than once
            y = pad_ends(self._held[:, a:b], before, after)
            gone = None
            if self._gone is not None:
                gone = np.pad(self._gone[:, a:b], ((0, 0), (before, after)))
            window = slice(window.start - a + before, window.stop - a + before)
            return y[:, window], None if gone is None else gone[:, window]
        for row in range(0, len(self._held), ROWS):
            x = self._held[row : row + ROWS]
            if before:
                x[:, a - before : a] = 2 * x[:, a : a + 1] - x[:, a + 1 : a + 1 + before][:, ::-1]
            if after:
                x[:, b : b + after] = 2 * x[:, b - 1 : b] - x[:, b - 1 - after : b - 1][:, ::-1]
        if self._gone is None:
            return self._held[:, window], None
        self._gone[:, a - before : a] = self._gone[:, b : b + after] = False
        return self._held[:, window], self._gone[:, window]

    def _append(self, block: Block, need: int) -> None:
        """Take samples before ``need`` from a block and leave the rest of it for later."""
        x, missing = block
        n = min(need - self._end, x.shape[1])
        place = slice(self._end - self._zero, self._end - self._zero + n)
        self._held[:, place] = x[:, :n]
        if missing is not None and self._gone is None:
            self._gone = np.zeros(self._held.shape, dtype=bool)
        if self._gone is not None:
            self._gone[:, place] = False if missing is None else missing[:, :n]
        left = None if missing is None else missing[:, n:]
        self._rest = (x[:, n:], left) if n < x.shape[1] else None
        self._end += n

    def _move(self, first: int, stop: int) -> None:
        """Let the array begin with sample ``first`` and have room for those before ``stop``."""
        if not self._held.size:
            self._rest = next(self._blocks)
            self._held = np.empty((len(self._rest[0]), stop - first))
        assert first <= self._end, "a window must not begin behind the end of the one before"
        self._first = max(self._first, first)
        old = slice(self._first - self._zero, self._end - self._zero)
        new = slice(self._first - first, self._end - first)
        self._zero = first
        self._held = _moved(self._held, old, new, stop - first)
        if self._gone is not None:
            some = self._gone[:, old].any()
            self._gone = _moved(self._gone, old, new, stop - first) if some else None


def _moved(x: NDArray[Any], old: slice, new: slice, width: int) -> NDArray[Any]:
    """Return an array at least ``width`` wide whose columns ``new`` are the columns ``old``."""
    if x.shape[1] < width:
        wider = np.empty((len(x), width), x.dtype)
        wider[:, new] = x[:, old]
        return wider
    for row in range(0, len(x), ROWS):
        x[row : row + ROWS, new] = x[row : row + ROWS, old]
    return x
