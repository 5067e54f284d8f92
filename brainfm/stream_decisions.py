"""Decisions of a stream: a head that is asked again and again about what came last.

A head is a function of the features of the last seconds, or a :class:`SignalHead`, which judges the
prepared signal itself and can learn from labelled stretches of it.

Shapes: G good channels, T samples at the model's rate.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.causal_signal import Calibration
from brainfm.encoder import Features
from brainfm.features_together import joined
from brainfm.processing_config import ProcessingConfig

Head = Callable[[Features], Any]
"""From the features of the last seconds to a decision."""

LATE_S = 10.0
"""A label may come so long after the signal that it is about."""


class SignalHead(ABC):
    """Judges stretches of the prepared signal, which begin ``first`` samples from an event."""

    first: int
    n_times: int
    every: int
    """Samples at the model's rate: begin of a stretch after an event (negative: before), its
    length, and the distance between two decisions."""

    @property
    @abstractmethod
    def processing(self) -> ProcessingConfig:
        """Return how the signal must be prepared."""

    @abstractmethod
    def decide(self, x: NDArray[np.float16], calibration: Calibration) -> Any:
        """Return the decision on a stretch (G, T) of signal."""

    def learn(self, x: NDArray[np.float16], calibration: Calibration, label: str) -> bool:
        """Keep a labelled stretch (G, T) for :meth:`refit`; False if the label says nothing."""
        return False

    def refit(self) -> str:
        """Adapt to what was learned; return in one line what that did."""
        raise ValueError(f"{type(self).__name__} cannot be adapted while it runs")

    def check(self, processing: ProcessingConfig) -> None:
        """Raise ValueError if signals that are prepared like this are not what it was made for."""
        mine, other = self.processing.settings(), processing.settings()
        differ = [name for name in mine if mine[name] != other[name]]
        if differ:
            said = ", ".join(f"{name} {mine[name]} and {other[name]}" for name in differ)
            raise ValueError(
                f"the head's signal is prepared in another way than the model's ({said}); stream "
                "with the checkpoint that it was trained on"
            )


class SignalTape:
    """The end of one segment's signal.

    Parameters
    ----------
    head
        What decides.
    sfreq
        Samples per second of the prepared signal.
    """

    def __init__(self, head: SignalHead, sfreq: float) -> None:
        self.head, self.end = head, 0
        self._keep = head.n_times + round(LATE_S * sfreq)
        self._x: NDArray[np.float16] | None = None
        self._next = head.n_times

    def push(self, x: NDArray[np.float16]) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """Take signal (G, n); yield the stretches that are due, each with the sample it ends at."""
        self._x = x if self._x is None else np.concatenate([self._x, x], axis=1)
        self.end += x.shape[1]
        while self._next <= self.end:
            yield self._next, self.cut(self._next - self.head.n_times)
            self._next += self.head.every
        self._x = self._x[:, -self._keep :]

    @property
    def begin(self) -> int:
        """Return the first sample that is still there."""
        return self.end - (0 if self._x is None else self._x.shape[1])

    def cut(self, start: int) -> NDArray[np.float16]:
        """Return the stretch (G, T) that begins at a sample of the segment."""
        assert self._x is not None, "nothing has come"
        at = start - self.begin
        assert 0 <= at <= self._x.shape[1] - self.head.n_times, "gone, or not there yet"
        return self._x[:, at : at + self.head.n_times]


class RecentFeatures:
    """The features of the last seconds.

    Parameters
    ----------
    frames
        How many of them a head sees.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self._held: Features | None = None

    def push(self, features: Features) -> Features | None:
        """Take the next features; return the last ones, None until they are enough."""
        every = features if self._held is None else joined([self._held, features])
        self._held = Features(every.values[-self.frames :], every.times[-self.frames :])
        return self._held if len(self._held.times) == self.frames else None
