"""Unit decoders find planted inputs, agree with scikit-learn unit by unit, and nulls stay null."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from brainfm.unit_decoders import UnitDecoderConfig, UnitDecoders, fit_unit_decoders


def planted(n=240, p=80, q=60, used=5, noise=1.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(n, p, generator=g) + 3
    inputs = torch.stack([torch.randperm(p, generator=g)[:used].sort().values for _ in range(q)])
    weights = torch.zeros(q, p).scatter_(1, inputs, 1 + torch.rand(q, used, generator=g))
    y = x @ weights.T + noise * torch.randn(n, q, generator=g) - 1
    return x, y, weights, inputs


def test_planted_sparse_weights_are_found():
    x, y, weights, inputs = planted()
    fit = fit_unit_decoders(x, y, UnitDecoderConfig(inputs=12, block=7))
    there = torch.stack([torch.isin(i, c).all() for i, c in zip(inputs, fit.chosen, strict=True)])
    assert there.float().mean() > 0.95
    dense = torch.zeros_like(weights).scatter_(1, fit.chosen, fit.weights)
    assert (dense - weights)[there].abs().max() < 0.4
    held_out = planted(seed=1)[0]
    truth = held_out @ weights.T
    r = np.corrcoef(fit.predict(held_out).T.numpy(), truth.T.numpy())[:60, 60:].diagonal()
    assert (r > 0.98).mean() > 0.95


@pytest.mark.parametrize("errors", ["quadrature", "exact"])
def test_each_unit_is_what_a_loop_over_units_gives(errors):
    x, y, *_ = planted(q=9)
    cfg = UnitDecoderConfig(inputs=20, errors=errors, probes=40, block=4)
    fit = fit_unit_decoders(x.double(), y.double(), cfg)
    x64, y64 = x.double().numpy(), y.double().numpy()
    z = (x64 - x64.mean(0)) / x64.std(0)
    n = len(z)
    for unit in range(9):
        covariance = np.abs(z.T @ (y64[:, unit] - y64[:, unit].mean()))
        best = np.sort(np.argsort(covariance)[-20:])
        assert fit.chosen[unit].tolist() == best.tolist()
        zu, yu = z[:, best], y64[:, unit] - y64[:, unit].mean()
        gcv = []
        for penalty in cfg.penalties:
            hat = zu @ np.linalg.solve(zu.T @ zu + penalty * n * np.eye(20), zu.T)
            gcv.append(((yu - hat @ yu) ** 2).sum() / (n - 1 - np.trace(hat)) ** 2)
        chosen = cfg.penalties.index(min(cfg.penalties, key=lambda v: abs(v - fit.penalty[unit])))
        assert gcv[chosen] <= min(gcv) * (1.0001 if errors == "exact" else 1.02)
        theirs = Ridge(alpha=float(fit.penalty[unit]) * n).fit(zu, y64[:, unit])
        np.testing.assert_allclose(
            fit.predict(x.double())[:, unit].numpy(), theirs.predict(zu), atol=1e-8
        )


def test_units_of_noise_are_decoded_at_chance():
    x, y, *_ = planted(n=300, p=100, q=200)
    g = torch.Generator().manual_seed(3)
    noise = torch.randn(y.shape, generator=g)
    fit = fit_unit_decoders(x[:150], noise[:150], UnitDecoderConfig(inputs=30))
    both = torch.stack([fit.predict(x[150:]), noise[150:]]).double()
    both = both - both.mean(1, keepdim=True)
    r = (both[0] * both[1]).sum(0) / both.norm(dim=1).prod(0)
    # 200 correlations of 150 trials: their mean has a standard error of 1 / sqrt(150 * 200).
    assert abs(r.mean()) < 4 / np.sqrt(150 * 200)


def test_all_inputs_are_plain_ridge_and_constant_ones_do_not_matter():
    x, y, *_ = planted(q=6)
    x, y = x.double(), y.double()
    fit = fit_unit_decoders(x, y, UnitDecoderConfig(inputs=500))
    wider = torch.cat([x, torch.full((240, 20), 2.0, dtype=x.dtype)], 1)
    same = fit_unit_decoders(wider, y, UnitDecoderConfig(inputs=500))
    torch.testing.assert_close(same.predict(wider), fit.predict(x))
    almost = fit_unit_decoders(x, y, UnitDecoderConfig(inputs=79, errors="exact"))
    torch.testing.assert_close(almost.predict(x), fit.predict(x), atol=0.5, rtol=0)
    assert almost.penalty.tolist() == pytest.approx(fit.penalty.tolist())


def test_the_block_does_not_matter_and_constant_units_are_their_mean():
    x, y, *_ = planted(q=33)
    y[:, 4] = 2.5
    one, many = (
        fit_unit_decoders(x, y, UnitDecoderConfig(inputs=10, block=b)).predict(x) for b in (1, 32)
    )
    torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(many[:, 4], torch.full((240,), 2.5))


def test_the_deviation_of_decoded_units_becomes_that_of_real_ones():
    x, y, *_ = planted(noise=20.0)
    fit = fit_unit_decoders(x, y, UnitDecoderConfig(inputs=10))
    decoded = fit.predict(x)
    scaled = fit.with_deviation(decoded)
    size = (scaled - fit.mean).std(1, correction=0)
    torch.testing.assert_close(size, torch.full_like(size, fit.spread))
    assert fit.spread == pytest.approx(float((y - y.mean(0)).std(1, correction=0).mean()))
    assert (decoded - fit.mean).std(1, correction=0).mean() < 0.9 * fit.spread


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x, y: (x[:4], y), "same 3 or more trials"),
        (lambda x, y: (x.index_fill(0, torch.tensor([1]), torch.nan), y), "not finite"),
        (lambda x, y: (x * 0, y), "no input varies"),
    ],
)
def test_what_cannot_be_fitted_is_named(make, words):
    x, y, *_ = planted()
    with pytest.raises(ValueError, match=words):
        fit_unit_decoders(*make(x, y))
    with pytest.raises(ValueError, match="errors must be"):
        UnitDecoderConfig(errors="guess")
    some: UnitDecoders = fit_unit_decoders(x, y, UnitDecoderConfig(inputs=3))
    with pytest.raises(ValueError, match="inputs must be"):
        some.predict(x[:, :5])
