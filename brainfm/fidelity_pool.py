"""Fidelity of a group of recordings: mean over people, and how sure it is.

A subject counts as much as any other, however many recordings there are of it. The 95 % interval is
a bootstrap over subjects where there are three or more, else over recordings where there are three
or more, else over the windows of the recordings: then it says nothing about other people.

Shapes: W windows of a recording, S units that are drawn, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.fidelity_measures import Array, value_of

MIN_UNITS = 3
N_RESAMPLES = 2000


class Estimate(NamedTuple):
    """A value and its 95 % interval; None where there is nothing to measure."""

    value: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Members:
    """The recordings of a group, in order.

    Parameters
    ----------
    subjects
        Who was recorded, with the data set: a name counts inside its data set only.
    windows
        Windows of each.
    """

    subjects: tuple[str, ...]
    windows: tuple[int, ...]

    @property
    def over(self) -> str:
        """Return what the bootstrap draws: subjects, recordings or windows."""
        if len(set(self.subjects)) >= MIN_UNITS:
            return "subjects"
        return "recordings" if len(self.subjects) >= MIN_UNITS else "windows"


def pooled(
    name: str,
    members: Members,
    sums: Sequence[Array],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return a measure of a group.

    Parameters
    ----------
    name
        Key of :data:`~brainfm.fidelity_measures.MEASURES`.
    members
        The recordings.
    sums
        (W, 2) of each.
    n_resamples, seed
        Of the bootstrap.
    """
    values = np.array([value_of(name, each.sum(0)) for each in sums])
    # A band that a low-pass cut off, or a pattern over too few channels.
    there = np.flatnonzero(np.isfinite(values))
    if not len(there):
        return Estimate(None, None)
    rng = np.random.default_rng(seed)
    subjects = np.array(members.subjects)[there]
    if members.over == "windows":
        drawn = np.stack([_drawn_windows(name, sums[k], n_resamples, rng) for k in there.tolist()])
        resampled = np.array(_subject_means(drawn, subjects).mean(0))
    else:
        units = _subject_means(values[there], subjects)
        units = values[there] if members.over == "recordings" else units
        draws = rng.integers(0, len(units), (n_resamples, len(units)))
        resampled = units[draws].mean(1)
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    value = float(_subject_means(values[there], subjects).mean())
    return Estimate(value, (float(low), float(high)))


def _subject_means(values: NDArray, subjects: NDArray) -> NDArray:
    """Average (recordings, ...) over the recordings of each subject, (subjects, ...)."""
    return np.stack([values[subjects == one].mean(0) for one in dict.fromkeys(subjects.tolist())])


def _drawn_windows(name: str, sums: Array, n_resamples: int, rng: np.random.Generator) -> Array:
    """Return the measure of one recording for other draws of its windows, (R,)."""
    draws = rng.integers(0, len(sums), (n_resamples, len(sums)))
    return value_of(name, sums[draws].sum(1))
