"""Make the folds of a cross-validation over trials.

Shapes: N trials.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from brainfm.copies import linked
from brainfm.recording_info import content_hash
from brainfm.trial_distance import check_stretches, distances, same_samples
from brainfm.trial_splits import INSIDE, LEFT_OUT, SIDES, Fold, TrialSplit, TrialSplitConfig
from brainfm.trials import CONTENTS, Trials, recording_unit

Letters = NDArray[np.str_]
"""The side of every trial (:data:`~brainfm.trial_splits.SIDES`), (N,)."""

TOLERANCE = 1e-9
"""Seconds by which two times that are the same may differ once they were calculated."""


def split_trials(
    trials: Trials, config: TrialSplitConfig, *, shared: Mapping[str, str] | None = None
) -> TrialSplit:
    """Divide trials; the same on every machine, whatever order they were found in.

    Parameters
    ----------
    trials
        The table.
    config
        How. Units that share samples or a file stay together.
    shared
        By id, the first recording that one shares a stretch with (:attr:`Corpus.shared`).

    Raises
    ------
    ValueError
        Too few units or trials; a side is empty, for example because the gap is too long.
    """
    shared = shared or {}
    if config.by in INSIDE:
        check_stretches(trials, shared)
    if config.by == "time":
        drafts = _by_time(trials, config)
    else:
        drafts = _by_units(_units_together(trials, config.by, shared), config)
    folds = []
    for number, letters in enumerate(drafts):
        _leave_out_near(trials, letters, config.gap)
        _check_sides(letters, number, config)
        folds.append(_fold(trials, letters, config))
    return TrialSplit(config=config, trials_digest=trials.digest, folds=tuple(folds))


def _units_together(trials: Trials, by: str, shared: Mapping[str, str]) -> NDArray[np.str_]:
    """Return the unit of every trial, one name for units that share samples or a file, (N,)."""
    units = trials.units(by)
    if by in CONTENTS:
        return units
    first = linked(trials.recordings.values(), lambda info: recording_unit(info, by), shared)
    return np.array([first[unit] for unit in units.tolist()], dtype=np.str_)


def _by_units(units: NDArray[np.str_], config: TrialSplitConfig) -> Iterator[Letters]:
    names = np.unique(units).tolist()
    needed = 3 if config.validation else 2
    if len(names) < max(needed, config.folds or 0):
        listed = ", ".join(names[:5])
        raise ValueError(
            f"{config.folds or 'leave-one-out'} folds by {config.by} need at least "
            f"{max(needed, config.folds or 0)} units, the trials have {len(names)} ({listed}); "
            "take fewer folds, split by another unit (run, session, stimulus, time), or set "
            "validation to 0 if two are all there are"
        )
    n_folds = config.folds or len(names)
    if config.folds is not None:
        names.sort(key=lambda name: content_hash(config.salt, name))
    for k in range(n_folds):
        test = names[k::n_folds]
        rest = sorted(set(names) - set(test), key=lambda name: content_hash(config.salt, k, name))
        n_validation = _n_validation(len(rest), config)
        letters = np.full(len(units), SIDES["train"])
        letters[np.isin(units, test)] = SIDES["test"]
        letters[np.isin(units, rest[:n_validation])] = SIDES["validation"]
        yield letters


def _by_time(trials: Trials, config: TrialSplitConfig) -> Iterator[Letters]:
    """Cut every recording into stretches; before the one tested is the one for validation."""
    assert config.folds is not None
    if trials.config.average != 1:
        raise ValueError(
            "trials that average presentations from all over a recording cannot be divided by "
            "time; set average to 1, or split by another unit (run, session, stimulus)"
        )
    begin, _ = trials.stretches
    samples = same_samples(trials)
    orders = []
    for name in np.unique(samples).tolist():
        there = np.flatnonzero(samples == name)
        if len(there) < max(config.folds, 3):
            raise ValueError(
                f"{config.folds} folds by time need at least {max(config.folds, 3)} trials in "
                f"every recording; {name} has {len(there)}; leave it out or split by another unit"
            )
        orders.append(there[np.argsort(begin[there], kind="stable")])
    for k in range(config.folds):
        letters = np.full(len(trials), SIDES["train"])
        for order in orders:
            test = np.array_split(order, config.folds)[k]
            first = int(np.flatnonzero(order == test[0])[0])
            # Round the clock: test, training, validation, and again the test.
            rest = np.roll(order, -first)[len(test) :]
            n_validation = _n_validation(len(rest), config)
            letters[test] = SIDES["test"]
            letters[rest[len(rest) - n_validation :]] = SIDES["validation"]
        yield letters


def _n_validation(n_rest: int, config: TrialSplitConfig) -> int:
    """Return how many of the units that are not tested are for validation; some are left."""
    if not config.validation:
        return 0
    return min(max(1, round(config.validation * n_rest)), n_rest - 1)


def _leave_out_near(trials: Trials, letters: Letters, gap: float) -> None:
    """Take off their sides the trials too near to a side that matters more."""
    for side, others in (("validation", "T"), ("train", "VT")):
        mine = np.flatnonzero(letters == SIDES[side])
        near = np.flatnonzero(np.isin(letters, list(others)))
        letters[mine[distances(mine, near, trials) < gap - TOLERANCE]] = LEFT_OUT


def _check_sides(letters: Letters, number: int, config: TrialSplitConfig) -> None:
    for side, letter in SIDES.items():
        if letter not in letters and (side != "validation" or config.validation):
            n = int((letters == LEFT_OUT).sum())
            raise ValueError(
                f"fold {number} by {config.by} has no {side} trial; {n} of {len(letters)} overlap "
                f"with trials of another side or lie nearer than the gap of {config.gap:g} s; take "
                "a shorter window or gap, or split by another unit"
            )


def _fold(trials: Trials, letters: Letters, config: TrialSplitConfig) -> Fold:
    stimuli = trials.units("stimulus")
    test = letters == SIDES["test"]
    both = set(stimuli[test].tolist()) & set(stimuli[letters == SIDES["train"]].tolist())
    held_out = () if config.by == "time" else np.unique(trials.units(config.by)[test]).tolist()
    return Fold(sides="".join(letters.tolist()), held_out=tuple(held_out), shared_stimuli=len(both))


def check_classes(trials: Trials, split: TrialSplit) -> None:
    """Raise ValueError if a fold tests or validates a class that it does not train.

    For classification; a split by stimulus where every stimulus is its own class must have such
    folds, and retrieves.
    """
    for number, fold in enumerate(split.folds):
        trained = set(trials.labels[fold.indices("train")].tolist())
        for side in ("validation", "test"):
            lacking = sorted(set(trials.labels[fold.indices(side)].tolist()) - trained)
            if lacking:
                raise ValueError(
                    f"fold {number} by {split.config.by} trains on no trial of class "
                    f"{', '.join(map(repr, lacking))}, which its {side} side has; use fewer folds, "
                    "another unit or salt, or leave the class out"
                )
