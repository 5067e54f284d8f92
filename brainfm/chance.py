"""What a score would be if targets had nothing to do with predictions: a permutation test.

Targets are shuffled among the trials of a block (a session of a subject) only: what a block's
trials have in common - its drift, its mixture of classes, whose head it is - stays as it is, so it
cannot make a score look better than chance. The test supposes that trials of one block could have
come in any order; windows of one long stimulus, which resemble their neighbours, could not, and
count as one trial.

Shapes: N trials, R permutations.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.sensors import FloatArray

TIE = 1e-12
"""Scores that differ by less are the same, summed in another order."""


class Permutations(NamedTuple):
    """``p_value`` one-sided, never 0; ``null`` (R,) scores with shuffled targets."""

    p_value: float
    null: FloatArray


def permutation_test(
    statistic: Callable[[NDArray[Any]], float],
    target: NDArray[Any],
    blocks: NDArray[Any],
    *,
    generator: np.random.Generator,
    n_permutations: int = 1000,
    higher_is_better: bool = True,
) -> Permutations:
    """Return how often shuffled targets score at least as well as the true ones.

    Parameters
    ----------
    statistic
        From targets, in the order of the trials, to the score.
    target
        (N, ...) true targets.
    blocks
        (N,) within what they are exchangeable.
    generator
        Draws the permutations.
    n_permutations
        R; the least p is 1 / (R + 1).
    higher_is_better
        False for errors.

    Raises
    ------
    ValueError
        No block has two different targets: there is nothing to shuffle.
    """
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, got {n_permutations}")
    if not exchangeable(target, blocks):
        raise ValueError(
            "no block has two different targets, so they cannot be shuffled; use larger blocks, "
            "and mind that blocks alone would give the targets away"
        )
    sign = 1 if higher_is_better else -1
    observed = sign * statistic(target)
    null = np.array(
        [statistic(target[shuffled_within(blocks, generator)]) for _ in range(n_permutations)]
    )
    # A score that is not defined (NaN) is no evidence: it counts as reaching the observed one.
    worse = sign * null < observed - TIE
    return Permutations(float((1 + (~worse).sum()) / (1 + n_permutations)), null)


def shuffled_within(blocks: NDArray[Any], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return a random order (N,) of trials in which every place keeps its block."""
    order = np.empty(len(blocks), np.int64)
    order[np.argsort(blocks, kind="stable")] = np.lexsort((generator.random(len(blocks)), blocks))
    return order


def exchangeable(target: NDArray[Any], blocks: NDArray[Any]) -> bool:
    """Return whether any block has two different targets."""
    flat = target.reshape(len(target), -1)
    return any(
        bool((flat[blocks == one] != flat[blocks == one][0]).any()) for one in np.unique(blocks)
    )
