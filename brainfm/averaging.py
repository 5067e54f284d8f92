"""How retrieval gains from presenting the same content several times.

Similarities of k presentations of one content are averaged before the gallery is searched. Every
point of a curve is over the same contents: those with as many presentations as the last point
needs. Items that are not in the gallery of a trial have a similarity of minus infinity.

Shapes: N trials, M gallery, G averages.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.sensors import FloatArray

ALL = "all"
"""Name of the one "subject" of averages over subjects."""


class AveragingPoint(NamedTuple):
    """``k`` presentations averaged: by measure and subject, what was found of ``n_contents``."""

    k: int
    n_contents: int
    values: dict[str, dict[str, float]]


def credit_of(
    similarity: NDArray[np.floating], place: NDArray[np.int64], top: Sequence[int]
) -> dict[str, FloatArray]:
    """Return top-k accuracy and 2-way identification of every query, (N,) each.

    Ties are in random order and count by their expectation.

    Parameters
    ----------
    similarity
        (N, M), minus infinity for what is not in a query's gallery.
    place
        (N,) column of the right item.
    top
        The k.
    """
    right = similarity[np.arange(len(place)), place][:, None]
    if not np.isfinite(right).all():
        raise ValueError("the right item is not in the gallery of a trial")
    above = (similarity > right).sum(1)
    tied = (similarity == right).sum(1) - 1
    others = np.isfinite(similarity).sum(1) - 1
    found = {f"top-{k}": np.clip((k - above) / (tied + 1), 0, 1) for k in top}
    if (others > 0).all():
        found["2-way"] = 1 - (above + tied / 2) / others
    return found


def averaging_curve(
    similarity: NDArray[np.floating],
    place: NDArray[np.int64],
    subjects: Sequence[str] | NDArray[np.str_],
    *,
    over_subjects: bool = False,
    top: Sequence[int] = (1,),
    share: float = 0.5,
    n_draws: int = 8,
    generator: np.random.Generator,
) -> list[AveragingPoint]:
    """Return what is found with k = 1, 2, 4, ... presentations averaged.

    Parameters
    ----------
    similarity, place
        As in :func:`credit_of`.
    subjects
        (N,) whose trial each is.
    over_subjects
        Average one presentation of each of k subjects, else k presentations of one subject.
    top
        The k of top-k.
    share
        The last point is the greatest power of two that this share of the contents (of a subject)
        was presented.
    n_draws
        How often presentations are drawn (into groups without repeats) for every point.
    generator
        Draws them.

    Returns
    -------
    list of AveragingPoint
        Empty where nothing was presented twice.
    """
    who = np.asarray(subjects, dtype=np.str_)
    names, owner = np.unique(who, return_inverse=True)
    unit = np.zeros_like(owner) if over_subjects else owner
    cells = _presentations(unit, place)
    counts = np.array(
        [len(np.unique(owner[c])) if over_subjects else len(c) for c in cells], dtype=np.int64
    )
    largest = 2 ** int(np.log2(max(1, np.quantile(counts, 1 - share, method="lower"))))
    if largest < 2:
        return []
    chosen = [cell for cell, n in zip(cells, counts, strict=True) if n >= largest]
    labels = [ALL] if over_subjects else names.tolist()
    points = []
    for k in (2**power for power in range(int(np.log2(largest)) + 1)):
        groups = np.concatenate(
            [
                _groups(cell, owner if over_subjects else None, k, generator)
                for cell in chosen
                for _ in range(n_draws)
            ]
        )
        mean = np.mean([similarity[column] for column in groups.T], axis=0)
        credit = credit_of(mean, place[groups[:, 0]], top)
        whose = unit[groups[:, 0]]
        values = {
            name: {labels[s]: float(each[whose == s].mean()) for s in np.unique(whose).tolist()}
            for name, each in credit.items()
        }
        points.append(AveragingPoint(k, len(chosen), values))
    return points


def _presentations(unit: NDArray[np.int64], place: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the trials of every content (of every subject)."""
    order = np.lexsort((place, unit))
    change = np.flatnonzero((np.diff(unit[order]) != 0) | (np.diff(place[order]) != 0)) + 1
    return list(np.split(order, change))


def _groups(
    cell: NDArray[np.int64],
    owner: NDArray[np.int64] | None,
    k: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Return random groups of ``k`` trials (G, k) without repeats, of one trial a subject."""
    drawn = generator.permutation(cell)
    if owner is not None:
        drawn = drawn[np.unique(owner[drawn], return_index=True)[1]]
        drawn = generator.permutation(drawn)
    n = len(drawn) // k
    return drawn[: n * k].reshape(n, k)
