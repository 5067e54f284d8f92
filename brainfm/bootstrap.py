"""How sure a score is: bootstrap intervals over people, or over blocks where there are too few.

A plain percentile interval of few units is too narrow: it lacks the factor n / (n - 1) and takes
normal for Student quantiles. Both are made good by taking more extreme percentiles (Hesterberg
2015, The American Statistician 69:371, "expanded percentile"). Nothing helps very few units: for
normal values the 95 % interval of a mean covers it in 95 % of studies with 30 units, 94 % with 12,
93 % with 6, 87 % with 4, 75 % with 3, whose whole range it then is.

Shapes: U units, S subjects, R resamples.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.sensors import FloatArray

MIN_UNITS = 3
FEW_UNITS = 6
"""Fewer than so many, and an interval covers clearly less often than it says."""


def expanded_level(n_units: int, level: float = 0.95) -> float:
    """Return the level of a percentile interval that covers like one of ``level`` of many units."""
    from scipy.stats import norm, t

    if n_units < 2:
        raise ValueError(f"an interval needs at least 2 units, got {n_units}")
    reach = np.sqrt(n_units / (n_units - 1)) * t.ppf((1 + level) / 2, n_units - 1)
    return float(1 - 2 * norm.sf(reach))


def mean_interval(
    values: FloatArray,
    *,
    generator: np.random.Generator,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> tuple[FloatArray, FloatArray]:
    """Return the interval of the mean over units.

    Parameters
    ----------
    values
        (..., U) finite; leading axes are separate problems.
    generator
        Draws the units.
    n_resamples
        R.
    level
        Nominal coverage.

    Returns
    -------
    low, high : ndarray, shape (...)
    """
    from scipy.stats import bootstrap

    drawn = bootstrap(
        (values,),
        np.mean,
        axis=-1,
        vectorized=True,
        n_resamples=n_resamples,
        method="percentile",
        random_state=generator,
    ).bootstrap_distribution
    low, high = _quantiles(drawn, values.shape[-1], level)
    return low, high


def blocks_interval(
    statistic: Callable[[Sequence[NDArray[np.int64]]], float],
    n_blocks: Sequence[int],
    *,
    generator: np.random.Generator,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the interval of a score over blocks (sessions, runs) drawn within each subject.

    It tells how much other sessions of the same people would differ, nothing of other people.

    Parameters
    ----------
    statistic
        From the blocks drawn of every subject, positions with repeats, to the score.
    n_blocks
        Blocks of every subject, (S,), two or more each.
    generator, n_resamples, level
        As in :func:`mean_interval`.
    """
    from scipy.stats import bootstrap

    def of_draw(*chosen: NDArray[Any]) -> float:
        return statistic([each.astype(np.int64) for each in chosen])

    drawn = bootstrap(
        tuple(np.arange(n) for n in n_blocks),
        of_draw,
        vectorized=False,
        n_resamples=n_resamples,
        method="percentile",
        random_state=generator,
    ).bootstrap_distribution
    low, high = _quantiles(drawn, sum(n_blocks) - len(n_blocks) + 1, level)
    return float(low), float(high)


def _quantiles(drawn: NDArray[Any], n_units: int, level: float) -> FloatArray:
    tail = (1 - expanded_level(n_units, level)) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a score that no resample defines: NaN
        return np.asarray(np.nanquantile(drawn, [tail, 1 - tail], axis=-1))
