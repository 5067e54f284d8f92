"""The control that has learned nothing: what the most similar training trial was about.

Shapes: N trials, K training trials, C sensors, T samples, M things to decode, G of a gallery.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .control_run import Decode, comparable, cosine, write_control
from .ctc_decoding import texts_of
from .decoded_run import load_run
from .head import Kind
from .predictions import Predictions
from .targets import Targets

ROWS_AT_ONCE = 256

Windows = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Reads the windows (N, C, T) of trials."""


def run_neighbour(run: Path, folder: Path) -> Path:
    """Give each trial of a run the target of its nearest training trial; written like any run.

    Raises
    ------
    ValueError
        The recordings have different channels.
    """
    from .run_data import load_data

    kind = load_run(run).record.kind

    def fold(number: int) -> Decode:
        data = load_data(run, fold=number)
        targets, train = data.targets, data.indices("train")
        # Of voxels the mean over the trial is the pattern; drifts are gone already.
        centred = all("voxel" not in info.types for info in data.trials.recordings.values())
        if kind == "retrieval":
            targets = comparable(targets, train)

        def decode(like: Predictions) -> Predictions:
            nearest = train[nearest_windows(data.windows, like.trial, train, centred=centred)]
            return as_predictions(kind, targets, targets.rows[nearest], like)

        return decode

    return write_control(run, folder, "nearest_neighbour", fold)


def nearest_windows(
    windows: Windows,
    trials: NDArray[np.int64],
    train: NDArray[np.int64],
    *,
    centred: bool = True,
) -> NDArray[np.int64]:
    """Return for each trial the place (N,) in ``train`` of the most correlated window.

    Windows are correlated over all sensors and samples, each sensor less its mean if ``centred``.
    """
    place = np.zeros(len(trials), dtype=np.int64)
    best = np.full(len(trials), -np.inf, dtype=np.float32)
    queries = np.concatenate(list(_parts(windows, trials, centred)))
    begin = 0
    for part in _parts(windows, train, centred):
        found = queries @ part.T
        nearest = found.argmax(1)
        value = found[np.arange(len(found)), nearest]
        place = np.where(value > best, begin + nearest, place)
        best = np.maximum(best, value)
        begin += len(part)
    return place


def _parts(
    windows: Windows, trials: NDArray[np.int64], centred: bool
) -> Iterator[NDArray[np.float32]]:
    """Yield windows as vectors (n, C T) of unit length; without variation they are zero."""
    for begin in range(0, len(trials), ROWS_AT_ONCE):
        x: NDArray[Any] = np.asarray(
            windows(trials[begin : begin + ROWS_AT_ONCE]), dtype=np.float32
        )
        if centred:
            x = x - x.mean(-1, keepdims=True)
        x = x.reshape(len(x), -1)
        length = np.linalg.norm(x, axis=1, keepdims=True)
        yield np.asarray(x / np.where(length > 0, length, 1), dtype=np.float32)


def as_predictions(
    kind: Kind, targets: Targets, rows: NDArray[np.int64], like: Predictions
) -> Predictions:
    """Return predictions that say of each trial of ``like`` that a row of targets is right.

    A class gets probability 1; a content is a query by its features.
    """
    output: NDArray[Any]
    if kind == "classes":
        output = np.eye(len(targets.ids))[rows]
    elif kind == "text":
        output = np.array(texts_of(targets, rows), dtype=np.str_)
    else:
        assert targets.values is not None, "there are no features or values"
        output = targets.values[rows]
        if kind == "retrieval":
            output = cosine(output, targets.values[like.gallery])
        else:
            output = output.reshape(like.output.shape)
    return replace(like, output=output)
