"""Proof that the targets of one side of a fold do not hold what only another side may know.

The audit of trials (:mod:`brainfm.trial_audit`) looks at the samples of the brain; this one at what
is decoded: a feature that was computed from the whole of a story knows the sentences of the test
side, and a sentence that occurs under two names is on two sides.

Shapes: N trials, M things to decode.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brainfm.speech_segments import SpeechSegment, parse_heard
from brainfm.trial_splits import INSIDE, LEFT_OUT, SIDES, TrialSplit
from brainfm.trials import CONTENTS, Trials

TOLERANCE = 1e-3
"""Seconds by which stretches of sound may overlap: less than any feature sees."""


def audit_context(trials: Trials, split: TrialSplit) -> list[str]:
    """Return where targets are computed across the border of a side, one line per finding.

    What a target is computed from is the split unit that the trial's stimulus names
    (:class:`~.speech_segments.SpeechSegment`). Where a split is by recordings or people all sides
    hear the same sounds, and say so (:attr:`~.trial_splits.Fold.shared_stimuli`); nothing is
    checked then.

    Parameters
    ----------
    trials
        The table; its stimuli are segments of sounds.
    split
        The manifest.
    """
    if split.config.by not in INSIDE:
        return []
    heard = [parse_heard(trial.stimulus) for trial in trials.rows]
    findings = []
    for number, fold in enumerate(split.folds):
        # Every stretch once: all subjects hear the same ones.
        used: dict[tuple[str, SpeechSegment], int] = {}
        for k, (letter, each) in enumerate(zip(fold.sides, heard, strict=True)):
            if letter == LEFT_OUT:
                continue
            for segment in (each.attended, *each.rivals):
                unit = SpeechSegment(
                    sound=segment.sound, at=segment.begin, begin=segment.begin, end=segment.end
                )
                used.setdefault((letter, unit), k)
        found = _crossing(used)
        if found is not None:
            findings.append(f"fold {number}: {_words(trials, *found)}")
    return findings


def _crossing(
    used: dict[tuple[str, SpeechSegment], int],
) -> tuple[int, str, str, SpeechSegment] | None:
    """Return a trial, its side, another side that hears some of its stretch, and the stretch."""
    by_sound: dict[str, list[tuple[SpeechSegment, str, int]]] = {}
    for (letter, unit), k in used.items():
        by_sound.setdefault(unit.sound, []).append((unit, letter, k))
    for stretches in by_sound.values():
        stretches.sort(key=lambda item: (item[0].begin, item[1]))
        reach: dict[str, float] = {}
        for unit, letter, k in stretches:
            for other, end in reach.items():
                if other != letter and end > unit.begin + TOLERANCE:
                    return k, letter, other, unit
            end = np.inf if unit.end is None else unit.end
            reach[letter] = max(reach.get(letter, -np.inf), end)
    return None


def _words(trials: Trials, k: int, letter: str, other: str, unit: SpeechSegment) -> str:
    names = {short: side for side, short in SIDES.items()}
    trial = trials.rows[k]
    end = "its end" if unit.end is None else f"{unit.end:g} s"
    return (
        f"the target of a {names[letter]} trial (at {trial.onset:g} s of recording "
        f"{trial.recording}) is computed from {unit.begin:g} s to {end} of sound {unit.sound}, "
        f"some of which the {names[other]} side hears; cut sounds at the borders of what the split "
        "is by"
    )


def audit_contents(
    trials: Trials,
    split: TrialSplit,
    rows: NDArray[np.int64],
    ids: Sequence[str] | NDArray[np.str_],
) -> list[str]:
    """Return which contents are on two sides of a split by content, under whatever name.

    Parameters
    ----------
    trials
        The table.
    split
        The manifest; nothing is checked unless it is by stimulus or group.
    rows
        (N,) place in ``ids`` of every trial's target.
    ids
        (M,) hashes of what is decoded itself, not of what a table calls it.
    """
    if split.config.by not in CONTENTS:
        return []
    findings = []
    for number, fold in enumerate(split.folds):
        letters = np.array(list(fold.sides))
        members = {side: set(rows[letters == short].tolist()) for side, short in SIDES.items()}
        for one, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
            both = sorted(members[one] & members[other])
            if both:
                k = int(np.flatnonzero((rows == both[0]) & (letters == SIDES[one]))[0])
                trial = trials.rows[k]
                findings.append(
                    f"fold {number}: {len(both)} contents are on sides {one} and {other} under "
                    f"other names, e.g. {ids[both[0]]} (at {trial.onset:g} s of recording "
                    f"{trial.recording}); give copies one {split.config.by}"
                )
    return findings
