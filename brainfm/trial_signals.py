"""The samples of trials of one recording that is in no corpus.

Shapes: N trials, C sensors, T samples of a window.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brainfm.processing import Processed
from brainfm.trials import TrialConfig, samples_of, seen_samples


def trial_signals(
    processed: Processed, onsets: Sequence[float], trials: TrialConfig
) -> NDArray[np.float32]:
    """Return the windows around events, less their baselines, (N, C, T).

    Parameters
    ----------
    processed
        The recording, prepared for the model.
    onsets
        (N,) seconds from the first sample to each event.
    trials
        Window and baseline.

    Raises
    ------
    ValueError
        A trial reaches beyond the recording.
    """
    signal = processed.array().astype(np.float32)
    rate = processed.sfreq
    windows = []
    for onset in onsets:
        first, stop = seen_samples(onset, trials, rate)
        if first < 0 or stop > signal.shape[1]:
            raise ValueError(
                f"the trial at {onset:g} s reaches beyond the recording, which lasts "
                f"{signal.shape[1] / rate:g} s"
            )
        begin, end = samples_of(onset, trials.window, rate)
        x = signal[:, begin:end]
        if trials.baseline is not None:
            a, b = samples_of(onset, trials.baseline, rate)
            x = x - signal[:, a:b].mean(axis=1, keepdims=True)
        windows.append(x)
    length = samples_of(0.0, trials.window, rate)
    empty = np.zeros((0, len(signal), length[1] - length[0]), dtype=np.float32)
    return np.stack(windows) if windows else empty
