import numpy as np
import pytest

from brainfm.recording_info import RecordingInfo
from brainfm.speech_segments import SpeechSegment, heard_id
from brainfm.target_audit import audit_contents, audit_context
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event
from brainfm.trial_splits import Fold, TrialSplit, TrialSplitConfig
from brainfm.trials import TrialConfig


def segment(at, begin, end, sound="a"):
    return SpeechSegment(sound=sound, at=at, begin=begin, end=end)


def table(segments):
    info = RecordingInfo(id="synthetic", dataset="d", subject="s", sfreq=100.0, n_times=100_000)
    events = [
        Event(onset=5.0 + 5 * k, name="w", stimulus=heard_id(*one), group=f"g{k}")
        for k, one in enumerate(segments)
    ]
    return make_trials([(info, events)], TrialConfig())


def split(trials, sides, by="group"):
    return TrialSplit(
        config=TrialSplitConfig(by=by, folds=2),
        trials_digest=trials.digest,
        folds=(Fold(sides=sides),),
    )


@pytest.mark.parametrize(
    ("stretches", "sides", "leaks"),
    [
        ([(0, 2), (2, 4), (4, 6)], "RTV", False),
        ([(0, 2), (1.5, 4), (4, 6)], "RTV", True),
        ([(0, 2), (1.5, 4), (4, 6)], "RRT", False),
        ([(0, 2), (1.5, 4), (4, 6)], "R-T", False),
        # The first reaches over the second into the third.
        ([(0, 5), (1, 2), (4, 6)], "RRT", True),
        ([(0, None), (1, 2), (4, 6)], "RRT", True),
    ],
)
def test_stretches_that_two_sides_hear_are_found(stretches, sides, leaks):
    trials = table([(segment(b, b, e),) for b, e in stretches])
    found = audit_context(trials, split(trials, sides))
    assert bool(found) == leaks
    # Where people are divided, all hear the same; other sounds have nothing to do with it.
    assert audit_context(trials, split(trials, sides, by="subject")) == []
    apart = table([(segment(b, b, e, sound=f"s{k}"),) for k, (b, e) in enumerate(stretches)])
    assert audit_context(apart, split(apart, sides)) == []


def test_what_was_not_attended_counts_too():
    one, two, three = (segment(0, 0, 2), segment(4, 4, 6), segment(5, 5, 7))
    trials = table([(one, [two]), (three, [one]), (three, [two])])
    (found,) = audit_context(trials, split(trials, "RTV"))
    assert found.startswith("fold 0: the target of a")


def test_contents_on_two_sides_are_named():
    trials = table([(segment(k, k, k + 1),) for k in range(4)])
    rows, ids = np.array([0, 1, 0, 2]), ["x", "y", "z"]
    assert audit_contents(trials, split(trials, "RTRV"), rows, ids) == []
    (found,) = audit_contents(trials, split(trials, "RVTV"), rows, ids)
    assert "1 contents are on sides train and test" in found
    assert "e.g. x (at 5 s of recording synthetic)" in found
    assert audit_contents(trials, split(trials, "RVTV", by="run"), rows, ids) == []
