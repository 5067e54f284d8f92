"""Controls that train no network: decoded here, written like any run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainfm.trial_splits import TRIAL_SPLIT_FILE

from .decoded_run import load_run
from .predictions import Predictions, fold_path, predictions_path
from .standardisation import standardised
from .targets import Targets

SIDES = ("validation", "test")

Decode = Callable[[Predictions], Predictions]
"""From the run's predictions of some trials to the control's of the same."""


def write_control(run: Path, folder: Path, name: str, fold: Callable[[int], Decode]) -> Path:
    """Write predictions of every fold and side of a run, as a control of it.

    Parameters
    ----------
    run
        A finished run.
    folder
        Of the control.
    name
        Of the control.
    fold
        Makes a decoder for the fold of a number, from its training side.
    """
    record = load_run(run).record
    for number in range(record.n_folds):
        decode = fold(number)
        fold_path(folder, number).mkdir(parents=True, exist_ok=True)
        for side in SIDES:
            theirs = predictions_path(fold_path(run, number), side)
            if theirs.is_file():
                found = decode(Predictions.load(theirs))
                found.save(predictions_path(fold_path(folder, number), side))
    (folder / TRIAL_SPLIT_FILE).write_bytes((run / TRIAL_SPLIT_FILE).read_bytes())
    replace(record, name=name.replace("_", " "), control=name).save(folder)
    return folder


def comparable(targets: Targets, training: NDArray[np.int64]) -> Targets:
    """Return targets whose values are vectors, standardised over training trials (places)."""
    assert targets.values is not None, "stimuli are retrieved but have no features"
    return replace(targets, values=standardised(targets.values, targets.rows[training]))


def cosine(queries: NDArray, gallery: NDArray) -> NDArray[np.float64]:
    """Return the cosine of vectors (N, F) and (G, F); a vector without length is like nothing."""
    from sklearn.metrics.pairwise import cosine_similarity

    return np.asarray(cosine_similarity(queries, gallery), dtype=np.float64)
