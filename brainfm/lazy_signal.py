"""Signals that stay where they are until a stretch of them is asked for.

Shapes: C sensors, T samples.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.formats import quiet_mne
from brainfm.sensors import FloatArray

READ_GRAIN = {"RawNedf": 5}
"""MNE classes that read rightly only from multiples of so many samples (NEDF: MNE 1.13)."""

ZERO_FILLED = frozenset({"RawMff"})
"""MNE classes that fill pauses with zeros beyond what they mark (EGI: MNE 1.13 marks them late)."""

GAP = "BAD_ACQ_SKIP"
"""MNE's annotation where nothing was acquired and its readers return zeros."""


@dataclass(frozen=True)
class RawSignal:
    """Rows of an MNE Raw, times a factor each; NaN where nothing was acquired."""

    raw: Any
    picks: NDArray[np.int64]
    factors: FloatArray
    gaps: tuple[tuple[int, int], ...] = ()
    source: str = "Raw"

    def __call__(self, start: int, stop: int) -> FloatArray:
        """Return samples ``start`` to ``stop``, (C, stop - start)."""
        reader = type(self.raw).__name__
        early = start % READ_GRAIN.get(reader, 1)
        try:
            with quiet_mne():
                data = self.raw[self.picks, start - early : stop][0]
        except Exception as error:  # readers of MNE raise whatever a damaged file leads to
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"{self.source}: samples {start} to {stop} cannot be read (is the file truncated "
                f"or damaged?): {reason[:200]}"
            ) from error
        data = np.asarray(data[:, early:], dtype=np.float64) * self.factors[:, None]
        if reader in ZERO_FILLED:
            data[:, (data == 0).all(axis=0)] = np.nan
        for first, end in self.gaps:
            data[:, max(first - start, 0) : max(end - start, 0)] = np.nan
        return data


def acquisition_gaps(raw: Any) -> tuple[tuple[int, int], ...]:
    """Return (first, end) samples of the stretches in which nothing was acquired."""
    marks = raw.annotations
    edges = (np.stack([marks.onset, marks.onset + marks.duration]) - raw.first_time) * float(
        raw.info["sfreq"]
    )
    return tuple(
        (math.floor(first + 1e-6), math.ceil(end - 1e-6))
        for first, end, text in zip(*edges.tolist(), marks.description, strict=True)
        if text == GAP
    )


@dataclass(frozen=True)
class EpochSignal:
    """Rows of one epoch of MNE Epochs, times a factor each."""

    epochs: Any
    index: int
    picks: NDArray[np.int64]
    factors: FloatArray

    def __call__(self, start: int, stop: int) -> FloatArray:
        """Return samples ``start`` to ``stop``, (C, stop - start)."""
        with quiet_mne():
            data = self.epochs.get_data(picks=self.picks, item=[self.index], copy=False)[0]
        return np.asarray(data[:, start:stop], dtype=np.float64) * self.factors[:, None]


@dataclass(frozen=True)
class ArraySignal:
    """An array (C, T), rows times a factor each."""

    array: NDArray[Any]
    factors: FloatArray

    def __call__(self, start: int, stop: int) -> FloatArray:
        """Return samples ``start`` to ``stop``, (C, stop - start)."""
        return np.asarray(self.array[:, start:stop], dtype=np.float64) * self.factors[:, None]
