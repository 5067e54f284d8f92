"""Robust scaling of the channels of each recording (Defossez et al. 2023, section 5).

Shapes: C sensors, T samples, N trials.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.trials import Trials

LOOKED_AT = 64
"""Windows of a recording, evenly chosen, that quantiles are taken of."""


class Spread(NamedTuple):
    """Median and interquartile range of channels, (C,) float32 each; NaN where nothing is known."""

    median: NDArray[np.float32]
    range: NDArray[np.float32]


class RobustScaling:
    """Median and interquartile range of each recording's channels.

    They are taken from windows of training where the recording has any. A recording without - that
    of a subject never trained on - is scaled by its own windows, whose labels nobody looks at.

    Parameters
    ----------
    trials
        The table.
    training
        Places of training trials in the table.
    window
        From the place of a trial to its samples (C, T), NaN where there are none.
    """

    def __init__(
        self,
        trials: Trials,
        training: NDArray[np.int64],
        window: Callable[[int], NDArray[np.float32]],
    ) -> None:
        self.recordings = np.array([trial.recording for trial in trials.rows])
        self.training, self.window = training, window
        self._is_training = np.isin(np.arange(len(trials)), training)
        self._known: dict[str, Spread] = {}

    def spread(self, recording: str) -> Spread:
        """Return median and range of a recording's channels."""
        if recording not in self._known:
            there = np.flatnonzero(self.recordings == recording)
            trained = there[self._is_training[there]]
            chosen = trained if len(trained) else there
            step = -(-len(chosen) // LOOKED_AT)
            x = np.concatenate([self.window(int(k)) for k in chosen[::step]], axis=1)
            low, median, high = np.full((3, len(x)), np.nan, dtype=np.float32)
            known = ~np.isnan(x).all(axis=1)
            quantiles = np.nanquantile(x[known], [0.25, 0.5, 0.75], axis=1)
            low[known], median[known], high[known] = quantiles
            # A channel that does not move has no spread, and stays as it is.
            spread = np.where(high > low, high - low, np.float32(1))
            self._known[recording] = Spread(median, spread)
        return self._known[recording]

    def __call__(self, recording: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return samples (C, T) less the median, in interquartile ranges."""
        median, spread = self.spread(recording)
        return (x - median[:, None]) / spread[:, None]
