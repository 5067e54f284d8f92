"""Channels of a stream that fall silent: samples missing, or all the same.

Shapes: C sensors, T samples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class SilentChannels:
    """Says when a channel falls silent and when it is back.

    Parameters
    ----------
    names
        Of the C sensors.
    samples
        A channel without a new value for so many samples is silent.
    """

    def __init__(self, names: Sequence[str], samples: float) -> None:
        self.names, self.samples = names, samples
        self._run = np.zeros(len(names), np.int64)
        self._last = np.full((len(names), 1), np.nan)
        self._silent = np.zeros(len(names), dtype=bool)

    def push(self, block: NDArray[np.float64]) -> list[str]:
        """Take (C, T) next samples, NaN where missing; return what changed, a line a change."""
        n = block.shape[1]
        if n == 0:
            return []
        # Compared with the last value there was: a gap in a flat channel is no sign of life.
        x = np.concatenate([self._last, block], axis=1)
        there = np.where(np.isfinite(x), np.arange(n + 1), 0)
        held = np.take_along_axis(x, np.maximum.accumulate(there, axis=1), axis=1)
        moved = np.isfinite(block) & (block != held[:, :-1])
        still = np.where(moved.any(axis=1), np.argmax(moved[:, ::-1], axis=1), self._run + n)
        self._run, self._last = still, held[:, -1:]
        silent = self._run >= self.samples
        text = [
            f"{self.names[i]} {'has fallen silent' if silent[i] else 'is back'}"
            for i in np.flatnonzero(silent != self._silent).tolist()
        ]
        self._silent = silent
        return text
