"""What goes into a stream and what comes out.

Shapes: C sensors, T samples, P latent frames, N sources, Q quantizers, D width.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.encoder import Features


class Marker(NamedTuple):
    """Something that happened to the person: ``time`` s on the clock of the blocks, ``label``."""

    time: float
    label: str


class Block(NamedTuple):
    """Next samples.

    ``values`` (C, T) in V, T or T/m, NaN where missing; ``time`` of the first of them, seconds on
    any clock, None where it follows the block before; ``reconnected``: the source was lost and
    found again before it; ``markers`` that came with it, which may lie before or after it.
    """

    values: NDArray[np.float64]
    time: float | None = None
    reconnected: bool = False
    markers: tuple[Marker, ...] = ()


class StreamEvent(NamedTuple):
    """Something that happened: ``time`` s, ``kind``, and one line that says it."""

    time: float
    kind: str
    text: str


class Decision(NamedTuple):
    """What a head says: ``value``, and ``time`` s, the end of what it judged."""

    time: float
    value: Any


class StreamOutput(NamedTuple):
    """What a block completed.

    ``codes`` (P, N, Q) and their ``times`` (P,), s on the clock of the blocks; ``features``, which
    come later than the codes by up to a step, with their own times; ``decisions`` of the head;
    ``segment``, counted up where a long gap began the stream anew; ``events``.
    """

    codes: NDArray[np.uint16]
    times: NDArray[np.float64]
    features: Features | None
    decisions: tuple[Decision, ...]
    segment: int
    events: tuple[StreamEvent, ...]

    @property
    def decision(self) -> Any:
        """Return what the head said last, None where it said nothing."""
        return self.decisions[-1].value if self.decisions else None
