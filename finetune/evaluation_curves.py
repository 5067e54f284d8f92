"""What retrieval looks like beyond one number: curves, kinds of errors, examples.

Shapes: N trials, M contents.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.averaging import ALL, averaging_curve, credit_of
from brainfm.bootstrap import ANYWHERE, MIN_UNITS, mean_interval
from brainfm.decoding_metrics import SHARE
from brainfm.retrieval_metrics import RetrievalConfig, retrieval_metrics
from brainfm.sensors import FloatArray

from .decoded_run import DecodedRun
from .evaluation_scores import ScoringConfig
from .retrieval_measures import Searched, searched

N_EXAMPLES = 5
N_LISTED = 5


def retrieval_details(run: DecodedRun, cfg: ScoringConfig) -> dict[str, Any]:
    """Return n-way and averaging curves, errors within and across wholes, and examples."""
    found = searched(run)
    return {
        "n_way": n_way_curve(run, cfg),
        "averaging": averaging_curves(run, found, cfg),
        "errors": group_errors(run, found, cfg),
        "examples": examples(run, found),
    }


def class_details(run: DecodedRun, cfg: ScoringConfig) -> dict[str, Any]:
    """Return the confusion matrix, the calibration curve and the averaging curve of classes."""
    p = run.pooled([fold.output for fold in run.folds]).astype(np.float64)
    confusion = np.zeros((p.shape[1], p.shape[1]), np.int64)
    np.add.at(confusion, (run.target, p.argmax(1)), 1)
    # The mean of logarithms is what independent trials of one class would say together.
    as_search = Searched(
        np.log(np.maximum(p, 1e-12)).astype(np.float32), run.target, np.arange(p.shape[1])
    )
    return {
        "confusion": confusion.tolist(),
        "calibration": calibration_curve(p, run.target),
        "averaging": averaging_curves(run, as_search, cfg),
    }


def n_way_curve(run: DecodedRun, cfg: ScoringConfig) -> list[dict[str, Any]]:
    """Return identification among n contents for n = 2, 4, 8, ... and the whole gallery."""
    least = min(len(fold.gallery) for fold in run.folds)
    ways = sorted({*(2**k for k in range(1, 20) if 2**k <= least), least})
    config = RetrievalConfig(top=(), ways=tuple(ways))
    each = []
    for fold in run.folds:
        place = np.searchsorted(np.sort(fold.gallery), fold.target)
        place = np.argsort(fold.gallery)[place]
        credits = [m.credit for m in retrieval_metrics(fold.output, config)[: len(ways)]]
        each.append(np.stack([credit[np.arange(len(place)), place] for credit in credits], 1))
    got = run.pooled(each)
    return [
        {"n": n, "chance": 1 / n, **_over_subjects(got[:, k], run.subjects, cfg)}
        for k, n in enumerate(ways)
    ]


def averaging_curves(
    run: DecodedRun, found: Searched, cfg: ScoringConfig
) -> dict[str, list[dict[str, Any]]]:
    """Return what averaging presentations gains, within subjects and over them.

    Averages are over similarities of the same content. Empty lists where none was repeated.
    """
    curves = {}
    for name, over in (("within subjects", False), ("over subjects", True)):
        points = averaging_curve(
            found.similarity,
            found.place,
            run.subjects,
            over_subjects=over,
            generator=cfg.generator(),
        )
        curves[name] = [
            {
                "k": point.k,
                "n_contents": point.n_contents,
                "measures": {
                    measure: _summary(
                        np.array(list(values.values())), cfg, pooled=ALL in values, limits=SHARE
                    )
                    for measure, values in point.values.items()
                },
            }
            for point in points
        ]
    return curves


def group_errors(run: DecodedRun, found: Searched, cfg: ScoringConfig) -> dict[str, Any] | None:
    """Return how well contents of the same whole (sentence) are told apart, and of others.

    A decoder that knows the sentence but not the word does well across sentences alone.
    None where contents are no parts of a whole.
    """
    groups, names = _memberships(run, found)
    if groups is None:
        return None
    own = np.searchsorted(names, run.column("group"))
    same = groups[own]
    right = np.arange(len(run.trial)), found.place
    finite = np.isfinite(found.similarity)
    result: dict[str, Any] = {"n_wholes": len(names)}
    for name, members in (("within", same), ("across", ~same)):
        kept = finite & members
        kept[right] = True
        usable = kept.sum(1) > 1
        if not usable.any():
            return None
        limited = np.where(kept, found.similarity, -np.inf)[usable]
        credit = credit_of(limited, found.place[usable], (1,))["2-way"]
        result[name] = {
            "chance": 0.5,
            "n_trials": int(usable.sum()),
            **_over_subjects(credit, run.subjects[usable], cfg),
        }
    best = found.similarity.argmax(1)
    wrong = best != found.place
    if wrong.any():
        others = finite.sum(1) - 1
        fellows = (finite & same).sum(1) - 1
        result["errors_in_same_whole"] = float(same[np.arange(len(best)), best][wrong].mean())
        result["expected_of_random_errors"] = float((fellows / others)[wrong].mean())
        result["n_errors"] = int(wrong.sum())
    return result


def examples(run: DecodedRun, found: Searched) -> list[dict[str, Any]]:
    """Return the trials that were retrieved best and worst, with the first of their galleries.

    Of equal ranks the one stands first whose right content is furthest above the best other one.
    """
    right = found.similarity[np.arange(len(found.place)), found.place]
    others = found.similarity.copy()
    others[np.arange(len(found.place)), found.place] = -np.inf
    rank = 1 + (others > right[:, None]).sum(1) + ((others == right[:, None]).sum(1)) / 2
    order = np.lexsort((others.max(1) - right, rank))
    n = min(N_EXAMPLES, len(order) // 2)
    chosen = [("best", k) for k in order[:n]] + [("worst", k) for k in order[len(order) - n :]]
    recording, onset = run.column("recording"), np.array(run.record.onsets)[run.trial]
    return [
        {
            "which": which,
            "recording": str(recording[k]),
            "onset": float(onset[k]),
            "truth": run.record.ids[found.rows[found.place[k]]],
            "rank": float(rank[k]),
            "gallery_size": int(np.isfinite(found.similarity[k]).sum()),
            "first": [
                {"id": run.record.ids[found.rows[m]], "similarity": float(found.similarity[k, m])}
                for m in np.argsort(-found.similarity[k], kind="stable")[:N_LISTED].tolist()
                if np.isfinite(found.similarity[k, m])
            ],
        }
        for which, k in chosen
    ]


def calibration_curve(
    p: FloatArray, target: NDArray[np.int64], n_bins: int = 10
) -> list[dict[str, float]]:
    """Return mean confidence and share right of the trials in each bin of confidence."""
    confidence, right = p.max(1), p.argmax(1) == target
    edges = np.linspace(0, 1, n_bins + 1)
    bins = np.minimum(np.searchsorted(edges, confidence, side="right") - 1, n_bins - 1)
    return [
        {
            "confidence": float(confidence[bins == b].mean()),
            "right": float(right[bins == b].mean()),
            "n": int((bins == b).sum()),
        }
        for b in np.unique(bins)
    ]


def per_output(run: DecodedRun, cfg: ScoringConfig) -> list[dict[str, Any]]:
    """Return the correlation of every output, mean over subjects (of Fisher's z, shown as r)."""
    output, truth = (
        run.pooled([getattr(fold, name) for fold in run.folds])
        .astype(np.float64)
        .reshape(len(run.trial), -1)
        for name in ("output", "truth")
    )
    # The level of a recording of a slow series says nothing of how its volumes differ.
    part = run.shuffled_within if run.record.series else run.fold
    cells = [
        (who, np.flatnonzero((run.subjects == who) & (part == k)))
        for who in np.unique(run.subjects)
        for k in np.unique(part[run.subjects == who])
    ]
    by_subject: dict[str, list[FloatArray]] = {}
    for who, members in cells:
        if len(members) > 2:
            by_subject.setdefault(str(who), []).append(_columns_r(output[members], truth[members]))
    z = np.array(
        [
            np.arctanh(np.clip(np.nanmean(r, axis=0), -0.999999, 0.999999))
            for r in by_subject.values()
        ]
    )
    names = run.record.units or tuple(f"output {k + 1}" for k in range(output.shape[1]))
    found = []
    for k, name in enumerate(names):
        summary = _summary(z[:, k], cfg) if len(z) else {"value": None, "interval": None}
        found.append({"name": name, "r": _tanh(summary)})
    return found


def _columns_r(x: FloatArray, y: FloatArray) -> FloatArray:
    x, y = x - x.mean(0), y - y.mean(0)
    scale = np.sqrt((x**2).sum(0) * (y**2).sum(0))
    return np.where(scale > 0, (x * y).sum(0) / np.where(scale > 0, scale, 1), np.nan)


def _tanh(summary: Mapping[str, Any]) -> dict[str, Any]:
    value, interval = summary["value"], summary["interval"]
    return {
        "value": None if value is None else float(np.tanh(value)),
        "interval": None if interval is None else [float(np.tanh(edge)) for edge in interval],
    }


def _memberships(
    run: DecodedRun, found: Searched
) -> tuple[NDArray[np.bool_] | None, NDArray[np.str_]]:
    """Return which contents (U, M) each of the wholes has that trials are a part of."""
    group, stimulus = run.column("group"), run.column("stimulus")
    names = np.unique(group)
    if np.array_equal(group, stimulus) or len(names) < 2:
        return None, names
    member = np.zeros((len(names), len(found.rows)), np.bool_)
    member[np.searchsorted(names, group), found.place] = True
    return member, names


def _over_subjects(
    values: NDArray[np.floating], subjects: NDArray[np.str_], cfg: ScoringConfig
) -> dict[str, Any]:
    each = np.array([values[subjects == who].mean() for who in np.unique(subjects)])
    return _summary(each, cfg, limits=SHARE)


def _summary(
    each: FloatArray,
    cfg: ScoringConfig,
    *,
    pooled: bool = False,
    limits: tuple[float, float] = ANYWHERE,
) -> dict[str, Any]:
    """Return mean and interval over subjects; no interval of fewer than three."""
    finite = each[np.isfinite(each)]
    interval = None
    if len(finite) >= MIN_UNITS and not pooled:
        low, high = mean_interval(
            finite, generator=cfg.generator(), n_resamples=cfg.n_resamples, limits=limits
        )
        interval = [float(low), float(high)]
    return {"value": float(finite.mean()) if len(finite) else None, "interval": interval}
