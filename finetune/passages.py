"""Trials that are parts of one whole, as words are of a sentence.

Shapes: N trials.
"""

import numpy as np
from numpy.typing import NDArray

from brainfm.trials import Trials


def passages(trials: Trials) -> NDArray[np.int64]:
    """Return the number of every trial's passage, (N,), rising through the table.

    A passage is a run of trials of one recording, in order of onset, that are parts of the same
    group. What is a whole by itself is a passage of its own: equal labels in a row are none.
    """
    rows = trials.rows
    begins = [
        k == 0
        or trial.recording != rows[k - 1].recording
        or trial.group != rows[k - 1].group
        or trial.group == trial.stimulus
        for k, trial in enumerate(rows)
    ]
    return np.cumsum(begins, dtype=np.int64) - 1
