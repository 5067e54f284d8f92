import numpy as np
import pytest
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.evaluation_scores import (
    ScoringConfig,
    json_value,
    paired_difference,
    score_measure,
    sign_flip_test,
)
from brainfm.finetune.measures import measures_of
from scipy.stats import kstest

QUICK = ScoringConfig(n_permutations=99, n_resamples=200)


def main_score(path, cfg=QUICK):
    run = load_run(path)
    return score_measure(run, measures_of(run)[0], cfg)


@pytest.mark.parametrize("kind", ["classes", "retrieval", "values", "text"])
def test_every_measure_has_chance_p_and_interval(make_run, kind):
    run = load_run(make_run(kind=kind, effect=0.8, contents=12))
    for measure in measures_of(run):
        found = score_measure(run, measure, QUICK)
        assert found.interval[0] <= found.value <= found.interval[1]
        assert (found.over, found.n_units, found.n_trials) == ("subjects", 4, len(run.trial))
        if measure.metric.chance is not None:
            assert found.p_value == 0.01  # none of 99 permutations


def test_few_subjects_have_an_interval_over_sessions(make_run):
    found = main_score(make_run(subjects=2, runs=3, by="run", effect=1.0))
    assert (found.over, found.n_units) == ("sessions", 6)
    assert found.interval[0] < found.value < found.interval[1]


def test_targets_are_shuffled_within_recording_and_fold(make_run):
    # Every recording has one class only: it gives the class away, and no p can be had.
    path = make_run(subjects=3, runs=4, events=1, contents=4, effect=2.0)
    found = main_score(path)
    assert found.p_value is None
    assert "the block alone gives it away" in found.note


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "retrieval"])
def test_a_decoder_of_nothing_is_at_chance_with_nominal_coverage(make_run, kind):
    n, covered, p = 40, 0, []
    for seed in range(n):
        given = {"kind": kind, "seed": seed, "subjects": 12, "runs": 1, "contents": 8}
        found = main_score(make_run(f"{seed}", **given))
        covered += found.interval[0] <= found.chance <= found.interval[1]
        p.append(found.p_value)
    # Binomial(40, .94): fewer than 33 in one of 1,000 such tests.
    assert covered >= 33
    assert kstest(p, "uniform").pvalue > 0.01
    assert sum(value < 0.05 for value in p) <= 7


def test_a_run_differs_from_itself_by_nothing_and_from_a_worse_one_by_their_gap(make_run):
    good, bad = (load_run(make_run(n, effect=e, subjects=8)) for n, e in (("a", 2.0), ("b", 0.0)))
    first, second = (measures_of(run)[0] for run in (good, bad))
    same = paired_difference(good, first, first, QUICK)
    assert (same.value, same.interval, same.p_value, same.above) == (0, (0, 0), 1.0, False)
    gap = paired_difference(good, first, second, QUICK)
    values = [score_measure(run, m, QUICK).value for run, m in ((good, first), (bad, second))]
    assert gap.value == pytest.approx(values[0] - values[1])
    assert gap.above
    assert (gap.n_units, gap.over, gap.p_over) == (8, "subjects", "subjects")
    back = paired_difference(good, second, first, QUICK)
    assert (back.value, back.above) == (pytest.approx(-gap.value), False)


def test_less_of_an_error_is_better(make_run):
    good, bad = (load_run(make_run(n, kind="text", effect=e)) for n, e in (("a", 0.9), ("b", 0.1)))
    gap = paired_difference(good, measures_of(good)[0], measures_of(bad)[0], QUICK)
    assert gap.value > 0
    assert gap.above


def test_few_subjects_are_paired_by_blocks(make_run):
    a, b = (
        load_run(make_run(n, effect=e, subjects=2, runs=4, by="run", seed=s))
        for n, e, s in (("a", 2.5, 0), ("b", 0.0, 1))
    )
    gap = paired_difference(a, measures_of(a)[0], measures_of(b)[0], QUICK)
    assert (gap.over, gap.n_units, gap.p_over, gap.p_units) == ("sessions", 8, "sessions", 8)
    assert gap.above
    assert gap.p_value < 0.05


def test_signs_are_flipped_exactly():
    # Of 2^4 signs only all plus and all minus are as far from 0.
    cfg = ScoringConfig(n_permutations=1000)
    assert sign_flip_test(np.array([1.0, 2, 3, 4]), cfg) == pytest.approx(2 / 16)
    assert sign_flip_test(np.array([3.0]), cfg) == 1
    assert sign_flip_test(np.zeros(0), cfg) is None
    assert sign_flip_test(np.array([1.0, -1.0]), cfg) == 1


def test_json_has_none_for_what_is_no_number():
    given = {"a": (np.float64("nan"), np.int64(3)), "b": np.array([1.5, np.inf])}
    assert json_value(given) == {"a": [None, 3], "b": [1.5, None]}
    with pytest.raises(ValueError, match="n_permutations must be at least 20, got 3"):
        ScoringConfig(n_permutations=3)
