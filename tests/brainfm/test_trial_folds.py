"""Too few trials to divide: refused in words that say what would do."""

import pytest

from brainfm.recording_info import RecordingInfo
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event
from brainfm.trial_folds import split_trials
from brainfm.trial_splits import TrialSplitConfig
from brainfm.trials import TrialConfig


def two_trials():
    info = RecordingInfo(
        id="s0r0", dataset="d", subject="s0", session="0", run="0", sfreq=100.0, n_times=1000,
        signal_digest="0", digest="c0",
    )  # fmt: skip
    events = [Event(onset=2.0, name="a", stimulus="x"), Event(onset=6.0, name="b", stimulus="y")]
    return make_trials([(info, events)], TrialConfig(window=(0.0, 1.0)))


@pytest.mark.parametrize("by", ["subject", "session", "run", "recording", "stimulus", "group"])
def test_two_trials_cannot_be_trained_chosen_and_tested_on(by):
    with pytest.raises(ValueError, match=rf"folds by {by} need at least 3 units, the trials have"):
        split_trials(two_trials(), TrialSplitConfig(by=by))


def test_two_trials_cannot_be_divided_by_time():
    message = r"by time need at least 3 trials in every recording; s0r0 has 2"
    with pytest.raises(ValueError, match=message):
        split_trials(two_trials(), TrialSplitConfig(by="time", folds=2))
