"""Ridge agrees with scikit-learn, chooses penalties as defined, and needs no more than sums."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from brainfm.banded_ridge import draw_shares, fit_banded_ridge
from brainfm.ridge import NormalEquations, RidgeConfig, fit_normal_equations, fit_ridge


def planted(n=60, p=10, q=4, noise=0.5, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, p, generator=g, dtype=torch.float64) * 3 + 1
    w = torch.randn(p, q, generator=g, dtype=torch.float64)
    y = x @ w + noise * torch.randn(n, q, generator=g, dtype=torch.float64) - 2
    return x, y, w


@pytest.mark.parametrize("p", [10, 90])
def test_weights_are_scikit_learns_for_the_chosen_penalties(p):
    x, y, _ = planted(p=p)
    fit = fit_ridge(x, y)
    unit = float((x - x.mean(0)).square().sum() / p)
    theirs = Ridge(alpha=fit.penalty.numpy() * unit).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(fit.weights.numpy(), theirs.coef_.T, atol=1e-8)
    np.testing.assert_allclose(fit.predict(x).numpy(), theirs.predict(x.numpy()), atol=1e-7)


@pytest.mark.parametrize("p", [10, 90])
def test_generalised_cross_validation_is_its_definition(p):
    x, y, _ = planted(p=p, noise=3.0)
    cfg = RidgeConfig(penalties=(0.01, 0.1, 1.0, 10.0))
    fit = fit_ridge(x, y, cfg)
    centred = x - x.mean(0)
    unit = centred.square().sum() / p
    gram = centred @ centred.T
    errors = []
    for penalty in cfg.penalties:
        hat = gram @ torch.linalg.inv(gram + penalty * unit * torch.eye(60, dtype=x.dtype))
        left = (y - y.mean(0)) - hat @ (y - y.mean(0))
        errors.append(60 * left.square().sum(0) / (59 - hat.trace()) ** 2)
    table = torch.stack(errors)
    torch.testing.assert_close(fit.error, table.amin(0))
    assert fit.penalty.tolist() == [cfg.penalties[k] for k in table.argmin(0).tolist()]


def test_folds_are_those_of_scikit_learn():
    x, y, _ = planted(noise=4.0)
    cfg = RidgeConfig(penalties=(0.01, 1.0, 100.0), choose="folds", folds=5)
    fit = fit_ridge(x, y, cfg)
    errors = np.zeros((3, 4))
    for train, test in KFold(5).split(x.numpy()):
        centred = x[train] - x[train].mean(0)
        unit = float(centred.square().sum() / 10)
        for k, penalty in enumerate(cfg.penalties):
            model = Ridge(alpha=penalty * unit).fit(x[train].numpy(), y[train].numpy())
            errors[k] += ((model.predict(x[test].numpy()) - y[test].numpy()) ** 2).sum(0)
    np.testing.assert_allclose(fit.error.numpy(), errors.min(0) / 60, rtol=1e-8)


def test_sums_of_parts_are_enough():
    x, y, _ = planted(noise=2.0)
    parts = NormalEquations.of(x[:25], y[:25]).joined(NormalEquations.of(x[25:], y[25:]))
    ours, whole = fit_normal_equations(parts), fit_ridge(x, y)
    torch.testing.assert_close(ours.weights, whole.weights)
    torch.testing.assert_close(ours.intercept, whole.intercept)
    assert ours.penalty.tolist() == whole.penalty.tolist()


def test_a_block_of_targets_is_like_all_at_once():
    x, y, _ = planted(q=7)
    whole, blocked = fit_ridge(x, y), fit_ridge(x, y, RidgeConfig(block=3))
    torch.testing.assert_close(whole.weights, blocked.weights)


def test_noise_gets_a_large_penalty_and_signal_a_small_one():
    x, y, _ = planted(n=200, p=50, q=40, noise=0.1)
    noise = torch.randn(200, 40, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    fit = fit_ridge(x, torch.cat([y, noise], 1))
    assert fit.penalty[:40].median() < 0.02
    assert fit.penalty[40:].median() > 1


def test_a_constant_target_is_its_mean_and_constant_inputs_are_ignored():
    x, y, _ = planted()
    x[:, 3] = 5.0
    y[:, 1] = 7.0
    fit = fit_ridge(x, y)
    torch.testing.assert_close(fit.predict(x)[:, 1], torch.full((60,), 7.0, dtype=x.dtype))
    assert fit.weights[3].abs().max() < 1e-9


def test_a_band_of_noise_is_given_up_and_helps_more_than_one_penalty():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(160, 130, generator=g, dtype=torch.float64)
    y = x[:, :10] @ torch.randn(10, 5, generator=g, dtype=torch.float64)
    y = y + torch.randn(160, 5, generator=g, dtype=torch.float64)
    bands = torch.tensor([0] * 10 + [1] * 120)
    banded = fit_banded_ridge(x[:100], y[:100], bands, generator=g, n_candidates=12)
    plain = fit_ridge(x[:100], y[:100])

    def error(fit):
        return float((fit.predict(x[100:]) - y[100:]).square().mean())

    assert (banded.shares[0] > 0.7).all()
    assert error(banded.ridge) < 0.5 * error(plain)


def test_candidates_lie_on_the_simplex_and_begin_with_equal_shares():
    shares = draw_shares(3, 20, generator=torch.Generator().manual_seed(1))
    assert shares.shape == (20, 3)
    torch.testing.assert_close(shares.sum(1), torch.ones(20, dtype=shares.dtype))
    torch.testing.assert_close(shares[0], torch.full((3,), 1 / 3, dtype=shares.dtype))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x[:-1], y), "same 3 or more trials"),
        (lambda x, y: (x, y.index_fill(0, torch.tensor([5]), torch.nan)), "first in trial 5"),
    ],
)
def test_what_cannot_be_fitted_is_named(change, words):
    x, y, _ = planted()
    with pytest.raises(ValueError, match=words):
        fit_ridge(*change(x, y))


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="penalties must be positive"):
        RidgeConfig(penalties=(1.0, -1.0))
    x, y, _ = planted()
    with pytest.raises(ValueError, match="folds must number 60 trials"):
        fit_ridge(x, y, RidgeConfig(choose="folds"), folds=torch.zeros(60))
    with pytest.raises(ValueError, match="allow choose='gcv'"):
        fit_normal_equations(NormalEquations.of(x, y), RidgeConfig(choose="folds"))
    with pytest.raises(ValueError, match="bands must number 10 inputs"):
        fit_banded_ridge(x, y, torch.zeros(3), generator=torch.Generator())
