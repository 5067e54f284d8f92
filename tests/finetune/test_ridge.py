"""Ridge in closed form: the primal and the dual way, and their penalty."""

import numpy as np
import pytest
import torch
from brainfm.finetune.ridge import RidgeFit, mean_correlation
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler


def data(n, n_features, n_outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, n_features)) * np.exp(rng.standard_normal(n_features)) + 3.0
    return x, x @ rng.standard_normal((n_features, n_outputs)) + rng.standard_normal((n, n_outputs))


@pytest.mark.parametrize(("n", "n_features"), [(50, 8), (8, 50)])
@pytest.mark.parametrize("penalty", [0.01, 3.0])
def test_it_is_scikit_learns_on_standardised_features(n, n_features, penalty):
    x, y = data(n, n_features)
    scaler = StandardScaler().fit(x)
    expected = Ridge(alpha=penalty * n).fit(scaler.transform(x), y)
    fit = RidgeFit()
    for part in np.array_split(np.arange(n), 5):
        fit.add(torch.from_numpy(x[part]), torch.from_numpy(y[part]))
    ((weight, bias),) = fit.solve([penalty])
    found = torch.from_numpy(x) @ weight.T + bias
    np.testing.assert_allclose(found, expected.predict(scaler.transform(x)), rtol=1e-6, atol=1e-6)


def test_both_ways_agree_where_they_meet():
    x, y = map(torch.from_numpy, data(12, 12))
    dual, primal = RidgeFit(), RidgeFit()
    dual.add(x, y)
    primal.add(x, y)
    primal._add_up()
    for (a, b), (c, d) in zip(dual.solve([0.1, 1.0]), primal.solve([0.1, 1.0]), strict=True):
        torch.testing.assert_close(a, c, atol=1e-8, rtol=1e-6)
        torch.testing.assert_close(b, d, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("n", [6, 60])
def test_units_change_nothing_and_constants_have_no_weight(n):
    x, y = map(torch.from_numpy, data(n, 10))
    x[:, 3] = 7.0
    scale = torch.logspace(-6, 6, 10, dtype=torch.float64)
    plain, scaled = RidgeFit(), RidgeFit()
    plain.add(x, y)
    scaled.add(x * scale, y)
    ((a, b),), ((c, d),) = plain.solve([1.0]), scaled.solve([1.0])
    assert a[:, 3].abs().max() == 0
    torch.testing.assert_close(x @ a.T + b, (x * scale) @ c.T + d, atol=1e-6, rtol=1e-6)


def test_no_trial():
    with pytest.raises(ValueError, match="no training trial"):
        RidgeFit().solve([1.0])


def test_mean_correlation_of_outputs_that_vary():
    target = torch.tensor([[1.0, 5.0, 1.0], [2.0, 5.0, 2.0], [3.0, 5.0, 3.0]])
    said = torch.tensor([[10.0, 1.0, 3.0], [20.0, 2.0, 2.0], [30.0, 3.0, 1.0]])
    assert mean_correlation(said, target) == pytest.approx(0.0, abs=1e-6)
    assert mean_correlation(said[:, :1], target[:, :1]) == pytest.approx(1.0)
    assert mean_correlation(said[:, 1:2], target[:, 1:2]) == 0.0


@pytest.mark.parametrize("n_trials", [20, 200])
def test_only_the_features_that_explain_most_by_themselves_are_used(n_trials):
    # Fewer and more trials than the 50 features: the dual problem and the normal equations.
    x, noise = torch.randn(2, n_trials, 50, generator=torch.Generator().manual_seed(0))
    y = torch.stack([3 * x[:, 7] + 0.3 * noise[:, 0], -2 * x[:, 31] + 0.3 * noise[:, 1]], dim=1)
    fit = RidgeFit()
    fit.add(x, y)
    for weight, bias in fit.solve([1e-6, 1e-3], n_inputs=2):
        assert torch.nonzero(weight.abs().sum(0)).flatten().tolist() == [7, 31]
        error = (x.double() @ weight.T + bias - y).square().mean()
        assert error < 0.15
    # The same as ridge of these two alone.
    alone = RidgeFit()
    alone.add(x[:, [7, 31]], y)
    torch.testing.assert_close(fit.solve([0.1], 2)[0][0][:, [7, 31]], alone.solve([0.1])[0][0])


def test_asking_for_more_features_than_there_are_keeps_all():
    x, y = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(1))
    fit = RidgeFit()
    fit.add(x, y)
    for n_inputs in (4, 9):
        torch.testing.assert_close(fit.solve([0.1], n_inputs)[0], fit.solve([0.1])[0])
