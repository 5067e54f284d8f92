from dataclasses import replace

import numpy as np
import pytest
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.metadata_control import (
    as_predictions,
    decode_metadata,
    metadata_features,
    nearest_training,
    run_metadata,
)
from brainfm.finetune.run_data import load_data
from brainfm.finetune.targets import Targets

N = 40


def columns(n_subjects=4):
    who = np.repeat([f"s{k}" for k in range(n_subjects)], N)
    return {name: tuple(who.tolist()) for name in ("recording", "subject")} | {
        "dataset": ("d",) * len(who)
    }


def right_share(features, rows, fold):
    p = decode_metadata("classes", features, Targets(ids=np.array(["a", "b"]), rows=rows), fold)
    test = fold.indices("test")
    return float((p[test].argmax(1) == rows[test]).mean())


@pytest.fixture
def fold(make_run):
    return load_run(make_run(runs=1, events=N)).split.folds[0]


def test_an_order_that_gives_classes_away_is_found_and_a_random_one_is_not(fold):
    onsets = np.tile(2.0 * np.arange(N), 4)
    features = metadata_features(columns(), onsets)
    blocked = np.tile(np.repeat([0, 1], N // 2), 4)  # first half of every recording: class 0
    assert right_share(features, blocked, fold) > 0.9
    rng = np.random.default_rng(0)
    drawn = np.concatenate([rng.permutation(np.repeat([0, 1], N // 2)) for _ in range(4)])
    assert 0.25 < right_share(features, drawn, fold) < 0.75


def test_durations_that_differ_by_class_are_found(fold):
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 2, (4, N))
    onsets = np.cumsum(np.where(rows == 0, 2.0, 3.0), axis=1) - np.where(rows == 0, 2.0, 3.0)
    features = metadata_features(columns(), onsets.reshape(-1))
    assert right_share(features, rows.reshape(-1), fold) > 0.9


def test_retrieval_by_metadata_uses_the_gallery_of_the_run(make_run):
    run = load_run(make_run(kind="retrieval", contents=8, runs=1, events=N))
    rng = np.random.default_rng(0)
    rows = run.target
    targets = Targets(
        ids=np.array(run.record.ids),
        rows=rows,
        values=rng.standard_normal((8, 5)).astype(np.float32),
    )
    features = metadata_features(run.record.columns, np.array(run.record.onsets))
    output = decode_metadata("retrieval", features, targets, run.split.folds[0])
    assert output.shape == (len(rows), 5)
    like = run.folds[0]
    found = as_predictions("retrieval", output, targets, like)
    assert found.output.shape == like.output.shape
    assert np.abs(found.output).max() <= 1 + 1e-9
    np.testing.assert_array_equal(found.gallery, like.gallery)


def test_texts_are_those_of_the_training_trial_with_the_nearest_metadata(fold):
    # Every recording has the same events: the same time in another recording is nearest.
    features = metadata_features(columns(), np.tile(3.0 * np.arange(N), 4))
    found = nearest_training(features, fold)
    assert set(found.tolist()) <= set(fold.indices("train").tolist())
    test = fold.indices("test")
    np.testing.assert_array_equal(found[test] % N, test % N)


def test_it_is_written_like_any_run(make_run, monkeypatch, tmp_path):
    import brainfm.finetune.run_data as run_data

    path = make_run(effect=1.0)
    run = load_run(path)

    class Data:
        targets = Targets(ids=np.array(run.record.ids), rows=run.target)

    monkeypatch.setattr(run_data, "load_data", lambda run: Data)
    made = load_run(run_metadata(path, tmp_path / "metadata"))
    assert made.identity == run.identity
    assert made.record == replace(run.record, name="metadata", control="metadata")
    for fold in made.folds:
        np.testing.assert_allclose(fold.output.sum(1), 1)


def test_the_data_of_a_run_are_made_again_from_its_settings(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.yaml is missing"):
        load_data(tmp_path)
