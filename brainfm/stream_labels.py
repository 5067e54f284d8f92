"""Labels that arrive with a stream, and the signal that each is about.

Shapes: G good channels, T samples at the model's rate.
"""

from collections import deque
from collections.abc import Callable, Iterable

from brainfm.causal_signal import Calibration
from brainfm.stream_decisions import LATE_S, SignalHead, SignalTape
from brainfm.stream_messages import Marker

MAX_WAITING = 1000
"""More labels than this that wait for their signal: the oldest are given up."""


class StreamLabels:
    """Gives a head each labelled stretch once it is there.

    Parameters
    ----------
    head
        What learns.
    sfreq
        Samples per second of the prepared signal.
    """

    def __init__(self, head: SignalHead, sfreq: float) -> None:
        self.head, self.n_used = head, 0
        self._ahead = round(LATE_S * sfreq)
        self._waiting: deque[Marker] = deque()
        self._unknown: set[str] = set()

    def add(self, markers: Iterable[Marker]) -> None:
        """Take labels, with their times on the clock of the blocks."""
        self._waiting.extend(markers)

    def learn(
        self, tape: SignalTape, calibration: Calibration, sample: Callable[[float], int]
    ) -> list[str]:
        """Let the head learn from what is complete; return what cannot be used, a line each.

        Parameters
        ----------
        tape
            Signal of the open segment.
        calibration
            Of that signal.
        sample
            From a time on the clock of the blocks to the sample of the segment.
        """
        said: list[str] = []
        waiting, self._waiting = self._waiting, deque()
        while len(waiting) > MAX_WAITING:
            said.append(self._unused(waiting.popleft(), "too many wait for their signal"))
        for marker in waiting:
            start = sample(marker.time) + self.head.first
            if start < max(0, tape.begin):
                said.append(self._unused(marker, "its signal is no longer at hand"))
            elif start > tape.end + self._ahead:
                said.append(self._unused(marker, "it is far ahead of the signal"))
            elif start + self.head.n_times > tape.end:
                self._waiting.append(marker)
            elif self.head.learn(tape.cut(start), calibration, marker.label):
                self.n_used += 1
            elif marker.label not in self._unknown and len(self._unknown) < MAX_WAITING:
                self._unknown.add(marker.label)
                said.append(f"{marker.label!r} is no label of this head: not used")
        return said

    @staticmethod
    def _unused(marker: Marker, why: str) -> str:
        return f"label {marker.label!r} at {marker.time:.3f} s is not used: {why}"
