import numpy as np
import pytest

from brainfm.decoding_metrics import Metric, classification_metrics, regression_metrics
from brainfm.decoding_scores import CONFOUNDED, score
from brainfm.retrieval_metrics import RetrievalConfig, retrieval_metrics

QUICK = {"n_permutations": 99, "n_resamples": 200}


def study(effect, *, n_subjects=6, n_sessions=2, n_trials=20, seed=0):
    """Two-class probabilities whose log odds follow the class by ``effect``."""
    rng = np.random.default_rng(seed)
    target = np.tile([0, 1], n_subjects * n_sessions * n_trials // 2)
    odds = effect * (2 * target - 1) + rng.standard_normal(len(target))
    p = 1 / (1 + np.exp(-odds))
    subjects = np.repeat([f"s{k}" for k in range(n_subjects)], n_sessions * n_trials)
    sessions = np.tile(np.repeat([f"{k}" for k in range(n_sessions)], n_trials), n_subjects)
    return np.stack([1 - p, p], 1), target, {"subjects": subjects, "blocks": sessions}


def scored(metric, p, target, groups, **changes):
    return score(metric, p, target, **groups, generator=np.random.default_rng(0), **QUICK | changes)


def test_a_planted_effect_is_found_by_every_measure_that_has_a_chance_level():
    p, target, groups = study(1.0)
    for metric in classification_metrics(target, 2):
        found = scored(metric, p, target, groups)
        assert found.n_trials == 240
        assert (found.over, found.n_units) == ("subjects", 6)
        low, high = found.interval
        assert low < found.value < high
        if metric.chance is None:
            assert found.p_value is None
        else:
            assert found.p_value == 1 / 100
            assert low > metric.chance
            assert found.null_mean == pytest.approx(metric.chance, abs=0.05)


def test_an_interval_ends_where_the_measure_does():
    p, target, groups = study(30.0, n_subjects=4)
    p[:5] = p[:5, ::-1]  # one subject is wrong now and then
    balanced = classification_metrics(target, 2)[1]
    low, high = scored(balanced, p, target, groups).interval
    assert high == 1.0
    assert low < 0.97


def test_noise_is_at_chance():
    p, target, groups = study(0.0)
    for metric in classification_metrics(target, 2)[:4]:
        found = scored(metric, p, target, groups)
        assert found.p_value > 0.05
        low, high = found.interval
        assert low < metric.chance < high


def test_every_subject_counts_the_same_however_many_trials_it_has():
    target = np.array([0, 1] * 6)
    p = np.eye(2)[target]
    p[:2] = p[:2, ::-1]  # the subject with two trials is always wrong
    subjects = ["a"] * 2 + ["b"] * 10
    accuracy = classification_metrics(target, 2)[0]
    found = scored(accuracy, p, target, {"subjects": subjects})
    assert found.value == 0.5
    assert found.subjects == {"a": 0.0, "b": 1.0}


def test_one_subject_has_an_interval_over_its_blocks_and_says_so():
    p, target, groups = study(0.5, n_subjects=1, n_sessions=8)
    accuracy = classification_metrics(target, 2)[0]
    found = scored(accuracy, p, target, groups, block_name="runs")
    assert (found.over, found.n_units) == ("runs", 8)
    low, high = found.interval
    assert low < found.value < high
    alone = scored(accuracy, p, target, {"subjects": groups["subjects"]})
    assert alone.interval is None
    assert alone.value == found.value


@pytest.mark.parametrize("n_subjects", [1, 2])
def test_intervals_over_blocks_cover_what_other_sessions_would_give(n_subjects):
    rng = np.random.default_rng(0)
    covered = 0
    # A score that is the mean over trials, of which each session has its own level about 0.
    metric = Metric(name="mean", compute=lambda x, _: float(x.mean()), chance=None)
    sessions = np.tile(np.repeat(np.arange(10), 5), n_subjects).astype(str)
    who = np.repeat(np.arange(n_subjects), 50).astype(str)
    for _ in range(60):
        x = rng.standard_normal(10 * n_subjects).repeat(5) + 0.1 * rng.standard_normal(len(who))
        found = score(metric, x, x, subjects=who, blocks=sessions, generator=rng, n_resamples=200)
        low, high = found.interval
        covered += low < 0 < high
    assert covered >= 51  # 57 expected, standard deviation 1.7


def test_labels_that_the_block_gives_away_have_no_p():
    target = np.repeat([0, 1], 10)
    p = np.eye(2)[target]
    groups = {"subjects": ["a"] * 20, "blocks": ["1"] * 10 + ["2"] * 10}
    found = scored(classification_metrics(target, 2)[0], p, target, groups)
    assert found.p_value is None
    assert found.note == CONFOUNDED
    assert found.value == 1


def test_a_subject_without_a_value_is_left_out():
    p, target, groups = study(1.0)
    target = target.copy()
    target[groups["subjects"] == "s0"] = 1
    auc = classification_metrics(target, 2)[2]
    found = scored(auc, p, target, groups)
    assert sorted(found.subjects) == ["s1", "s2", "s3", "s4", "s5"]
    assert found.n_units == 5
    assert found.note.startswith("the interval is over 5 subjects only: wide")
    nobody = scored(auc, p, np.ones_like(target), groups)
    assert np.isnan(nobody.value)
    assert "not defined for any subject" in nobody.note


def test_retrieval_and_regression_are_scored_alike():
    rng = np.random.default_rng(0)
    subjects = np.repeat(["a", "b", "c", "d"], 10)
    places = np.tile(np.arange(10), 4)
    similarity = np.eye(10)[places] + 0.5 * rng.standard_normal((40, 10))
    for found in retrieval_metrics(similarity, RetrievalConfig(top=(1, 5), ways=(2,))):
        result = scored(found.metric, found.credit, places, {"subjects": subjects})
        assert result.p_value == 1 / 100, found.metric.name
        assert result.null_mean == pytest.approx(found.metric.chance, rel=0.2)
    y = rng.standard_normal((40, 2))
    r = regression_metrics()[0]
    assert scored(r, y + rng.standard_normal((40, 2)), y, {"subjects": subjects}).p_value == 0.01
    assert scored(r, rng.standard_normal((40, 2)), y, {"subjects": subjects}).p_value > 0.05


def test_lengths_that_differ_are_refused():
    p, target, groups = study(0.0)
    with pytest.raises(ValueError, match="must have one length"):
        scored(classification_metrics(target, 2)[0], p[:-1], target, groups)


def test_sessions_of_one_name_are_different_blocks_in_different_subjects():
    target = np.repeat([0, 1], 10)
    groups = {"subjects": ["a"] * 10 + ["b"] * 10, "blocks": ["1"] * 20}
    found = scored(classification_metrics(target, 2)[0], np.eye(2)[target], target, groups)
    assert found.note == CONFOUNDED
