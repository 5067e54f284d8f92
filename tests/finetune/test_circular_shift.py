import numpy as np
import pytest
from brainfm.finetune.circular_shift import association, shifted_trials
from brainfm.finetune.input_control import InputControl

from brainfm.recording_info import RecordingInfo
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event
from brainfm.trials import TrialConfig


def table(*, subjects=3, n=10, seconds=120.0, labels=("a", "b"), config=None):
    pairs = []
    for k in range(subjects):
        info = RecordingInfo(
            id=f"r{k}", dataset="d", subject=f"s{k}", sfreq=100.0, n_times=int(seconds * 100)
        )
        events = [Event(onset=10.0 * t + 5, name=labels[t % len(labels)]) for t in range(n)]
        pairs.append((info, events))
    return make_trials(pairs, config or TrialConfig(window=(-0.5, 1.0)))


def test_all_trials_of_a_recording_are_shifted_by_one_time_around_its_end():
    trials = table()
    moved = shifted_trials(trials, InputControl(kind="shifted", shift_s=30.0))
    # What a trial sees lasts 1.5 s of 120 s: onsets lie on a circle of 118.5 s, less a sample.
    circle = 120.0 - 1.5 - 0.01
    shifts = {}
    for old, new in zip(trials.rows, moved.rows, strict=True):
        assert (old.recording, old.label) == (new.recording, new.label)
        assert 0.5 - 1e-9 <= new.onset <= 119.0 + 1e-9
        shifts.setdefault(old.recording, set()).add(round((new.onset - old.onset) % circle, 6))
    assert [len(found) for found in shifts.values()] == [1, 1, 1]
    drawn = [found.pop() for found in shifts.values()]
    assert all(30.0 - 0.01 <= shift <= circle - 30.0 + 0.01 for shift in drawn)
    assert len(set(drawn)) == 3
    again = shifted_trials(trials, InputControl(kind="shifted", shift_s=30.0))
    assert again.rows == moved.rows


def test_a_short_recording_is_shifted_by_a_third():
    trials = table(n=2, seconds=20.0)
    moved = shifted_trials(trials, InputControl(kind="shifted"))
    for old, new in zip(trials.rows, moved.rows, strict=True):
        shift = (new.onset - old.onset) % 18.49
        assert 18.49 / 3 - 0.02 <= shift <= 18.49 * 2 / 3 + 0.02


def test_a_recording_no_longer_than_its_trial_cannot_be_shifted():
    trials = table(subjects=2, n=1, seconds=6.0, config=TrialConfig(window=(-5.0, 1.0)))
    with pytest.raises(ValueError, match="recording r0 is too short"):
        shifted_trials(trials, InputControl(kind="shifted"))


def test_labels_that_a_shift_repeats_or_swaps_are_associated():
    labels = np.array([0, 1] * 10)
    places = 100 * np.arange(20)
    for steps in (1, 2):
        moved = np.roll(places, -steps)
        assert association(labels, places, moved, 50) == pytest.approx(1)
    # Between two trials of an alternating order each overlaps as much with one label as the other.
    between = places[:-1] + 50
    assert association(labels[:-1], places[:-1], between, 100) == pytest.approx(0, abs=0.01)
    # No window falls on a trial, or no label comes twice: nothing is known.
    assert association(labels, places, places + 50, 50) == 0
    assert association(np.arange(20), places, places, 50) == 0


def test_alternating_conditions_are_not_led_to_each_other():
    trials = table(subjects=20, n=20, seconds=210.0, config=TrialConfig(window=(0.0, 8.0)))
    labels, places = trials.targets[:20], 1000 * np.arange(20) + 500
    found = []
    for seed in range(5):
        moved = shifted_trials(trials, InputControl(kind="shifted", seed=seed))
        for k in range(20):
            onsets = [trial.onset for trial in moved.rows[20 * k : 20 * k + 20]]
            there = np.round(np.array(onsets) * 100).astype(int)
            found.append(association(labels, places, there, 800))
    # Windows of 8 s every 10 s: d s after a trial they share 8 - d s with it and d - 2 s with the
    # next, of the other label. The association is the square of (10 - 2 d) / 6 for 2 < d < 8, else
    # 1: on average 0.4 + 0.6 / 3 = 0.6, and below 0.25 for one shift in three or four.
    assert max(found) < 0.25
