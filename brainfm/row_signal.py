"""Some of the channels of a recording.

Shapes: C sensors, T samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brainfm.recordings import Recording

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class RowSignal:
    """Rows ``index`` of another signal; ``signal(start, stop)`` -> (C, stop - start)."""

    recording: Recording
    index: NDArray[np.int64]

    def __call__(self, start: int, stop: int) -> FloatArray:
        """Return samples ``start`` to ``stop``."""
        return self.recording.read(start, stop)[self.index]


def select_types(recording: Recording, kinds: Sequence[str]) -> Recording:
    """Return the recording with only the sensors of these types.

    Raises
    ------
    ValueError
        When it has none of them.
    """
    index = np.flatnonzero(np.isin(recording.sensors.types, list(kinds)))
    if len(index) == len(recording.sensors):
        return recording
    if not len(index):
        found = sorted(set(recording.sensors.types.tolist()))
        raise ValueError(
            f"{recording.source}: has no {' or '.join(kinds)} channels, only {', '.join(found)}"
        )
    bads = recording.bads
    return replace(
        recording,
        sensors=recording.sensors.select(index),
        bads=None if bads is None else bads[index],
        signal=RowSignal(recording, index),
    )
