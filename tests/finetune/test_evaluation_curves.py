from dataclasses import replace

import numpy as np
import pytest
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.evaluation_curves import (
    averaging_curves,
    calibration_curve,
    class_details,
    examples,
    group_errors,
    n_way_curve,
    per_output,
)
from brainfm.finetune.evaluation_scores import ScoringConfig
from brainfm.finetune.retrieval_measures import searched

QUICK = ScoringConfig(n_permutations=99, n_resamples=200)


def retrieval(make_run, name="run", **settings):
    return load_run(make_run(name, kind="retrieval", contents=16, events=32, **settings))


def test_identification_among_n_falls_from_two_to_the_gallery(make_run):
    curve = n_way_curve(retrieval(make_run, effect=1.0), QUICK)
    assert [point["n"] for point in curve] == [2, 4, 8, 16]
    values = [point["value"] for point in curve]
    assert values == sorted(values, reverse=True)
    for point in curve:
        assert point["chance"] == 1 / point["n"]
        assert point["chance"] < point["interval"][0] <= point["value"] <= point["interval"][1]
    for point in n_way_curve(retrieval(make_run, "right", effect=np.inf), QUICK):
        assert point["value"] == pytest.approx(1)


def test_the_order_of_a_gallery_changes_nothing(make_run):
    run = retrieval(make_run, effect=1.0)
    order = np.random.default_rng(0).permutation(16)
    folds = tuple(
        replace(fold, gallery=fold.gallery[order], output=fold.output[:, order])
        for fold in run.folds
    )
    turned = replace(run, folds=folds)
    assert n_way_curve(turned, QUICK) == n_way_curve(run, QUICK)
    np.testing.assert_array_equal(searched(turned).similarity, searched(run).similarity)


def test_averaging_helps_within_and_over_subjects(make_run):
    run = retrieval(make_run, effect=1.0)
    for points in averaging_curves(run, searched(run), QUICK).values():
        assert [point["k"] for point in points] == [1, 2, 4]
        values = [point["measures"]["2-way"]["value"] for point in points]
        assert values[0] < values[1] < values[2]


def test_a_decoder_of_sentences_does_well_across_them_only(make_run):
    # Four contents each in four sentences: it knows the sentence, and nothing of the word.
    run = retrieval(make_run, effect=0.0)
    rng = np.random.default_rng(0)
    folds = []
    for fold in run.folds:
        same = fold.target[:, None] // 4 == fold.gallery // 4
        output = 10.0 * same + rng.standard_normal(fold.output.shape)
        folds.append(replace(fold, output=output))
    run = replace(run, folds=tuple(folds))
    found = group_errors(run, searched(run), QUICK)
    assert found["n_wholes"] == 4
    assert found["across"]["value"] == 1
    assert abs(found["within"]["value"] - 0.5) < 0.08
    assert found["errors_in_same_whole"] == 1
    assert found["expected_of_random_errors"] == pytest.approx(3 / 15)


def test_examples_are_the_best_and_the_worst(make_run):
    run = retrieval(make_run, effect=1.0)
    shown = examples(run, searched(run))
    assert [one["which"] for one in shown] == ["best"] * 5 + ["worst"] * 5
    assert shown[0]["rank"] == 1
    assert shown[0]["first"][0]["id"] == shown[0]["truth"]
    assert shown[-1]["rank"] > 10
    assert shown[-1]["gallery_size"] == 16


def test_calibration_by_hand():
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.45, 0.55], [0.42, 0.58]])
    low, high = calibration_curve(p, np.array([0, 1, 1, 1]))
    assert low == {"confidence": pytest.approx(0.565), "right": 1.0, "n": 2}
    assert high == {"confidence": pytest.approx(0.95), "right": 0.5, "n": 2}


def test_confusions_count_every_trial(make_run):
    run = load_run(make_run(effect=np.inf))
    confusion = np.array(class_details(run, QUICK)["confusion"])
    np.testing.assert_array_equal(confusion, np.diag(np.bincount(run.target)))


def test_outputs_have_a_correlation_each(make_run):
    run = load_run(make_run(kind="values", effect=np.inf, units=("x", "y", "z")))
    rng = np.random.default_rng(0)
    folds = []
    for fold in run.folds:
        output = fold.output.copy()
        output[:, 1] = rng.standard_normal(len(output))
        folds.append(replace(fold, output=output))
    found = per_output(replace(run, folds=tuple(folds)), QUICK)
    assert [one["name"] for one in found] == ["x", "y", "z"]
    assert found[0]["r"]["value"] == pytest.approx(1, abs=1e-5)
    assert abs(found[1]["r"]["value"]) < 0.25
    assert found[1]["r"]["interval"][0] < found[1]["r"]["value"] < found[1]["r"]["interval"][1]
