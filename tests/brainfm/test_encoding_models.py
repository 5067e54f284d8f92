"""Encoding models: planted effects, nulls, ceilings, layers by time."""

import numpy as np
import pytest
import torch

from brainfm.encoding_models import (
    accuracy,
    column_correlations,
    fit_and_judge,
    layers_by_time,
    noise_ceiling,
    two_v_two,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_two_versus_two_is_one_for_the_truth_zero_for_its_opposite_and_half_for_ties():
    truth = rng().standard_normal((12, 30))
    assert two_v_two(truth, truth) == 1
    assert two_v_two(-truth, truth) == 0
    assert two_v_two(np.ones((12, 30)), truth) == 0.5
    same = np.tile(truth[:1], (12, 1))
    assert two_v_two(same, truth) == 0.5


def test_two_versus_two_of_random_predictions_is_half():
    values = [
        two_v_two(rng(k).standard_normal((20, 15)), rng(100 + k).standard_normal((20, 15)))
        for k in range(60)
    ]
    assert np.mean(values) == pytest.approx(0.5, abs=4 * np.std(values) / np.sqrt(60))


def test_a_pair_decided_by_hand():
    truth = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    predicted = truth[[1, 0, 2]]
    # Pair (0, 1) is exchanged: wrong. Pairs (0, 2) and (1, 2) : distances are own 1.5 + 0 against
    # 1.5 + 1.5: right.
    assert two_v_two(predicted, truth) == pytest.approx(2 / 3)


def test_accuracy_of_perfect_and_of_mean_predictions():
    truth = rng().standard_normal((10, 4))
    center = np.zeros(4)
    perfect = accuracy(truth, truth, center=center)
    np.testing.assert_allclose(perfect.r, 1)
    np.testing.assert_allclose(perfect.r2, 1)
    assert perfect.two_v_two == 1
    mean = accuracy(np.zeros((10, 4)), truth, center=center)
    np.testing.assert_allclose(mean.r2, 0)
    assert np.isnan(mean.r).all()
    assert mean.two_v_two == 0.5


def test_a_planted_response_is_predicted_and_a_shuffled_one_is_not():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(300, 20, generator=g)
    y = x @ torch.randn(20, 8, generator=g) + 2 * torch.randn(300, 8, generator=g)
    found = fit_and_judge((x[:200], y[:200]), (x[200:], y[200:]))
    assert found.r.min() > 0.75
    assert found.two_v_two > 0.95
    order = torch.randperm(200, generator=g)
    null = fit_and_judge((x[:200][order], y[:200]), (x[200:], y[200:]))
    assert np.nanmean(null.r) == pytest.approx(0, abs=4 / np.sqrt(100 * 8))
    assert null.two_v_two == pytest.approx(0.5, abs=0.15)


def test_the_ceiling_is_the_correlation_of_a_perfect_model_with_the_mean_response():
    signal = rng().standard_normal((400, 5))
    responses = signal + 1.5 * rng(1).standard_normal((6, 400, 5))
    found = noise_ceiling(responses, generator=rng(2))
    # Signal variance 1, noise variance of the mean 2.25 / 6.
    expected = np.sqrt(1 / (1 + 2.25 / 6))
    np.testing.assert_allclose(found.r, expected, atol=0.03)
    reached = column_correlations(signal, responses.mean(axis=0))
    np.testing.assert_allclose(found.r, reached, atol=0.04)
    assert (found.low < found.r).all()
    assert (found.r < found.high).all()


def test_the_ceiling_of_noise_holds_zero():
    found = noise_ceiling(rng().standard_normal((8, 80, 40)), generator=rng(1))
    assert (found.low == 0).mean() > 0.9
    # Only what is above zero by accident counts, and the root makes it look large.
    assert np.median(found.r) < 0.3


def test_layers_and_times_are_told_apart():
    g = torch.Generator().manual_seed(0)
    early, late = torch.randn(120, 6, generator=g), torch.randn(120, 6, generator=g)
    responses = 0.5 * torch.randn(120, 4, 3, generator=g)
    responses[:, 1] += early @ torch.randn(6, 3, generator=g)
    responses[:, 3] += late @ torch.randn(6, 3, generator=g)
    folds = torch.arange(120) % 4
    told = []
    table = layers_by_time({"early": early, "late": late}, responses, folds, progress=told.append)
    assert told == ["early", "late"]
    assert table.r.shape == (2, 4, 3)
    assert table.r[0, 1].min() > 0.8
    assert table.r[1, 3].min() > 0.8
    assert abs(table.r[:, [0, 2]].mean()) < 0.15
    assert table.best_layer()[[1, 3]].tolist() == [0, 1]


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="two or more trials and targets"):
        two_v_two(np.ones((5, 1)), np.ones((5, 1)))
    with pytest.raises(ValueError, match="2 repeats and 3 stimuli"):
        noise_ceiling(np.ones((1, 5, 2)), generator=rng())
    with pytest.raises(ValueError, match="two or more folds"):
        layers_by_time({}, torch.ones(5, 2, 2), torch.zeros(5))
    with pytest.raises(ValueError, match="column by column"):
        column_correlations(np.ones((5, 1)), np.ones((5, 2)))
