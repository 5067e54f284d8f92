"""Representational similarity: whether the brain finds alike what a model finds alike.

What is compared are dissimilarities of all pairs of stimuli (Kriegeskorte et al. 2008). A transform
of them decides what counts: their size (geometry), their order, or only who is near and who is far
(topology; Lin and Kriegeskorte 2024). Dissimilarities of noisy patterns are too large; computed
across repeats they are not.

Shapes: N stimuli, F features or voxels, R repeats, E = N (N - 1) / 2 pairs, S subjects.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from brainfm.sensors import FloatArray

Transform = Callable[[FloatArray], FloatArray]
"""From dissimilarities (E,) to dissimilarities (E,)."""
Measure = Literal["correlation", "euclidean", "cosine"]


def dissimilarities(patterns: FloatArray, measure: Measure = "correlation") -> FloatArray:
    """Return the dissimilarity (E,) of every pair of patterns (N, F), pairs as in SciPy.

    "correlation" and "cosine" are one less them; "euclidean" is the squared distance over F.

    Raises
    ------
    ValueError
        Fewer than three patterns, values that are not finite, a pattern without variation.
    """
    from scipy.spatial.distance import pdist

    if patterns.ndim != 2 or len(patterns) < 3 or not np.isfinite(patterns).all():
        raise ValueError(
            f"patterns must be a finite table of 3 or more stimuli, got {patterns.shape}"
        )
    if measure == "euclidean":
        return np.asarray(pdist(patterns, "sqeuclidean") / patterns.shape[1])
    spread = patterns.std(axis=1) if measure == "correlation" else np.abs(patterns).max(axis=1)
    if (spread == 0).any():
        raise ValueError(
            f"pattern {int(np.flatnonzero(spread == 0)[0])} has no {measure} with others: it does "
            "not vary"
        )
    return np.asarray(pdist(patterns, measure))


def unbiased_dissimilarities(repeats: FloatArray, *, whiten: bool = False) -> FloatArray:
    """Return squared distances over F (E,) that noise does not enlarge (Walther et al. 2016).

    The difference of two stimuli in one repeat is multiplied by their difference in another, whose
    noise is independent: equal stimuli have zero on average, so some values are negative.

    Parameters
    ----------
    repeats
        (R, N, F), two or more independent repeats (runs).
    whiten
        Divide by the covariance of the noise over features (shrunk as Ledoit and Wolf do): the
        cross-validated Mahalanobis distance.
    """
    if repeats.ndim != 3 or len(repeats) < 2 or repeats.shape[1] < 3:
        raise ValueError(
            f"repeats must be (R, N, F) with 2 repeats and 3 stimuli or more, got {repeats.shape}"
        )
    n_repeats, n_stimuli, n_features = repeats.shape
    if whiten:
        from sklearn.covariance import ledoit_wolf

        noise = (repeats - repeats.mean(axis=0)).reshape(-1, n_features)
        # The mean of R repeats takes a share 1/R of the noise with it.
        covariance = ledoit_wolf(noise)[0] * n_repeats / (n_repeats - 1)
        repeats = repeats @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    total = repeats.sum(axis=0)
    # Products of different repeats: all products less those of a repeat with itself.
    product = total @ total.T - np.einsum("rif,rjf->ij", repeats, repeats)
    product = product / (n_repeats * (n_repeats - 1) * n_features)
    own = np.diagonal(product)
    square = own[:, None] + own[None, :] - product - product.T
    return np.asarray(square[np.triu_indices(n_stimuli, k=1)])


def geometry(values: FloatArray) -> FloatArray:
    """Return dissimilarities as they are."""
    return values


def ranks(values: FloatArray) -> FloatArray:
    """Return the place of each dissimilarity among all, from 0 to 1; ties share the mean."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(values) - 1) / max(len(values) - 1, 1))


def topology(low: float, high: float) -> Transform:
    """Return a transform that forgets how near the near and how far the far are.

    Below the quantile ``low`` all are 0, above ``high`` all are 1, between on a straight line.
    (0, 1) is geometry but for scale; equal quantiles give the graph of neighbours.
    """
    if not 0 <= low <= high <= 1:
        raise ValueError(f"quantiles must be 0 <= low <= high <= 1, got {low} and {high}")

    def transform(values: FloatArray) -> FloatArray:
        bottom, top = np.quantile(values, [low, high])
        if top <= bottom:
            return (values > bottom).astype(np.float64)
        return np.asarray(((values - bottom) / (top - bottom)).clip(0, 1))

    return transform


class Agreement(NamedTuple):
    """``r`` of two sets of dissimilarities, one-sided ``p_value`` and ``null`` r of shuffles."""

    r: float
    p_value: float
    null: FloatArray


def agreement(
    one: FloatArray,
    other: FloatArray,
    *,
    transform: Transform = ranks,
    generator: np.random.Generator,
    n_permutations: int = 1000,
) -> Agreement:
    """Return the correlation of transformed dissimilarities (E,), tested by shuffling stimuli.

    With ``ranks`` it is Spearman's. Pairs share stimuli, so stimuli are shuffled, not pairs.

    Raises
    ------
    ValueError
        The two differ in length, or the length is no number of pairs.
    """
    from scipy.spatial.distance import squareform

    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"dissimilarities {one.shape} and {other.shape} are of other stimuli")
    a, square = _standard(transform(one)), squareform(transform(other))
    rows, columns = np.triu_indices(len(square), k=1)

    def correlated(order: np.ndarray) -> float:
        return float(a @ _standard(square[order[rows], order[columns]]))

    r = correlated(np.arange(len(square)))
    null = np.array([correlated(generator.permutation(len(square))) for _ in range(n_permutations)])
    return Agreement(r, float((1 + (null >= r - 1e-12).sum()) / (1 + n_permutations)), null)


def _standard(values: FloatArray) -> FloatArray:
    apart = values - values.mean()
    size = float(np.linalg.norm(apart))
    return np.asarray(apart / size) if size > 0 else apart


def subject_ceiling(subjects: FloatArray, *, transform: Transform = ranks) -> tuple[float, float]:
    """Return between what r the best possible model lies, of subjects' dissimilarities (S, E).

    Lower: each subject with the mean of the others; upper: with the mean of all, itself included
    (Nili et al. 2014).
    """
    if subjects.ndim != 2 or len(subjects) < 2:
        raise ValueError(f"a ceiling needs two subjects or more, got {subjects.shape}")
    table = np.stack([_standard(transform(each)) for each in subjects])
    total = table.sum(axis=0)
    low = np.mean([_standard(total - each) @ each for each in table])
    return float(low), float(np.mean(table @ _standard(total)))
