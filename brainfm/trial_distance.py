"""How far trials lie from each other, where they are cut from the same samples.

Shapes: N trials, M and O some of them.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from brainfm.copies import linked
from brainfm.sensors import FloatArray
from brainfm.trials import Trials


def same_samples(trials: Trials) -> NDArray[np.str_]:
    """Return of every trial the first recording, by id, that holds the same samples, (N,)."""
    first = linked(trials.recordings.values(), lambda info: info.id, {})
    return np.array([first[trial.recording] for trial in trials.rows], dtype=np.str_)


def check_stretches(trials: Trials, shared: Mapping[str, str]) -> None:
    """Raise ValueError if recordings share a stretch whose place nobody knows.

    Parameters
    ----------
    trials
        The table.
    shared
        By id, the first recording that one shares a stretch with (:attr:`Corpus.shared`).
    """
    infos = trials.recordings.values()
    whole = linked(infos, lambda info: info.id, {})
    for key, first in linked(infos, lambda info: info.id, shared).items():
        if whole[key] != whole[first]:
            raise ValueError(
                f"recordings {first} and {key} share a stretch of samples, so trials of one may be "
                "seen in the other: leave one out, or split by subject, session or recording"
            )


def distances(mine: NDArray[np.int64], others: NDArray[np.int64], trials: Trials) -> FloatArray:
    """Return the time from each of some trials to the nearest of others.

    Parameters
    ----------
    mine, others
        Positions in the table, (M,) and (O,).
    trials
        The table.

    Returns
    -------
    ndarray, shape (M,)
        Seconds between the end of one and the begin of the other, counting all that they see;
        negative where they overlap, infinite where no other is of the same samples.
    """
    begin, end = trials.stretches
    trial, samples = trials.presented, same_samples(trials)[trials.presented]
    inside, outside = (np.flatnonzero(np.isin(trial, chosen)) for chosen in (mine, others))
    apart = np.full(len(trials), np.inf)
    np.minimum.at(apart, trial[inside], _apart(inside, outside, begin, end, samples))
    return apart[mine]


def _apart(
    mine: NDArray[np.int64],
    others: NDArray[np.int64],
    begin: FloatArray,
    end: FloatArray,
    samples: NDArray[np.str_],
) -> FloatArray:
    """Return the time from each of some presentations to the nearest of others, (M,)."""
    result = np.full(len(mine), np.inf)
    for name in np.unique(samples[mine]).tolist():
        there = others[samples[others] == name]
        here = np.flatnonzero(samples[mine] == name)
        there = there[np.argsort(begin[there], kind="stable")]
        # Of all that begin no later, the one that ends last is nearest.
        starts = np.append(begin[there], np.inf)
        ends = np.append(-np.inf, np.maximum.accumulate(end[there]))
        place = np.searchsorted(begin[there], begin[mine[here]], side="right")
        before = begin[mine[here]] - ends[place]
        after = starts[place] - end[mine[here]]
        result[here] = np.minimum(before, after)
    return result
