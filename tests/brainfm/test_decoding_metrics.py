import math

import numpy as np
import pytest

from brainfm.decoding_metrics import classification_metrics, regression_metrics


def classification(p, target):
    metrics = classification_metrics(target, p.shape[1])
    return {m.name: m.compute(p, target) for m in metrics}


def one_hot(target, n_classes):
    return np.eye(n_classes)[target]


UNEVEN = np.repeat([0, 1, 2], [60, 30, 10])


def test_perfect_predictions_are_perfect():
    found = classification(one_hot(UNEVEN, 3), UNEVEN)
    assert found.pop("calibration error") == pytest.approx(0, abs=1e-6)
    assert set(found.values()) == {1.0}


def test_a_decoder_that_always_says_the_same_reaches_the_chance_level_and_no_more():
    p = np.tile([0.5, 0.3, 0.2], (100, 1))
    chance = {m.name: m.chance for m in classification_metrics(UNEVEN, 3)}
    found = classification(p, UNEVEN)
    for name in ("accuracy", "balanced accuracy", "macro AUC", "Cohen's kappa"):
        assert found[name] == pytest.approx(chance[name], abs=1e-6)
    # Right 60 times of 100 at a confidence of .5.
    assert found["calibration error"] == pytest.approx(0.1, abs=1e-6)
    assert chance["calibration error"] is None


def test_numbers_worked_out_by_hand():
    target = np.array([0, 0, 0, 1])
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6]])
    found = classification(p, target)
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["balanced accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    # The trial of class 1 is above two of the three others.
    assert found["macro AUC"] == pytest.approx(2 / 3)
    # Observed 3/4, expected by the margins (2 * 3 + 2 * 1) / 16 = 1/2.
    assert found["Cohen's kappa"] == pytest.approx(1 / 2)


def test_a_class_without_trials_neither_helps_nor_harms():
    target = np.array([0, 0, 1, 1])
    p = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    found = classification(p, target)
    assert found["balanced accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    # Class 0: .8 and .1 against .1 and .2; class 1: .8 and .7 against .1 and .1.
    assert found["macro AUC"] == pytest.approx(((2 + 0.5 + 0) / 4 + 1) / 2)
    alone = classification(p[:2], target[:2])
    assert math.isnan(alone["macro AUC"])


def test_the_order_of_trials_and_of_classes_changes_nothing():
    rng = np.random.default_rng(0)
    p, target = rng.dirichlet(np.ones(3), 100), UNEVEN
    expected = classification(p, target)
    order, names = rng.permutation(100), np.array([2, 0, 1])
    assert classification(p[order], target[order]) == pytest.approx(expected)
    assert classification(p[:, names], np.argsort(names)[target]) == pytest.approx(expected)


def test_regression_by_hand_and_under_scaling():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((50, 3))
    r, r2 = regression_metrics()
    assert (r.compute(y, y), r2.compute(y, y)) == pytest.approx((1, 1))
    mean = np.tile(y.mean(0), (50, 1))
    assert r2.compute(mean, y) == pytest.approx(0, abs=1e-12)
    noisy = y + rng.standard_normal(y.shape)
    assert r.compute(3 * noisy + 7, y) == pytest.approx(r.compute(noisy, y))
    assert r2.compute(3 * noisy + 7, y) < r2.compute(noisy, y)
    assert r.compute(noisy, y) == pytest.approx(
        np.mean([np.corrcoef(noisy[:, k], y[:, k])[0, 1] for k in range(3)])
    )


def test_an_output_that_says_nothing_has_no_correlation():
    y = np.random.default_rng(0).standard_normal((50, 2))
    r, _ = regression_metrics()
    silent = y.copy()
    silent[:, 1] = y[:, 1].mean()
    assert r.compute(silent, y) == pytest.approx(0.5)
    assert r.compute(np.ones_like(y), y) == 0
    # A target that never changes is no one's fault.
    assert r.compute(y, silent) == pytest.approx(1)
    assert math.isnan(r.compute(y[:, 1:], silent[:, 1:]))


def test_an_output_that_is_not_a_number_has_no_correlation():
    y = np.random.default_rng(0).standard_normal((50, 2))
    r, _ = regression_metrics()
    diverged = y.copy()
    diverged[3, 1] = math.nan
    assert r.compute(diverged, y) == pytest.approx(1)
    assert math.isnan(r.compute(np.full_like(y, math.nan), y))
    assert r.compute(1e100 * y + 1e80, y) == pytest.approx(1)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="at least 2 classes"):
        classification_metrics(np.zeros(3, np.int64), 1)
    with pytest.raises(ValueError, match="classes from 0 to 1"):
        classification_metrics(np.array([0, 2]), 2)
    accuracy = classification_metrics(np.array([0, 1]), 2)[0]
    with pytest.raises(ValueError, match="finite probabilities"):
        accuracy.compute(np.array([[np.nan, 1], [0, 1]]), np.array([0, 1]))
    with pytest.raises(ValueError, match="differ"):
        regression_metrics()[0].compute(np.ones((3, 2)), np.ones((2, 2)))
