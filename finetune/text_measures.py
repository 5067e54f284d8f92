"""Error rates of texts: every decoded text against every true one, so that they can be shuffled.

Shapes: N trials, U different texts.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.decoding_metrics import Metric

from .decoded_run import DecodedRun


def text_measures(run: DecodedRun) -> Iterator[tuple[Metric, NDArray[Any], NDArray[np.int64]]]:
    """Yield every error rate with its edits (N, U) and the places of the true texts (N,).

    Chance is the least error of a decoder that always says the same text, one of the true ones or
    nothing at all.
    """
    from brainfm.text_metrics import text_metrics

    output, truth = (
        run.pooled([getattr(fold, name) for fold in run.folds]) for name in ("output", "truth")
    )
    texts, place = np.unique(truth, return_inverse=True)
    place = place.reshape(-1)
    constants = text_metrics(texts.tolist(), texts.tolist())
    for found, same in zip(text_metrics(output.tolist(), texts.tolist()), constants, strict=True):
        yield _with_chance(run, found.metric, same.edits, place), found.edits, place


def _with_chance(
    run: DecodedRun, metric: Metric, edits: NDArray[Any], place: NDArray[np.int64]
) -> Metric:
    """Return the metric with the error of the best constant text, a mean over subjects."""
    people = [np.flatnonzero(run.subjects == who) for who in np.unique(run.subjects)]
    of_text = [
        float(
            np.mean(
                [metric.compute(np.broadcast_to(row, (len(m), len(row))), place[m]) for m in people]
            )
        )
        for row in edits
    ]
    return replace(metric, chance=min(1.0, *of_text))
