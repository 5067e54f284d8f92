"""Axes, digits and rounding derived by hand."""

import pytest
import torch

from brainfm.quantizers import FiniteScalarQuantizer, QuantileQuantizer, QuantizerConfig
from brainfm.scalar_quantizers import principal_axes


def spread_out(n=4000, seed=0):
    """Latents with spreads 4, 2, 1 along three known axes of four, around (1, 0, 0, 0)."""
    generator = torch.Generator().manual_seed(seed)
    along = torch.randn(n, 3, generator=generator) * torch.tensor([4.0, 2.0, 1.0])
    x = torch.zeros(n, 4)
    x[:, [2, 0, 3]] = along
    return x + torch.tensor([1.0, 0, 0, 0])


def test_principal_axes_come_in_the_order_of_their_spread():
    found = principal_axes(spread_out(), 3, n_ranks=1)
    torch.testing.assert_close(found.spread, torch.tensor([4.0, 2.0, 1.0]), rtol=0.05, atol=0)
    assert found.directions.abs().argmax(0).tolist() == [2, 0, 3]
    torch.testing.assert_close(found.mean, torch.tensor([1.0, 0, 0, 0]), rtol=0, atol=0.2)


def test_an_axis_without_variation_stays_finite():
    cfg = QuantizerConfig(kind="fsq", n_quantizers=1, codebook_size=81, scalar_levels=(3, 3, 3, 3))
    model = FiniteScalarQuantizer(cfg, 4)
    model.initialise(spread_out())
    assert model(spread_out(50)).values.isfinite().all()


def quantile():
    """Two levels, digits of 4 and 3 steps; latents 0 ... 99 on the first of four axes."""
    cfg = QuantizerConfig(kind="quantile", n_quantizers=2, codebook_size=12, scalar_levels=(4, 3))
    return QuantileQuantizer(cfg, 4)


def test_quantile_borders_and_values_are_those_of_the_first_latents():
    """The quantiles of 0 ... 99: borders 1/4, 2/4, 3/4 of 99, values 1/8, 3/8, 5/8, 7/8 of it."""
    model = quantile()
    x = torch.zeros(100, 4)
    x[:, 1] = torch.arange(100.0)
    model.initialise(x)
    sign = model.axes[1, 0].sign()
    edges = (sign * model.edges[0] + 49.5).sort().values
    torch.testing.assert_close(edges, torch.tensor([24.75, 49.5, 74.25]))
    values = model(torch.tensor([[0.0, 1, 0, 0], [0, 30, 0, 0], [0, 99, 0, 0]])).values[:, 1]
    torch.testing.assert_close(values, torch.tensor([12.375, 37.125, 86.625]))


def test_quantile_codes_are_digits_with_the_first_the_fastest():
    model = quantile()
    model.initialise(spread_out(seed=1) + torch.randn(4000, 4) * 0.1)
    z = spread_out(500, seed=2)
    codes = model(z).codes
    along = (z - model.mean) @ model.axes
    digits = [
        torch.bucketize(along[:, a].contiguous(), model.edges[a, : s - 1])
        for a, s in enumerate(model.steps)
    ]
    assert torch.equal(codes[:, 0], digits[0] + 4 * digits[1])
    assert torch.equal(codes[:, 1], digits[2] + 4 * digits[3])


def test_quantile_bins_are_equally_filled_and_never_move():
    model = quantile().train()
    x = torch.randn(12000, 4, generator=torch.Generator().manual_seed(0))
    model.initialise(x)
    counts = torch.bincount(model(x).codes[:, 0], minlength=12)
    assert (counts - 1000).abs().max() < 150  # independent axes: 12000 / 12 each
    before = model.numbers.clone()
    model(10 * x)
    assert torch.equal(model.numbers, before)
    assert list(model.parameters()) == []


def test_fsq_starts_near_the_best_linear_code_and_learns_its_projections():
    """At the start its values are the principal axes, rounded: learned differences are zero."""
    cfg = QuantizerConfig(kind="fsq", n_quantizers=1, codebook_size=512, scalar_levels=(8, 8, 8))
    torch.manual_seed(0)
    model = FiniteScalarQuantizer(cfg, 4).train()
    x = spread_out()
    model.initialise(x)
    start = model(x).commitment.item()
    assert start < 0.1 * x.var(0).mean()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        (model(x).values - x).square().mean().backward()
        optimizer.step()
    assert model(x).commitment.item() < start


def test_uninitialised_axes_say_so():
    assert not quantile().initialised
    with pytest.raises(ValueError, match="axes"):
        QuantileQuantizer(QuantizerConfig(kind="quantile"), 4)
