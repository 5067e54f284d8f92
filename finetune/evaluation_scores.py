"""Scores of a run: every measure with chance, p and interval, and pairs of runs.

Shapes: N trials, S subjects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.bootstrap import FEW_UNITS, MIN_UNITS, blocks_interval, mean_interval
from brainfm.decoding_scores import Score, score
from brainfm.sensors import FloatArray

from .decoded_run import DecodedRun
from .measures import Measure
from .series_measures import with_shift_test

N_FLIPS = 10_000
"""Random signs of a sign-flip test; fewer units than 14 have all."""


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How sure scores are to be.

    Parameters
    ----------
    n_permutations
        Of the permutation test.
    n_resamples
        Of bootstrap intervals.
    seed
        Of both.
    """

    n_permutations: int = 1000
    n_resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_permutations", "n_resamples"):
            if getattr(self, name) < 20:
                raise ValueError(f"{name} must be at least 20, got {getattr(self, name)}")

    def generator(self) -> np.random.Generator:
        """Return a new generator, the same every time."""
        return np.random.default_rng(self.seed)


def score_measure(
    run: DecodedRun,
    measure: Measure,
    cfg: ScoringConfig,
    chosen: NDArray[np.bool_] | slice = slice(None),
) -> Score:
    """Return the score of one measure, of all test trials or those ``chosen`` (N,).

    Targets are shuffled within recording and fold; the interval is over subjects, or over blocks
    where there are fewer than three. Of a slow series the truth is turned instead of shuffled.
    """
    block_name, blocks = run.blocks
    given = (measure.metric, measure.prediction[chosen], measure.target[chosen])
    spread = score(
        *given,
        subjects=run.subjects[chosen],
        blocks=blocks[chosen],
        block_name=block_name,
        generator=cfg.generator(),
        n_permutations=0,
        n_resamples=cfg.n_resamples,
    )
    if run.record.series:
        return with_shift_test(spread, run, measure.metric, cfg.generator())
    tested = score(
        *given,
        subjects=run.subjects[chosen],
        blocks=run.shuffled_within[chosen],
        generator=cfg.generator(),
        n_permutations=cfg.n_permutations,
        n_resamples=0,
    )
    notes = dict.fromkeys(note for note in (tested.note, spread.note) if note)
    return replace(
        spread,
        null_mean=tested.null_mean,
        p_value=tested.p_value,
        n_permutations=tested.n_permutations,
        note="; ".join(notes),
    )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much better one run is than another, on the same trials.

    Parameters
    ----------
    value
        Mean over subjects of the difference, positive where the first is better (also for errors).
    interval
        95 % paired bootstrap interval; None with fewer than three units.
    p_value
        Two-sided, of the sign-flip test; None where nothing can be flipped.
    over, n_units
        Units of the interval: subjects, or blocks where there are fewer than three.
    p_over, p_units
        Units of the test: subjects, or blocks where there are fewer than six, whose signs alone
        could never tell.
    """

    value: float
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    over: str = "subjects"
    n_units: int = 0
    p_over: str = "subjects"
    p_units: int = 0

    @property
    def above(self) -> bool:
        """Return whether the first is better beyond the interval."""
        return self.interval is not None and self.interval[0] > 0


def paired_difference(
    run: DecodedRun, first: Measure, second: Measure, cfg: ScoringConfig
) -> Difference:
    """Compare two measures of the same trials, subject by subject.

    Parameters
    ----------
    run
        Gives subjects and blocks.
    first, second
        The same metric of two runs.
    """
    who, owner = np.unique(run.subjects, return_inverse=True)
    sign = 1 if first.metric.higher_is_better else -1
    everyone = [np.flatnonzero(owner == k) for k in range(len(who))]

    def gaps(members: Sequence[NDArray[np.int64]]) -> FloatArray:
        return np.array([sign * (_value(first, m) - _value(second, m)) for m in members])

    each = gaps(everyone)
    there = np.isfinite(each)
    name, blocks = run.blocks
    parts = [
        [m[blocks[m] == one] for one in np.unique(blocks[m])]
        for m, kept in zip(everyone, there, strict=True)
        if kept
    ]
    counts = [len(own) for own in parts]
    found = Difference(value=_mean(each), over=name, n_units=sum(counts))
    if there.sum() >= MIN_UNITS:
        low, high = mean_interval(
            each[there], generator=cfg.generator(), n_resamples=cfg.n_resamples
        )
        found = replace(
            found, interval=(float(low), float(high)), over="subjects", n_units=int(there.sum())
        )
    elif counts and min(counts) >= 2 and sum(counts) >= MIN_UNITS:

        def redrawn(chosen: Sequence[NDArray[np.int64]]) -> float:
            drawn = [
                np.concatenate([own[k] for k in picks.tolist()])
                for own, picks in zip(parts, chosen, strict=True)
            ]
            return _mean(gaps(drawn))

        interval = blocks_interval(
            redrawn, counts, generator=cfg.generator(), n_resamples=cfg.n_resamples
        )
        found = replace(found, interval=interval)
    flipped, over = each[there], "subjects"
    if len(flipped) < FEW_UNITS:
        of_blocks = gaps([block for own in parts for block in own])
        flipped, over = of_blocks[np.isfinite(of_blocks)], name
    return replace(found, p_value=sign_flip_test(flipped, cfg), p_over=over, p_units=len(flipped))


def sign_flip_test(differences: FloatArray, cfg: ScoringConfig) -> float | None:
    """Return the two-sided p of a mean difference (U,) if either sign was as likely.

    All 2^U signs, or :data:`N_FLIPS` random ones where those are fewer.
    """
    from scipy.stats import permutation_test

    if not len(differences):
        return None
    if len(differences) == 1 or not np.any(differences):
        return 1.0  # either sign is as far from 0
    found = permutation_test(
        (differences,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=N_FLIPS,
        alternative="two-sided",
        random_state=cfg.generator(),
    )
    return float(found.pvalue)


def _value(measure: Measure, members: NDArray[np.int64]) -> float:
    return measure.metric.compute(measure.prediction[members], measure.target[members])


def _mean(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def json_value(value: Any) -> Any:
    """Return a value as JSON can hold it: None for what is not a number."""
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, np.ndarray):
        return json_value(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
