"""Trials that are averages of presentations."""

from dataclasses import replace

import numpy as np
import pytest
from brainfm.finetune.circular_shift import shifted_trials
from brainfm.finetune.input_control import InputControl

from brainfm.recording_info import RecordingInfo
from brainfm.trial_audit import audit_trials
from brainfm.trial_cutting import make_trials
from brainfm.trial_distance import distances
from brainfm.trial_events import Event
from brainfm.trial_folds import split_trials
from brainfm.trial_splits import TrialSplitConfig
from brainfm.trial_windows import TrialWindows
from brainfm.trials import TrialConfig

SFREQ = 100.0
PLAIN = TrialConfig(window=(0.0, 0.5), baseline=(-0.2, 0.0))
INFO = RecordingInfo(id="r", subject="p", dataset="d", sfreq=SFREQ, n_times=2400)
STIMULI = "abcabcabcabdabcd"
EVENTS = [Event(onset=1.0 + k, name="picture", stimulus=name) for k, name in enumerate(STIMULI)]


def cut(average, events=EVENTS):
    return make_trials([(INFO, events)], replace(PLAIN, average=average))


def signal():
    x = np.random.default_rng(0).standard_normal((3, INFO.n_times)).astype(np.float32)
    return lambda start, stop: x[:, start:stop]


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [1] * 16), (2, [2, 2, 2, 2, 2, 2, 2, 1, 1]), (0, [5, 5, 4, 2])]
)
def test_presentations_of_a_stimulus_are_taken_together_in_their_order(n, sizes):
    trials = cut(n)
    assert sorted((len(t.onsets) for t in trials.rows), reverse=True) == sizes
    assert trials.presentations == (min(sizes), max(sizes))
    for trial in trials.rows:
        assert list(trial.onsets) == sorted(trial.onsets)
        assert {STIMULI[int(onset - 1)] for onset in trial.onsets} == {trial.stimulus}
    every = sorted(onset for trial in trials.rows for onset in trial.onsets)
    assert every == [event.onset for event in EVENTS]


def test_a_window_is_the_mean_of_its_presentations_less_their_baselines():
    read = signal()
    single, averaged = cut(1), cut(0)
    each = TrialWindows(single, {"r": read})
    windows = {trial.onset: each[k] for k, trial in enumerate(single.rows)}
    for k, trial in enumerate(averaged.rows):
        expected = np.mean([windows[onset] for onset in trial.onsets], axis=0)
        found = TrialWindows(averaged, {"r": read})[k]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_was_not_acquired_in_one_presentation_is_that_of_the_others():
    x = np.ones((2, INFO.n_times), dtype=np.float32)
    x[0, 100:150] = np.nan  # the first presentation of a
    x[1] = np.nan
    found = TrialWindows(cut(0), {"r": lambda start, stop: x[:, start:stop]})[0]
    np.testing.assert_array_equal(found[0], 0.0)
    assert np.isnan(found[1]).all()


def test_the_digest_tells_averages_apart():
    assert len({cut(n).digest for n in (0, 1, 2, 3)}) == 4


def test_trials_between_each_other_do_not_overlap():
    trials = cut(0)
    names = trials.units("stimulus").tolist()
    one, other = (np.array([names.index(name)]) for name in "ab")
    # One second from event to event, of which .7 s are seen.
    assert distances(one, other, trials) == pytest.approx([0.3])
    close = [*EVENTS, Event(onset=4.2, name="picture", stimulus="c")]
    assert distances(one, np.array([names.index("c")]), cut(0, close)) == pytest.approx([-0.5])


def test_a_split_by_stimulus_has_no_leak_and_one_by_time_is_refused():
    by_stimulus = TrialSplitConfig(by="stimulus", validation=0.2)
    split = split_trials(cut(0), by_stimulus)
    assert audit_trials(cut(0), split) == []
    with pytest.raises(ValueError, match="cannot be divided by time; set average to 1"):
        split_trials(cut(2), TrialSplitConfig(by="time", folds=2))


def test_the_shifted_control_shifts_every_presentation():
    trials = cut(0)
    shifted = shifted_trials(trials, InputControl(kind="shifted", seed=1))
    for before, after in zip(trials.rows, shifted.rows, strict=True):
        assert (len(after.onsets), after.stimulus) == (len(before.onsets), before.stimulus)
        assert not set(np.round(after.onsets, 2)) & set(before.onsets)
    moved = [onset for trial in shifted.rows for onset in trial.onsets]
    assert len(set(np.round(moved, 3))) == len(EVENTS)
    TrialWindows(shifted, {"r": signal()})[0]


def test_nothing_is_left_to_decode():
    same = [Event(onset=float(k), name="picture", stimulus="a") for k in range(1, 5)]
    with pytest.raises(ValueError, match="leaves 1, at least 2 are needed; lower average"):
        cut(0, same)
    with pytest.raises(ValueError, match="average must be at least 0"):
        replace(PLAIN, average=-1)
