"""Controls of the input as the trials of a run have them."""

from dataclasses import replace

import numpy as np
import pytest
from brainfm.finetune.input_control import InputControl


def test_noise_has_nothing_of_the_signal_and_is_always_the_same(prepared_data):
    control = InputControl(kind="noise", seed=1)
    data, plain = prepared_data(control=control), prepared_data()
    x, y = data.windows(data.indices("all")), plain.windows(plain.indices("all"))
    assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 0.01
    assert x.std(axis=2).mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(x, prepared_data(control=control, fold=1).windows(range(72)))
    assert not np.array_equal(x[0], x[1])
    assert (data.windows([0]) != prepared_data(control=replace(control, seed=2)).windows([0])).all()
    # Power tells nothing of the class any more.
    left = data.trials.labels == "left"
    power = (x[:, 1] ** 2).mean(axis=1)
    assert abs(power[left].mean() - power[~left].mean()) < 0.1


def test_shuffled_targets_stay_within_subject_and_side_and_the_test_is_true(prepared_data):
    data, plain = prepared_data(control=InputControl(kind="shuffled")), prepared_data()
    test, train = data.indices("test"), data.indices("train")
    assert (data.targets.rows[test] == plain.targets.rows[test]).all()
    assert (data.targets.rows[train] != plain.targets.rows[train]).any()
    assert sorted(data.targets.rows[train]) == sorted(plain.targets.rows[train])
    np.testing.assert_array_equal(data.windows([0]), plain.windows([0]))
    assert data.input_digest == plain.input_digest
    first = next(iter(data.side_batches("train")))
    assert first.target.tolist() == data.targets.rows[train[:8]].tolist()


def test_shifted_windows_are_true_signal_from_elsewhere(prepared_data):
    control = InputControl(kind="shifted", shift_s=5.0)
    data, plain = prepared_data(control=control), prepared_data()
    begin = np.array([int(data.reader.window(k).start) for k in range(72)])
    true = np.array([int(plain.reader.window(k).start) for k in range(72)])
    for name in np.unique(data.trials.units("recording")):
        here = data.trials.units("recording") == name
        length = data.trials.recordings[name].n_times
        away = np.abs(begin[here] - true[here])
        assert (np.minimum(away, length - away) >= 5 * 256 - 257).all()
        assert ((begin[here] >= 0) & (begin[here] + 256 <= length)).all()
        # One shift for all: the distances between trials stay, but where the end is crossed.
        assert (np.diff(begin[here]) == np.diff(true[here])).sum() >= here.sum() - 2
    assert data.trials.digest == plain.trials.digest
    assert data.input_digest != plain.input_digest
