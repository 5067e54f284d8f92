"""What is measured of a run, by kind of its predictions; all folds together.

Measures that compare trials with each other (area under the curve, correlation) are taken within
folds and averaged: each fold has a decoder of its own, whose outputs have a scale of their own.
Measures of slow series (BOLD) are taken within recordings and folds (:mod:`~.series_measures`). All
others are taken over the trials of all folds.

Shapes: N trials, K classes, O outputs, U texts.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.decoding_metrics import (
    Compute,
    Metric,
    classification_metrics,
    regression_metrics,
)

from .decoded_run import DecodedRun
from .retrieval_measures import class_retrieval_measures, retrieval_measures
from .series_measures import Series, series_metrics
from .text_measures import text_measures

BY_FOLD = ("macro AUC", "r", "R2")
UNEVEN = 2.0
"""Classes more uneven than this are judged by the area under the curve: a decoder that always names
the frequent one has an accuracy that says little."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure:
    """A metric with what it is computed from, in the order of :attr:`DecodedRun.trial`.

    Parameters
    ----------
    metric
        The metric.
    prediction, target
        (N, ...) each, as it wants them.
    gallery_size
        Fewest and most contents that were searched; None unless retrieval.
    """

    metric: Metric
    prediction: NDArray[Any]
    target: NDArray[Any]
    gallery_size: tuple[int, int] | None = None


def measures_of(run: DecodedRun) -> list[Measure]:
    """Return the measures of a run, the main one first.

    Raises
    ------
    ValueError
        Too few classes or too small a gallery for any measure.
    """
    kind = run.record.kind
    if kind == "classes":
        return _classes(run)
    if kind == "values":
        return _values(run)
    if kind == "text":
        return [Measure(metric=m, prediction=p, target=t) for m, p, t in text_measures(run)]
    return [
        Measure(metric=metric, prediction=credit, target=place, gallery_size=size)
        for metric, credit, place, size in retrieval_measures(run)
    ]


def choose_main(measures: list[Measure], name: str | None) -> list[Measure]:
    """Return the measures with the one of a name first; None: as they are."""
    if name is None:
        return measures
    names = [measure.metric.name for measure in measures]
    if name not in names:
        size = measures[0].gallery_size
        of = "" if size is None else f" of a gallery of {size[0]} contents"
        raise ValueError(f"metric must be one of {', '.join(names)}{of}, got {name!r}")
    return sorted(measures, key=lambda measure: measure.metric.name != name)


def _classes(run: DecodedRun) -> list[Measure]:
    output = run.pooled([fold.output for fold in run.folds]).astype(np.float64)
    found = [
        _within_folds(run, Measure(metric=metric, prediction=output, target=run.target))
        for metric in classification_metrics(run.target, len(run.record.ids))
    ]
    found += [
        Measure(metric=metric, prediction=credit, target=run.target)
        for metric, credit in class_retrieval_measures(output, run.target)
    ]
    counts = np.bincount(run.target)
    counts = counts[counts > 0]
    uneven = counts.max() > UNEVEN * counts.min() and len(counts) == 2
    return choose_main(found, "macro AUC" if uneven else "balanced accuracy")


def _values(run: DecodedRun) -> list[Measure]:
    if run.record.series:
        series = Series.of(run)
        return [
            Measure(
                metric=replace(metric, compute=averaged_over_folds(metric.compute)),
                prediction=series.with_part,
                target=series.truth,
            )
            for metric in series_metrics(series.truth.shape[1])
        ]
    output, truth = (
        run.pooled([getattr(fold, name) for fold in run.folds]).astype(np.float64)
        for name in ("output", "truth")
    )
    return [
        _within_folds(run, Measure(metric=metric, prediction=output, target=truth))
        for metric in regression_metrics()
    ]


def _within_folds(run: DecodedRun, measure: Measure) -> Measure:
    if measure.metric.name not in BY_FOLD or len(run.folds) == 1:
        return measure
    flat = measure.prediction.reshape(len(measure.prediction), -1)
    return replace(
        measure,
        metric=replace(measure.metric, compute=averaged_over_folds(measure.metric.compute)),
        prediction=np.column_stack([flat, run.fold]),
    )


def averaged_over_folds(compute: Compute) -> Compute:
    """Return a metric's mean over folds, by their trials; the fold is the last column."""

    def mean(prediction: NDArray[Any], target: NDArray[Any]) -> float:
        fold = prediction[:, -1]
        numbers = np.unique(fold)
        members = [np.flatnonzero(fold == number) for number in numbers]
        values = np.array([compute(prediction[m, :-1], target[m]) for m in members])
        there = np.isfinite(values)
        if not there.any():
            return float("nan")
        counts = np.array([len(m) for m in members])
        return float(np.average(values[there], weights=counts[there]))

    return mean
