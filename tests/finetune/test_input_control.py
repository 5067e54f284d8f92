import numpy as np
import pytest
from brainfm.finetune.input_control import (
    InputControl,
    noise_like,
    shuffled_targets,
)
from brainfm.finetune.targets import Targets

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


def targets_of(trials, **more):
    return Targets(ids=np.array(trials.classes), rows=trials.targets, **more)


def test_noise_follows_from_content_and_seed():
    window = np.zeros((4, 5000), np.float32)
    control = InputControl(kind="noise", seed=1)
    x = noise_like(window, control, "recording", 1.0)
    assert (x == noise_like(window, control, "recording", 1.0)).all()
    others = [
        noise_like(window, control, "recording", 2.0),
        noise_like(window, control, "other", 1.0),
        noise_like(window, InputControl(kind="noise", seed=2), "recording", 1.0),
    ]
    for y in others:
        assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 0.03
    assert (x.mean(), x.std()) == pytest.approx((0, 1), abs=0.02)


def test_targets_are_permuted_within_subject_and_side():
    trials = table(subjects=4, n=10)
    rivals = np.arange(80).reshape(40, 2) % 2
    targets = targets_of(trials, rivals=rivals)
    train = np.flatnonzero(trials.units("subject") != "d/s3")
    control = InputControl(kind="shuffled", seed=5)
    shuffled = shuffled_targets(targets, trials, [train], control)
    subjects = trials.units("subject")
    for name in np.unique(subjects):
        here = subjects == name
        assert sorted(shuffled.rows[here]) == sorted(targets.rows[here])
    assert (shuffled.rows[train] != targets.rows[train]).any()
    assert (shuffled.rows[subjects == "d/s3"] == targets.rows[subjects == "d/s3"]).all()
    again = shuffled_targets(targets, trials, [train], control)
    assert (again.rows == shuffled.rows).all()
    other = shuffled_targets(targets, trials, [train], InputControl(kind="shuffled", seed=6))
    assert (other.rows != shuffled.rows).any()


def test_rivals_move_with_their_target():
    trials = table(subjects=1, n=10)
    ids = np.array([f"t{k}" for k in range(20)])
    targets = Targets(ids=ids, rows=np.arange(10), rivals=np.arange(10, 20)[:, None])
    side = [np.arange(10)]
    shuffled = shuffled_targets(targets, trials, side, InputControl(kind="shuffled"))
    assert (shuffled.rivals[:, 0] - shuffled.rows == 10).all()
    assert (shuffled.rows != targets.rows).any()


def test_where_a_subject_has_one_class_all_trials_are_permuted_together():
    trials = table(subjects=6, n=10)
    rows = (trials.units("subject") >= "d/s3").astype(np.int64)
    targets = Targets(ids=np.array(["ill", "well"]), rows=rows)
    side = [np.arange(60)]
    shuffled = shuffled_targets(targets, trials, side, InputControl(kind="shuffled"))
    assert (shuffled.rows != rows).any()
    assert shuffled.rows.sum() == rows.sum()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"seed": -1}, "seed must not be negative"), ({"shift_s": 0.0}, "shift_s must be positive")],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        InputControl(**settings)
