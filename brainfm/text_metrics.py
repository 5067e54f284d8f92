"""Errors of decoded texts: wrong characters and wrong words.

Edits are counted for every pair of a decoded and a true text, so that shuffling the truth costs
nothing.

Shapes: N decoded texts, M true texts.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.decoding_metrics import Metric


class TextError(NamedTuple):
    """A measure, and ``edits`` (N, M): insertions, deletions and replacements of every pair.

    ``metric.compute(edits, places)`` is the measure: all edits over the length of all true texts;
    it may exceed 1.
    """

    metric: Metric
    edits: NDArray[np.int64]


def text_metrics(decoded: Sequence[str], truths: Sequence[str]) -> tuple[TextError, ...]:
    """Return character error rate (CER) and word error rate (WER); less is better.

    There is no analytic chance level: shuffled truths and the control without brain input give one.

    Parameters
    ----------
    decoded
        (N,) what was decoded of each trial.
    truths
        (M,) true texts, each once; the target of a trial is its place among them.

    Raises
    ------
    ValueError
        A true text is empty: an error rate has no meaning there.
    """
    empty = [k for k, text in enumerate(truths) if not text.split()]
    if empty:
        raise ValueError(f"{len(empty)} true texts are empty, e.g. number {empty[0]}")
    return (
        _error_rate("CER", list(decoded), list(truths)),
        _error_rate("WER", [t.split() for t in decoded], [t.split() for t in truths]),
    )


def _error_rate(
    name: str, decoded: Sequence[Sequence[str]], truths: Sequence[Sequence[str]]
) -> TextError:
    lengths = np.array([len(text) for text in truths], dtype=np.int64)
    metric = Metric(
        name=name,
        compute=_share(lengths),
        chance=None,
        higher_is_better=False,
        limits=(0.0, np.inf),  # what is said too much counts as well
    )
    return TextError(metric, edit_distances(decoded, truths))


def _share(lengths: NDArray[np.int64]) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    def compute(edits: NDArray[Any], place: NDArray[Any]) -> float:
        if not len(place):
            return float("nan")
        return float(edits[np.arange(len(place)), place].sum() / lengths[place].sum())

    return compute


def edit_distances(a: Sequence[Sequence[str]], b: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Return the edits (N, M) that make each of ``a`` each of ``b`` (Levenshtein's distance)."""
    try:
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import cdist
    except ImportError:
        raise ImportError(
            "counting errors in texts needs rapidfuzz: pip install 'brainfm-toolkit[text]'"
        ) from None
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)), dtype=np.int64)
    found = cdist(a, b, scorer=Levenshtein.distance, dtype=np.int32)
    return np.asarray(found, dtype=np.int64)
