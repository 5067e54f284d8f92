import json

import numpy as np
import pytest
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.predictions import Predictions, fold_path, predictions_path


def test_folds_are_pooled_in_the_order_of_the_table(make_run):
    run = load_run(make_run(by="run", subjects=2, runs=3, effect=np.inf))
    assert len(run.folds) == 6
    np.testing.assert_array_equal(run.trial, np.arange(144))
    output = run.pooled([fold.output for fold in run.folds])
    np.testing.assert_array_equal(output.argmax(1), run.target)
    for number, fold in enumerate(run.folds):
        assert set(run.fold[fold.trial]) == {number}


def test_blocks_are_sessions_where_there_are_some_else_stretches(make_run):
    name, blocks = load_run(make_run("a", subjects=2, by="run", runs=2)).blocks
    assert (name, len(set(blocks.tolist()))) == ("sessions", 4)
    run = load_run(make_run("b", subjects=3, runs=1, events=24))
    name, blocks = run.blocks
    assert name == "stretches of trials"
    first = blocks[run.subjects == run.subjects[0]]
    assert [int((first == one).sum()) for one in dict.fromkeys(first.tolist())] == [4] * 6


def test_the_identity_is_of_trials_and_sides_not_of_predictions(make_run):
    one = load_run(make_run("a", effect=0.0))
    assert one.identity == load_run(make_run("b", effect=2.0, seed=1)).identity
    assert one.identity != load_run(make_run("c", by="session")).identity
    assert one.identity != load_run(make_run("d", events=20)).identity


def test_what_is_missing_or_not_of_the_split_is_named(make_run, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no fine-tuning run"):
        load_run(tmp_path)
    run = make_run()
    test = predictions_path(fold_path(run, 1), "test")
    whole = test.read_bytes()
    test.unlink()
    with pytest.raises(FileNotFoundError, match=r"fold-1.*was not finished"):
        load_run(run)
    test.write_bytes(whole[:100])
    with pytest.raises(ValueError, match="damaged"):
        load_run(run)
    Predictions.load(predictions_path(fold_path(run, 0), "test")).save(test)
    with pytest.raises(ValueError, match="not of the 48 test trials"):
        load_run(run)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"trial_split_digest": "other"}))
    with pytest.raises(ValueError, match="not the split of the run"):
        load_run(run)
