"""Proof that the sides of a fold share nothing that would give the answer away."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from brainfm.copies import linked
from brainfm.trial_distance import check_stretches, distances, same_samples
from brainfm.trial_splits import INSIDE, LEFT_OUT, SIDES, Fold, TrialSplit
from brainfm.trials import Trials

TOLERANCE = 1e-6
"""Seconds: far less than a sample, more than rounding."""


def audit_trials(
    trials: Trials, split: TrialSplit, *, shared: Mapping[str, str] | None = None
) -> list[str]:
    """Return what is wrong with the folds, one line per finding; empty if nothing is.

    No unit that the split is by, and where it is by a unit of recordings no recording and no copy
    of one, may be on two sides; nothing that two sides see may overlap or be nearer than the gap;
    in a split by time every side of a recording must be one stretch.

    Parameters
    ----------
    trials
        The table.
    split
        The manifest.
    shared
        By id, the first recording that one shares a stretch with (:attr:`Corpus.shared`).
    """
    if split.trials_digest != trials.digest:
        return ["the split is of other trials (windows, labels or recordings differ)"]
    findings = []
    for number, fold in enumerate(split.folds):
        found = _of_fold(trials, fold, split, shared or {})
        findings += [f"fold {number}: {finding}" for finding in found]
    return findings


def _of_fold(trials: Trials, fold: Fold, split: TrialSplit, shared: Mapping[str, str]) -> list[str]:
    by = split.config.by
    letters = np.array(list(fold.sides))
    if len(letters) != len(trials) or not set(fold.sides) <= {*SIDES.values(), LEFT_OUT}:
        return [f"{len(letters)} sides for {len(trials)} trials, or unknown ones"]
    findings = [
        f"no trial is on the {side} side"
        for side, letter in SIDES.items()
        if letter not in fold.sides and (side != "validation" or split.config.validation)
    ]
    if by == "time":
        findings += _mixed_in_time(trials, letters)
    else:
        findings += _on_two_sides(by, trials.units(by), letters)
    if by in INSIDE:
        try:
            check_stretches(trials, shared)
        except ValueError as error:
            findings.append(str(error))
    else:
        infos = trials.recordings
        first = linked(infos.values(), lambda info: info.id, shared)
        names = np.array([first[trial.recording] for trial in trials.rows])
        findings += _on_two_sides("recording (or a copy of it)", names, letters)
    return findings + _too_near(trials, letters, split.config.gap)


def _on_two_sides(what: str, names: NDArray[np.str_], letters: NDArray[np.str_]) -> list[str]:
    members = {side: set(names[letters == letter].tolist()) for side, letter in SIDES.items()}
    findings = []
    sides = list(members)
    for k, one in enumerate(sides):
        for other in sides[k + 1 :]:
            both = sorted(members[one] & members[other])
            if both:
                findings.append(f"{what} {both[0]}{_and_more(both)} is on sides {one} and {other}")
    return findings


def _and_more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _mixed_in_time(trials: Trials, letters: NDArray[np.str_]) -> list[str]:
    """Find recordings whose sides alternate: neighbours in time resemble each other."""
    begin = np.array([trial.onset for trial in trials.rows])
    samples = same_samples(trials)
    mixed = []
    for name in np.unique(samples).tolist():
        there = np.flatnonzero((samples == name) & (letters != LEFT_OUT))
        inside = letters[there[np.argsort(begin[there], kind="stable")]]
        # The clock is round: training may be before and after the other two.
        changes = int((inside != np.roll(inside, 1)).sum())
        if changes > len(np.unique(inside)):
            mixed.append(name)
    if not mixed:
        return []
    return [f"the sides of recording {mixed[0]}{_and_more(mixed)} alternate in time"]


def _too_near(trials: Trials, letters: NDArray[np.str_], gap: float) -> list[str]:
    findings = []
    for one, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
        mine = np.flatnonzero(letters == SIDES[one])
        apart = distances(mine, np.flatnonzero(letters == SIDES[other]), trials)
        near = np.flatnonzero(apart < gap - TOLERANCE)
        if not len(near):
            continue
        k = near[apart[near].argmin()]
        trial, time = trials.rows[mine[k]], float(apart[k])
        how = f"overlaps by {-time:.3g} s with" if time < 0 else f"is {time:.3g} s from"
        findings.append(
            f"{len(near)} {one} trials are nearer than {gap:g} s to {other} trials: what that at "
            f"{trial.onset:g} s of recording {trial.recording} sees {how} one"
        )
    return findings
