import json

import numpy as np
import pytest
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.occlusion import Device, SensorMap
from brainfm.finetune.sensor_maps import chosen_batches, judge_of, map_figure, map_numbers

from brainfm.sensors import SENSOR_TYPES


@pytest.mark.parametrize("kind", ["classes", "retrieval", "values"])
def test_trials_of_a_fold_are_judged_like_the_run(make_run, kind):
    run = load_run(make_run(kind=kind, effect=1.0, contents=6))
    main = {"classes": "balanced accuracy", "retrieval": "top-1", "values": "r"}[kind]
    judge, fold = judge_of(run, 1, main), run.folds[1]
    all_of_it = judge(fold.output, fold.trial)
    some = np.arange(0, len(fold.trial), 3)
    assert judge(fold.output[some], fold.trial[some]) != all_of_it
    right = load_run(make_run("right", kind=kind, effect=np.inf, contents=6)).folds[1]
    assert judge(right.output[some], fold.trial[some]) == pytest.approx(1)
    if kind == "classes":
        recalls = [(fold.output.argmax(1) == c)[fold.target == c].mean() for c in range(6)]
        assert all_of_it == pytest.approx(np.mean(recalls))


def test_trials_are_drawn_not_counted_off(prepared_data):
    data = prepared_data()
    target = data.targets.rows
    found = np.concatenate([batch.trial.numpy() for batch in chosen_batches(data, 10)])
    assert len(found) == len(set(found.tolist())) == 10
    assert set(found.tolist()) <= set(data.indices("test").tolist())
    assert set(target[found].tolist()) == {0, 1}
    again = np.concatenate([batch.trial.numpy() for batch in chosen_batches(data, 10)])
    np.testing.assert_array_equal(found, again)


def test_a_map_is_drawn_where_sensors_are():
    rng = np.random.default_rng(0)
    direction = rng.standard_normal((40, 3))
    direction[:, 2] = np.abs(direction[:, 2])
    places = 0.09 * direction / np.linalg.norm(direction, axis=1, keepdims=True) + [0, 0, 0.04]
    types = np.full(40, SENSOR_TYPES["eeg"].code)
    device = Device(types=types, positions=places)
    found = SensorMap(device=device, drop=rng.standard_normal(40), score=0.8, n_trials=9)
    numbers = map_numbers(found, "balanced accuracy")
    assert len(map_figure(json.loads(json.dumps(numbers))).axes) == 2
    assert (numbers["device"], numbers["judged_by"]) == ("40 EEG", "balanced accuracy")
    np.testing.assert_allclose(numbers["electrodes"], places)
    np.testing.assert_allclose(numbers["positions"], places)
