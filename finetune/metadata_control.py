"""The control that never sees the brain: whose trial it is, where in the session, what around it.

What it finds could be told from the order of events alone, so a decoder's score must exceed it.

Shapes: N trials, F features, M things to decode, O outputs.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainfm.sensors import FloatArray
from brainfm.trial_splits import Fold

from .control_run import Decode, comparable, cosine, write_control
from .ctc_decoding import texts_of
from .decoded_run import load_run
from .head import Kind
from .predictions import Predictions
from .targets import Targets

N_PARTS = 8
"""Parts of a recording that a trial's place is told by, besides its time."""
GRID = tuple(10.0**power for power in range(-4, 5))


def run_metadata(run: Path, folder: Path) -> Path:
    """Decode a run's trials from their metadata; written like any run.

    Texts are those of the training trial whose metadata are nearest.
    """
    from .run_data import load_data

    decoded = load_run(run)
    record = decoded.record
    targets = load_data(run).targets
    features = metadata_features(record.columns, np.array(record.onsets))

    def fold(number: int) -> Decode:
        this, known = decoded.split.folds[number], targets
        if record.kind == "text":
            texts = np.array(texts_of(targets, targets.rows[nearest_training(features, this)]))
            return lambda like: replace(like, output=texts[like.trial])
        if record.kind == "retrieval":
            known = comparable(targets, this.indices("train"))
        output = decode_metadata(record.kind, features, known, this)
        return lambda like: as_predictions(record.kind, output, known, like)

    return write_control(run, folder, "metadata", fold)


def metadata_features(
    columns: Mapping[str, tuple[str, ...]], onsets: NDArray[np.float64]
) -> FloatArray:
    """Return what is known of every trial without its signal, (N, F).

    Data set, subject and recording's number in the subject (one column each), time in the
    recording, the part of the recording, and the logarithms of the times since the last trial and
    until the next, which tell how long something was presented.
    """
    recording = np.array(columns["recording"], dtype=np.str_)
    subject = np.array(columns["subject"], dtype=np.str_)
    place, part, since, until = (np.zeros(len(onsets)) for _ in range(4))
    number = np.zeros(len(onsets), dtype=np.int64)
    for who in np.unique(subject):
        for k, name in enumerate(np.unique(recording[subject == who])):
            members = np.flatnonzero(recording == name)
            members = members[np.argsort(onsets[members], kind="stable")]
            gaps = np.diff(onsets[members])
            usual = float(np.median(gaps)) if len(gaps) else 1.0
            place[members] = np.arange(len(members)) / max(1, len(members) - 1)
            since[members] = np.concatenate([[usual], gaps])
            until[members] = np.concatenate([gaps, [usual]])
            number[members] = k
    part = np.minimum((place * N_PARTS).astype(np.int64), N_PARTS - 1)
    numbers = [onsets, place, np.log(since + 1e-3), np.log(until + 1e-3)]
    flags = [np.array(columns["dataset"], dtype=np.str_), subject, number, part]
    return np.column_stack([*numbers, *(_one_hot(flag) for flag in flags)])


def _one_hot(values: NDArray) -> FloatArray:
    return (values[:, None] == np.unique(values)).astype(np.float64)


def decode_metadata(kind: Kind, features: FloatArray, targets: Targets, fold: Fold) -> FloatArray:
    """Fit on the training side, choose the penalty on validation, predict all trials.

    Parameters
    ----------
    kind
        Classes: logistic regression. Else: ridge to the targets' values.
    features
        (N, F) of all trials.
    targets, fold
        Of the run.

    Returns
    -------
    ndarray, shape (N, M) or (N, O)
        Probabilities, or values.
    """
    x = _standardised(features, fold)
    if kind == "classes":
        return _class_probabilities(x, targets.rows, len(targets.ids), fold)
    return _values(x, targets, fold)


def nearest_training(features: FloatArray, fold: Fold) -> NDArray[np.int64]:
    """Return for every trial the training trial (N,) whose features (N, F) are nearest."""
    from sklearn.neighbors import NearestNeighbors

    train, x = fold.indices("train"), _standardised(features, fold)
    nearest = NearestNeighbors(n_neighbors=1).fit(x[train]).kneighbors(x, return_distance=False)
    return np.asarray(train[nearest[:, 0]])


def _standardised(features: FloatArray, fold: Fold) -> FloatArray:
    train = fold.indices("train")
    mean, spread = features[train].mean(0), features[train].std(0)
    x = (features - mean) / np.where(spread > 0, spread, 1.0)
    return np.clip(x, -5, 5)  # a subject that training has not seen has values of its own


def as_predictions(
    kind: Kind, output: FloatArray, targets: Targets, like: Predictions
) -> Predictions:
    """Return outputs of all trials as predictions of the trials, and of the gallery, of others."""
    output = output[like.trial]
    if kind == "retrieval":
        assert targets.values is not None, "stimuli are retrieved but have no features"
        gallery = targets.values[like.gallery].reshape(len(like.gallery), -1)
        output = cosine(output, gallery)
    return replace(like, output=output)


def _class_probabilities(
    x: FloatArray, rows: NDArray[np.int64], n_classes: int, fold: Fold
) -> FloatArray:
    from sklearn.linear_model import LogisticRegression

    train, chosen = fold.indices("train"), _choosing(fold)
    best, least = np.full((len(x), n_classes), 1 / n_classes), np.inf
    there = np.unique(rows[train])
    if len(there) < 2:
        return best
    for strength in GRID:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=500)
        model.fit(x[train], rows[train])
        p = np.full((len(x), n_classes), 1e-6)
        p[:, model.classes_] = model.predict_proba(x)
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[chosen, rows[chosen]]).mean()
        if loss < least:
            best, least = p, loss
    return best


def _values(x: FloatArray, targets: Targets, fold: Fold) -> FloatArray:
    from sklearn.linear_model import Ridge

    assert targets.values is not None, "values are decoded but there are none"
    train, chosen = fold.indices("train"), _choosing(fold)
    y = targets.values.reshape(len(targets.values), -1).astype(np.float64)[targets.rows]
    best, least = np.repeat(y[train].mean(0, keepdims=True), len(x), axis=0), np.inf
    for strength in GRID:
        p = Ridge(alpha=strength * len(train)).fit(x[train], y[train]).predict(x)
        p = p.reshape(len(x), -1)
        loss = ((p[chosen] - y[chosen]) ** 2).mean()
        if loss < least:
            best, least = p, loss
    return best


def _choosing(fold: Fold) -> NDArray[np.int64]:
    """Return the trials settings are chosen on: validation, or training where there is none."""
    validation = fold.indices("validation")
    return validation if len(validation) else fold.indices("train")
