"""Measures of retrieval over folds whose galleries differ.

Every fold's queries are compared with its own gallery; what a query would get for each content is
put into the columns of all contents, so that targets can be shuffled within a fold at no cost.

Shapes: N trials, G gallery of a fold, M contents of all galleries, R rivals.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.decoding_metrics import SHARE, Metric
from brainfm.retrieval_metrics import RetrievalConfig, retrieval_metrics

from .decoded_run import DecodedRun
from .predictions import Predictions

TOP = (1, 5, 10)
WAYS = (2, 10, 50)
EASY = 10
"""The main measure is the greatest top-k with a gallery of at least so many times k."""
MANY_CLASSES = 20
"""From so many classes on, they are also judged as a gallery."""


class RetrievalMeasure(NamedTuple):
    """``credit`` (N, M) for every content, ``place`` (N,) of the right one, least and most G."""

    metric: Metric
    credit: NDArray[np.floating]
    place: NDArray[np.int64]
    gallery_size: tuple[int, int]


class Searched(NamedTuple):
    """``similarity`` (N, M), minus infinity outside a trial's gallery; ``place`` (N,); ``rows``."""

    similarity: NDArray[np.float32]
    place: NDArray[np.int64]
    rows: NDArray[np.int64]


def searched(run: DecodedRun) -> Searched:
    """Return the similarities of all folds in the columns of all contents."""
    rows = np.unique(np.concatenate([fold.gallery for fold in run.folds]))
    return Searched(
        _in_columns(run, [fold.output for fold in run.folds], rows, -np.inf),
        np.searchsorted(rows, run.target),
        rows,
    )


def retrieval_measures(run: DecodedRun) -> Iterator[RetrievalMeasure]:
    """Yield attended against rivals, where there are any, then the measures of the gallery.

    Raises
    ------
    ValueError
        A gallery has fewer than two contents.
    """
    sizes = [len(fold.gallery) for fold in run.folds]
    least, most = min(sizes), max(sizes)
    if least < 2:
        raise ValueError(
            f"{run.path}: the gallery of fold {int(np.argmin(sizes))} has {least} content, so "
            "there is nothing to choose from; use fewer folds"
        )
    if any(fold.rivals.shape[1] for fold in run.folds):
        yield _attended(run)
    rows = np.unique(np.concatenate([fold.gallery for fold in run.folds]))
    place = np.searchsorted(rows, run.target)
    top = tuple(k for k in TOP if k < least) or (1,)
    main = max((k for k in top if EASY * k <= least), default=1)
    config = RetrievalConfig(top=top, ways=tuple(n for n in WAYS if n <= least))
    folds = [retrieval_metrics(fold.output, config) for fold in run.folds]
    names = [each.metric.name for each in folds[0]]
    first = names.index(f"top-{main}")
    repeated = len(np.unique(run.target)) < len(run.target)
    for number in sorted(range(len(names)), key=lambda k: k != first):
        credit = _in_columns(run, [fold[number].credit for fold in folds], rows, np.nan)
        metric = replace(folds[0][number].metric, chance=_mean_chance(run, folds, number))
        yield RetrievalMeasure(metric, credit, place, (least, most))
        if repeated and metric.name.startswith("top-"):
            even = replace(metric, name=f"balanced {metric.name}", compute=_balanced)
            yield RetrievalMeasure(even, credit, place, (least, most))


def class_retrieval_measures(
    output: NDArray[np.float64], target: NDArray[np.int64]
) -> list[tuple[Metric, NDArray[np.float64]]]:
    """Return top-k accuracies of many classes, also balanced: (metric, credit (N, K)) each."""
    n_classes = output.shape[1]
    if n_classes < MANY_CLASSES:
        return []
    config = RetrievalConfig(top=tuple(k for k in TOP if 1 < k < n_classes), ways=())
    found = []
    for metric, credit in retrieval_metrics(output, config):
        if metric.name.startswith("top-"):
            even = replace(metric, name=f"balanced {metric.name}", compute=_balanced)
            found += [(metric, credit), (even, credit)]
    return found


def attended_options(fold: Predictions) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Return similarity (N, 1 + R) to target and rivals, sorted by row, and the target's column.

    The order does not give the right one away. Places below 0 in ``rivals`` are nobody.
    """
    options = np.sort(np.column_stack([fold.target, fold.rivals]), axis=1)
    column = np.argmax(options == fold.target[:, None], axis=1)
    order = np.argsort(fold.gallery)
    place = order[np.searchsorted(fold.gallery, np.maximum(options, 0), sorter=order)]
    similarity = np.take_along_axis(fold.output.astype(np.float64), place, axis=1)
    return np.where(options < 0, -np.inf, similarity), column


def _attended(run: DecodedRun) -> RetrievalMeasure:
    pairs = [attended_options(fold) for fold in run.folds]
    n = 1 + max(fold.rivals.shape[1] for fold in run.folds)
    credits = [retrieval_metrics(s, RetrievalConfig(top=(1,), ways=()))[0].credit for s, _ in pairs]
    metric = Metric(name=f"attended of {n}", compute=_mean, chance=1 / n, limits=SHARE)
    credit, place = run.pooled(credits), run.pooled([column for _, column in pairs])
    return RetrievalMeasure(metric, credit, place, (n, n))


def _in_columns(
    run: DecodedRun, arrays: list[NDArray[Any]], rows: NDArray[np.int64], outside: float
) -> NDArray[np.float32]:
    """Return what folds give for their galleries (N_f, G), in the columns of all rows (N, M)."""
    found = np.full((len(run.trial), len(rows)), outside, np.float32)
    start, at = 0, np.empty(len(run.trial), np.int64)
    at[run.order] = np.arange(len(run.trial))
    for fold, array in zip(run.folds, arrays, strict=True):
        here = at[start : start + len(array)]
        found[np.ix_(here, np.searchsorted(rows, fold.gallery))] = array
        start += len(array)
    return found


def _mean_chance(run: DecodedRun, folds: list[Any], number: int) -> float:
    """Return the chance level averaged like the score: over the subjects' trials."""
    each = np.array([fold[number].metric.chance for fold in folds])[run.fold]
    return float(np.mean([each[run.subjects == who].mean() for who in np.unique(run.subjects)]))


def _mean(credit: NDArray[Any], place: NDArray[Any]) -> float:
    return float(credit[np.arange(len(place)), place].mean())


def _balanced(credit: NDArray[Any], place: NDArray[Any]) -> float:
    """Return the mean over contents of the mean credit of each."""
    got = credit[np.arange(len(place)), place].astype(np.float64)
    _, which, counts = np.unique(place, return_inverse=True, return_counts=True)
    return float((np.bincount(which, got) / counts).mean())
