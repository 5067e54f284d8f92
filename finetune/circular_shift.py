"""A null control that keeps the signal and its slow course: windows from another time.

All windows of a recording are taken later by one time, around its end. Where conditions alternate
in a regular order, many such times would lead from each trial to one of the same condition, or
always to another one, and both can be decoded. Therefore several times are drawn, and of these the
one is taken at which labels and what the shifted windows fall on have least to do with each other.

Shapes: N trials of a recording, K labels.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from brainfm.recording_info import RecordingInfo
from brainfm.trials import Trial, Trials, seen_samples

from .input_control import InputControl

LARGEST_SHARE = 1 / 3
"""Of a recording, that a shift must leave on both sides at most."""
CANDIDATES = 32


def shifted_trials(trials: Trials, control: InputControl) -> Trials:
    """Return the trials with their onsets shifted around the end of each recording.

    Order and labels stay, and what a trial sees stays inside of its recording.

    Raises
    ------
    ValueError
        A recording no longer than what a trial sees.
    """
    of: dict[str, list[Trial]] = {}
    for trial in trials.rows:
        of.setdefault(trial.recording, []).append(trial)
    rows = []
    # The table is in the order of its recordings.
    for name, members in of.items():
        parts = [(onset, k) for k, trial in enumerate(members) for onset in trial.onsets]
        parts.sort()
        each = [replace(members[k], onset=onset, repeats=()) for onset, k in parts]
        moved: list[list[float]] = [[] for _ in members]
        onsets = _shifted(each, trials.recordings[name], trials, control).tolist()
        for (_, k), onset in zip(parts, onsets, strict=True):
            moved[k].append(onset)
        rows += [
            replace(trial, onset=first, repeats=tuple(rest))
            for trial, (first, *rest) in zip(members, moved, strict=True)
        ]
    return replace(trials, rows=tuple(rows))


def _shifted(
    members: list[Trial], info: RecordingInfo, trials: Trials, control: InputControl
) -> NDArray[np.float64]:
    """Return the shifted onsets of the trials of a recording, seconds, (N,)."""
    first, stop = seen_samples(0.0, trials.config, info.sfreq)
    # Places of the first sample at which all that a trial sees is inside: a circle.
    circle = info.n_times - (stop - first) - 1
    if circle < 2:
        raise ValueError(
            f"recording {info.id} is too short ({info.duration:g} s) to shift its trials"
        )
    least = max(1, int(min(control.shift_s * info.sfreq, LARGEST_SHARE * circle)))
    generator = control.generator(info.digest or info.source_digest or info.id)
    shifts = generator.integers(least, circle - least + 1, size=CANDIDATES)
    places = np.array([round(trial.onset * info.sfreq) + first for trial in members])
    labels = np.unique([trial.label for trial in members], return_inverse=True)[1]
    length = stop - first
    candidates = [(places + shift) % circle for shift in shifts.tolist()]
    chosen = min(candidates, key=lambda moved: association(labels, places, moved, length))
    return (chosen - first) / info.sfreq


def association(
    labels: NDArray[np.int64],
    places: NDArray[np.int64],
    moved: NDArray[np.int64],
    length: int,
) -> float:
    """Return how much the label of a trial tells of that of the trial its moved window falls on.

    Chi-square of the table of both labels, counted by overlap, in shares of the overlap: 0 where
    they are independent, at most K - 1. Where hardly any label comes twice, no table can tell, and
    it is 0.

    Parameters
    ----------
    labels
        (N,) numbers of the labels.
    places, moved
        (N,) first samples of the windows, before and after; ``places`` rise.
    length
        Samples of a window.
    """
    n_labels = int(labels.max()) + 1
    if n_labels > len(labels) / 2:
        return 0.0
    table = np.zeros((n_labels, n_labels))
    after = np.searchsorted(places, moved)
    for near in (after - 1, after):
        there = (near >= 0) & (near < len(places))
        other = near[there]
        overlap = np.clip(length - np.abs(moved[there] - places[other]), 0, None)
        np.add.at(table, (labels[there], labels[other]), overlap)
    total = table.sum()
    if not total:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0) / total
    known = expected > 0
    return float(((table - expected)[known] ** 2 / expected[known]).sum() / total)
