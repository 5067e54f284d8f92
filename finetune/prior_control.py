"""The control that knows only what training was about: language and frequencies, no trial.

Shapes: N trials, M things to decode, O outputs, U different texts, G gallery.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.ngram import chances_by_place
from brainfm.trial_splits import Fold
from brainfm.trials import Trials

from .control_run import Decode, write_control
from .control_settings import DoesNotApplyError
from .ctc_decoding import TextDecoder, TextDecodingConfig, symbols_of, texts_of, uninformed
from .decoded_run import load_run
from .head import Kind
from .passages import passages
from .predictions import Predictions
from .run_data import load_data, settings_of
from .targets import Targets

MAX_TEXTS = 1000
"""Most frequent training texts that are compared with each other."""


def run_prior(run: Path, folder: Path) -> Path:
    """Decode a run's trials without looking at them; written like any run.

    Of texts it is the language model alone, where the run has one, or the training text with the
    fewest edits, whichever is nearer to training. Of words in sentences it is a bigram of training
    labels: how probable each word is at its place in a sentence.

    Raises
    ------
    DoesNotApplyError
        Contents are retrieved that are no parts of a whole, or have names that training does not
        know: one query for all trials is at chance by construction.
    """
    decoded = load_run(run)
    kind = decoded.record.kind
    data = load_data(run)
    targets = data.targets
    if kind == "retrieval":
        _check_language(data.trials, decoded.split.folds)

    def fold(number: int) -> Decode:
        this = decoded.split.folds[number]
        training = this.indices("train")
        if kind == "retrieval":
            return _of_words(data.trials, targets, training)
        answer = prior(kind, targets, targets.rows[training])
        if kind == "text":
            answer = _with_language_model(answer, run, targets, targets.rows[training])
        return lambda like: repeated(answer, like)

    return write_control(run, folder, "prior_only", fold)


def _check_language(trials: Trials, folds: Sequence[Fold]) -> None:
    whole = passages(trials)
    labels = trials.labels
    known = all(np.isin(labels[f.indices("test")], labels[f.indices("train")]).any() for f in folds)
    if len(np.unique(whole)) == len(whole) or not known:
        raise DoesNotApplyError("the same query for all trials is at chance by construction")


def _of_words(trials: Trials, targets: Targets, training: NDArray[np.int64]) -> Decode:
    """Return what the bigram of training's passages says of the words of a gallery."""
    whole, labels = passages(trials), trials.labels
    first = np.searchsorted(whole, whole)  # numbers of passages rise through the table
    place = np.arange(len(whole)) - first
    # Content -> the name of the first trial with it.
    name = np.empty(len(targets.ids), dtype=labels.dtype)
    name[targets.rows[::-1]] = labels[::-1]
    words, number = np.unique(labels, return_inverse=True)
    symbols = number.astype(np.str_)  # a word may hold what an n-gram's symbol may not
    texts = [symbols[training[whole[training] == k]].tolist() for k in np.unique(whole[training])]
    alphabet = [str(k) for k in range(len(words))]
    chances = np.log(chances_by_place(texts, alphabet, int(place.max()) + 1))

    def decode(like: Predictions) -> Predictions:
        column = np.searchsorted(words, name[like.gallery])
        return replace(like, output=chances[place[like.trial]][:, column].astype(np.float32))

    return decode


def _with_language_model(
    answer: NDArray[Any], run: Path, targets: Targets, training: NDArray[np.int64]
) -> NDArray[Any]:
    """Return what the language model says of nothing, or the answer if that is nearer."""
    from brainfm.text_metrics import edit_distances

    head = settings_of(run)["model"]["head"]
    asked = (head.get("init_args") or {}).get("decoding") or {}
    cfg = TextDecodingConfig(**asked)
    if not (cfg.language_model or cfg.lexicon):
        return answer
    symbols = [symbols_of(targets, row) for row in training.tolist()]
    alone = TextDecoder(cfg, targets.alphabet, symbols)(uninformed(symbols, targets.alphabet))
    edits = edit_distances([str(answer), alone], texts_of(targets, training)).sum(1)
    return np.array(alone) if edits[1] < edits[0] else answer


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
