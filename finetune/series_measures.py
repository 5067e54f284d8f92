"""Measures of slow series (BOLD), whose trials are volumes after each other.

Everything is taken within the test volumes of one recording and fold: the level of a recording
says nothing of how its volumes differ. Neighbours resemble each other, so that shuffled volumes
would be far too easy to beat; instead the truth is turned around within recording and fold.

Shapes: N volumes, V of them in a part (a recording in a fold), R regions.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brainfm.decoding_metrics import Metric
from brainfm.decoding_scores import Score
from brainfm.sensors import FloatArray

from .decoded_run import DecodedRun

N_SHIFTS = 200
LEAST_SHIFT_S = 30.0
LARGEST_SHARE = 1 / 3
"""Of a part, that a shift must leave on both sides at most."""
LEAST_VOLUMES = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Predictions and truth of a run, and which volumes belong together.

    Parameters
    ----------
    output, truth
        (N, R).
    parts
        Places of the volumes of each recording in each fold, in the order of time.
    part
        (N,) number of the part of each volume.
    onsets
        (N,) s.
    """

    output: FloatArray
    truth: FloatArray
    parts: tuple[NDArray[np.int64], ...]
    part: NDArray[np.int64]
    onsets: FloatArray

    @classmethod
    def of(cls, run: DecodedRun) -> "Series":
        """Return those of a run's test volumes."""
        output, truth = (
            run.pooled([getattr(fold, name) for fold in run.folds])
            .astype(np.float64)
            .reshape(len(run.trial), -1)
            for name in ("output", "truth")
        )
        onsets = np.array(run.record.onsets)[run.trial]
        part = np.unique(run.shuffled_within, return_inverse=True)[1].reshape(-1)
        members = [np.flatnonzero(part == k) for k in range(int(part.max()) + 1)]
        parts = tuple(m[np.argsort(onsets[m], kind="stable")] for m in members)
        return cls(output=output, truth=truth, parts=parts, part=part, onsets=onsets)

    @property
    def with_part(self) -> FloatArray:
        """Return predictions with the number of their part as last column, (N, R + 1)."""
        return np.column_stack([self.output, self.part])

    def turned(self, generator: np.random.Generator) -> FloatArray:
        """Return the truth (N, R), that of each part taken later by a random time, around its end.

        By at least :data:`LEAST_SHIFT_S`, or a third of a part where that is less.
        """
        found = self.truth.copy()
        for members in self.parts:
            n = len(members)
            if n < LEAST_VOLUMES:
                continue
            spacing = max(float(np.median(np.diff(self.onsets[members]))), 1e-9)
            least = int(np.ceil(min(LEAST_SHIFT_S / spacing, LARGEST_SHARE * n)))
            shift = int(generator.integers(least, n - least + 1))
            found[members] = np.roll(self.truth[members], shift, axis=0)
        return found


def series_metrics(n_regions: int) -> list[Metric]:
    """Return correlation, the same without the global signal, and that of connectivity.

    Of the volumes of one part; the last two need two and three regions. Connectivity has no chance
    level: turned truth has the same.
    """
    found = {"r": mean_r}
    if n_regions >= 2:
        found["r without global signal"] = r_without_global
    if n_regions >= 3:
        found["connectivity r"] = connectivity_r
    return [
        Metric(
            name=name,
            compute=compute,
            chance=None if compute is connectivity_r else 0.0,
            limits=(-1.0, 1.0),
        )
        for name, compute in found.items()
    ]


def with_shift_test(
    scored: Score, run: DecodedRun, metric: Metric, generator: np.random.Generator
) -> Score:
    """Return a score with p of :data:`N_SHIFTS` turns of the truth instead of permutations.

    Parameters
    ----------
    scored
        Whose value is tested.
    run
        Of the score.
    metric
        From predictions with the number of their part as last column, and truth; without a chance
        level there is no p.
    generator
        Draws the turns.
    """
    if metric.chance is None:
        return scored
    series, who = Series.of(run), run.subjects
    members = [np.flatnonzero(who == name) for name in np.unique(who)]
    given = series.with_part

    def value(truth: FloatArray) -> float:
        each = np.array([metric.compute(given[m], truth[m]) for m in members])
        return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")

    true = value(series.truth)
    if not np.isfinite(true):
        return scored
    null = np.array([value(series.turned(generator)) for _ in range(N_SHIFTS)])
    note = f"p of {N_SHIFTS} turns of the truth within recording and fold, not of permutations"
    return replace(
        scored,
        null_mean=float(np.nanmean(null)),
        p_value=tail(true, null),
        n_permutations=N_SHIFTS,
        note="; ".join(filter(None, (scored.note, note))),
    )


def tail(true: float, null: FloatArray) -> float:
    """Return the one-sided p of a value among those of a null, itself counted."""
    return float((1 + (null >= true - 1e-12).sum()) / (1 + len(null)))


def region_r(output: NDArray, truth: NDArray) -> FloatArray:
    """Return r of every region (R,) of (V, R) and (V, R).

    A prediction that does not vary tells nothing and has 0; a truth that does not has NaN.
    """
    if len(truth) < LEAST_VOLUMES:
        return np.full(truth.shape[1], np.nan)
    x, y = output - output.mean(0), truth - truth.mean(0)
    size = np.sqrt((x**2).sum(0)), np.sqrt((y**2).sum(0))
    # Rounding of a constant is no variation.
    flat = [s <= 1e-7 * np.abs(v).sum(0) for s, v in zip(size, (output, truth), strict=True)]
    r = (x * y).sum(0) / np.where(flat[0] | flat[1], 1.0, size[0] * size[1])
    return np.where(flat[1], np.nan, np.where(flat[0], 0.0, r))


def mean_r(output: NDArray, truth: NDArray) -> float:
    """Return the mean of r over regions, by Fisher's z."""
    r = region_r(output, truth)
    if not np.isfinite(r).any():
        return float("nan")
    return float(np.tanh(np.nanmean(np.arctanh(r.clip(-0.999999, 0.999999)))))


def r_without_global(output: NDArray, truth: NDArray) -> float:
    """Return :func:`mean_r` after the mean over regions was regressed out of both."""
    return mean_r(*(_without_mean(_standardised(x)) for x in (output, truth)))


def connectivity_r(output: NDArray, truth: NDArray) -> float:
    """Return how the correlations between regions agree, over all pairs; 0 if predicted flat."""
    if len(truth) < LEAST_VOLUMES:
        return float("nan")
    pairs = np.triu_indices(truth.shape[1], 1)
    both = [_standardised(x).T @ _standardised(x) / len(x) for x in (output, truth)]
    found = region_r(both[0][pairs][:, None], both[1][pairs][:, None])
    return float(found[0])


def _standardised(x: NDArray) -> FloatArray:
    away = x - x.mean(0)
    spread = away.std(0)
    flat = spread <= 1e-7 * np.abs(x).mean(0)
    return np.asarray(np.where(flat, 0.0, away / np.where(flat, 1.0, spread)))


def _without_mean(x: FloatArray) -> FloatArray:
    mean = x.mean(1, keepdims=True)
    power = float((mean**2).sum())
    return x - mean * ((mean * x).sum(0) / power) if power > 0 else x
