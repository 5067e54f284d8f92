"""Features as MNE objects, for everything MNE does with time courses: averages, statistics, plots.

Channels are ``source N, feature D`` of MNE's type ``misc``; a sample is a frame.

Shapes: P latent frames, N sources, D width.
"""

from collections.abc import Sequence
from typing import Any

import mne
import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from brainfm.encoder import Features


def features_as_raw(features: Features) -> mne.io.RawArray:
    """Return the features of a recording as Raw; its first sample is the centre of frame 0.

    Raises
    ------
    ValueError
        Frames that do not follow each other at one distance (windows that overlap).
    """
    data, info, _ = _rows(features)
    return mne.io.RawArray(data, info, verbose="error")


def features_as_epochs(
    features: Sequence[Features], like: mne.BaseEpochs | None = None
) -> mne.EpochsArray:
    """Return the features of trials as Epochs.

    Parameters
    ----------
    features
        What :meth:`Encoder.encode` returns for Epochs: one per trial, all of one length.
    like
        The Epochs they are from: events, their names, metadata and time zero are taken over.

    Raises
    ------
    ValueError
        Another number of trials than ``like``, none, or trials of different lengths.
    """
    if not features:
        raise ValueError("features holds no trials")
    lengths = {len(trial.times) for trial in features}
    if len(lengths) > 1:
        raise ValueError(f"trials have different numbers of frames: {sorted(lengths)}")
    rows = [_rows(trial) for trial in features]
    _, info, begin = rows[0]
    settings: dict[str, Any] = {}
    if like is not None:
        if len(like) != len(features):
            raise ValueError(f"{len(features)} trials of features, {len(like)} epochs")
        begin += float(like.tmin)
        settings = {
            "events": like.events,
            "event_id": like.event_id,
            "metadata": like.metadata,
        }
    data = np.stack([data for data, _, _ in rows])
    epochs = mne.EpochsArray(data, info, verbose="error", **settings)
    # Given to the constructor, the first time would be rounded to whole frames.
    return epochs.shift_time(begin, relative=False)


def _rows(features: Features) -> tuple[NDArray[np.float64], mne.Info, float]:
    """Return features as (N D, P), their info and the time of the first frame, s."""
    steps = np.diff(features.times)
    if len(steps) == 0:
        raise ValueError("one frame alone has no rate; encode a longer recording")
    if not np.allclose(steps, steps[0]):
        raise ValueError(
            "frames do not follow each other at one distance (this tokenizer's windows overlap): "
            "take the array and its times"
        )
    n_sources, width = features.values.shape[1:]
    names = [f"source {n}, feature {d}" for n in range(n_sources) for d in range(width)]
    info = mne.create_info(names, 1 / float(steps[0]), "misc", verbose="error")
    data = rearrange(features.values, "p n d -> (n d) p").astype(np.float64)
    return data, info, float(features.times[0])
