from dataclasses import replace

import numpy as np
import pytest
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.measures import averaged_over_folds, choose_main, measures_of
from brainfm.finetune.retrieval_measures import attended_options


def values(run):
    return {
        m.metric.name: m.metric.compute(m.prediction, m.target) for m in measures_of(load_run(run))
    }


PERFECT = {
    "classes": {"balanced accuracy": 1, "macro AUC": 1, "Cohen's kappa": 1},
    "retrieval": {"top-1": 1, "2-way": 1, "mean reciprocal rank": 1, "median rank": 1},
    "values": {"r": 1, "R2": 1},
    "text": {"CER": 0, "WER": 0},
}


@pytest.mark.parametrize("kind", PERFECT)
@pytest.mark.parametrize("by", ["subject", "run"])
def test_the_right_answer_scores_full(make_run, kind, by):
    found = values(make_run(kind=kind, effect=np.inf, by=by, contents=12))
    for name, value in PERFECT[kind].items():
        assert found[name] == pytest.approx(value, abs=1e-5), name


def test_a_constant_answer_scores_chance(make_run):
    run = load_run(make_run(kind="retrieval", contents=12, effect=0.0))
    folds = tuple(replace(fold, output=np.ones_like(fold.output)) for fold in run.folds)
    for measure in measures_of(replace(run, folds=folds)):
        value = measure.metric.compute(measure.prediction, measure.target)
        assert value == pytest.approx(measure.metric.chance), measure.metric.name
        assert measure.gallery_size == (12, 12)


def test_galleries_of_folds_may_differ(make_run):
    # Folds by stimulus: each has its own contents, so columns outside them are no competitors.
    run = load_run(make_run(kind="retrieval", contents=12, by="stimulus", effect=0.0, folds=3))
    assert {len(fold.gallery) for fold in run.folds} == {4}
    found = {m.metric.name: m for m in measures_of(run)}
    one = found["top-1"]
    assert one.metric.chance == pytest.approx(1 / 4)
    assert one.gallery_size == (4, 4)
    by_hand = np.mean(
        [
            fold.gallery[row.argmax()] == target
            for fold in run.folds
            for row, target in zip(fold.output, fold.target, strict=True)
        ]
    )
    assert one.metric.compute(one.prediction, one.target) == pytest.approx(by_hand)


def test_rivals_make_the_attended_one_the_main_measure(make_run):
    run = load_run(make_run(kind="retrieval", contents=6, effect=1.0, rivals=1))
    main = measures_of(run)[0]
    assert (main.metric.name, main.metric.chance) == ("attended of 2", 0.5)
    right = [
        row[target] > row[rival]
        for fold in run.folds
        for row, target, (rival,) in zip(fold.output, fold.target, fold.rivals, strict=True)
    ]
    assert main.metric.compute(main.prediction, main.target) == pytest.approx(np.mean(right))
    # The place of the right one says nothing: both occur.
    _, column = attended_options(run.folds[0])
    assert set(column.tolist()) == {0, 1}


def test_uneven_classes_are_judged_by_the_area_under_the_curve(make_run):
    even = load_run(make_run("a", contents=2, effect=1.0))
    assert measures_of(even)[0].metric.name == "balanced accuracy"
    keep = [
        np.flatnonzero((f.target == 0) | (np.arange(len(f.target)) % 8 == 1)) for f in even.folds
    ]
    folds = tuple(
        replace(f, trial=f.trial[k], target=f.target[k], output=f.output[k])
        for f, k in zip(even.folds, keep, strict=True)
    )
    assert measures_of(replace(even, folds=folds))[0].metric.name == "macro AUC"


def test_measures_that_compare_trials_stay_within_folds():
    # Two folds whose outputs have other offsets: r is 1 in each and far from it over both.
    x = np.array([[0.0], [1], [2], [10], [11], [12]])
    y = np.array([[5.0], [6], [7], [0], [1], [2]])
    fold = np.repeat([0.0, 1.0], 3)
    compute = averaged_over_folds(lambda p, t: float(np.corrcoef(p[:, 0], t[:, 0])[0, 1]))
    assert compute(np.column_stack([x, fold]), y) == pytest.approx(1)
    assert np.corrcoef(x[:, 0], y[:, 0])[0, 1] < 0


def test_chance_of_texts_is_the_best_constant_text(make_run):
    run = load_run(make_run(kind="text", effect=1.0, contents=4))
    found = {m.metric.name: m.metric for m in measures_of(run)}
    # "word k" has six letters: always naming one of four gets three in four wrong by a letter...
    assert found["CER"].chance == pytest.approx(0.75 * 1 / 6)
    # ... which is one of two words.
    assert found["WER"].chance == pytest.approx(0.75 * 1 / 2)


def test_a_gallery_of_one_and_an_unknown_metric_are_refused(make_run):
    run = load_run(make_run(kind="retrieval", contents=4, by="stimulus"))
    with pytest.raises(ValueError, match=r"has 1 content.*fewer folds"):
        measures_of(run)
    with pytest.raises(ValueError, match=r"metric must be one of .*, got 'nonsense'"):
        choose_main(measures_of(load_run(make_run("b"))), "nonsense")
