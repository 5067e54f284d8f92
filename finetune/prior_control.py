"""The control that knows only what training was about: the same answer for every trial.

Shapes: N trials, M things to decode, O outputs, U different texts.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .control_run import Decode, write_control
from .ctc_decoding import texts_of
from .decoded_run import load_run
from .head import Kind
from .predictions import Predictions
from .run_controls import DoesNotApplyError
from .targets import Targets

MAX_TEXTS = 1000
"""Most frequent training texts that are compared with each other."""


def run_prior(run: Path, folder: Path) -> Path:
    """Decode a run's trials without looking at them; written like any run.

    Raises
    ------
    DoesNotApplyError
        Contents are retrieved: one query for all trials is at chance by construction.
    """
    from .run_data import load_data

    decoded = load_run(run)
    kind = decoded.record.kind
    if kind == "retrieval":
        raise DoesNotApplyError("the same query for all trials is at chance by construction")
    targets = load_data(run).targets

    def fold(number: int) -> Decode:
        answer = prior(kind, targets, targets.rows[decoded.split.folds[number].indices("train")])
        return lambda like: repeated(answer, like)

    return write_control(run, folder, "prior_only", fold)


def prior(kind: Kind, targets: Targets, training: NDArray[np.int64]) -> NDArray[Any]:
    """Return the answer that training alone suggests.

    Parameters
    ----------
    kind
        Classes: their frequencies (M,). Values: their mean (O,). Texts: the one with the fewest
        edits to all of training, ().
    targets
        Of the run.
    training
        Rows of ``targets``, one for every training trial.
    """
    if kind == "classes":
        return np.bincount(training, minlength=len(targets.ids)) / len(training)
    if kind == "text":
        return np.array(_least_wrong(texts_of(targets, training)))
    assert targets.values is not None, "values are decoded but there are none"
    return np.asarray(targets.values[training].astype(np.float64).mean(0))


def repeated(answer: NDArray[Any], like: Predictions) -> Predictions:
    """Return predictions that give one answer (...) for every trial, (N, ...)."""
    every = np.broadcast_to(answer, (len(like.trial), *answer.shape))
    output = every if answer.dtype.kind == "U" else every.reshape(like.output.shape)
    return replace(like, output=np.array(output))


def _least_wrong(texts: list[str]) -> str:
    from brainfm.text_metrics import edit_distances

    counts = Counter(sorted(texts)).most_common(MAX_TEXTS)
    names = [text for text, _ in counts]
    edits = edit_distances(names, names) @ np.array([count for _, count in counts])
    return names[int(edits.argmin())]
