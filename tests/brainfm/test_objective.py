"""Loss terms by hand, their gradients where signals are flat, and channels that are hidden."""

import pytest
import torch

from brainfm.objective import (
    ObjectiveConfig,
    correlation,
    hide_channels,
    reconstruction_terms,
    weighted_sum,
)


def test_correlation_by_hand():
    a = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, -1.0, 0.0]])
    b = torch.tensor([[2.0, 4.0, 6.0], [3.0, 2.0, 1.0], [5.0, 5.0, 5.0], [1.0, 0.0, -1.0]])
    torch.testing.assert_close(correlation(a, b), torch.tensor([1.0, -1.0, 0.0, 0.5]))


def test_correlation_ignores_offset_and_positive_gain():
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 50)
    torch.testing.assert_close(correlation(3 * a + 7, 0.2 * b - 1), correlation(a, b))


@pytest.mark.parametrize("flat", ["estimate", "target", "both"])
def test_constant_signals_have_finite_gradients(flat):
    estimate = torch.randn(2, 8) if flat == "target" else torch.full((2, 8), 3.0)
    target = torch.randn(2, 8) if flat == "estimate" else torch.full((2, 8), -1.0)
    estimate.requires_grad_()
    r = correlation(estimate, target)
    r.sum().backward()
    assert r.tolist() == [0.0, 0.0]
    assert torch.isfinite(estimate.grad).all()


def test_gradients_stay_bounded_near_a_constant():
    for size in (1e-2, 1e-4, 1e-8, 1e-20):
        estimate = (size * torch.tensor([[1.0, -1.0, 2.0, 0.0]])).requires_grad_()
        correlation(estimate, torch.tensor([[0.0, 1.0, 2.0, 3.0]])).sum().backward()
        assert torch.isfinite(estimate.grad).all()


def test_terms_by_hand():
    """Channel errors 1 and 3 in the first sample; 5 in the second, whose other is masked."""
    target = torch.zeros(2, 2, 1, 4)
    target[..., 0] = 1.0
    estimate = target + torch.tensor([[1.0, 3.0], [5.0, 99.0]])[..., None, None]
    mask = torch.tensor([[True, True], [True, False]])
    terms = reconstruction_terms(estimate, target, mask)
    assert terms["amplitude"].item() == pytest.approx((2.0 + 5.0) / 2)
    assert terms["shape"].item() == pytest.approx(0.0, abs=1e-6)  # offsets do not matter to it


def test_each_sample_counts_alike_however_many_channels():
    target = torch.zeros(2, 10, 1, 4)
    estimate = torch.zeros_like(target)
    estimate[1] = 1.0
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[1, 1:] = False
    assert reconstruction_terms(estimate, target, mask)["amplitude"].item() == pytest.approx(0.5)


def test_a_sample_without_channels_does_not_count():
    target, estimate = torch.zeros(2, 3, 1, 4), torch.ones(2, 3, 1, 4)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    mask[0] = True
    terms = reconstruction_terms(estimate, target, mask)
    assert terms["amplitude"].item() == pytest.approx(1.0)
    nothing = reconstruction_terms(estimate, target, torch.zeros_like(mask))
    assert nothing["amplitude"].item() == 0.0


def test_the_loss_is_the_weighted_sum():
    terms = {"amplitude": torch.tensor(2.0), "shape": torch.tensor(0.5)}
    assert weighted_sum(terms, ObjectiveConfig(amplitude=3.0, shape=4.0)).item() == 8.0


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.99])
def test_a_share_is_hidden_and_one_channel_stays(share):
    mask = torch.zeros(40, 9, dtype=torch.bool)
    for row in range(40):
        mask[row, : 1 + row % 9] = True
    seen = hide_channels(mask, share, generator=torch.Generator().manual_seed(0))
    assert not (seen & ~mask).any()
    assert (seen.sum(1) >= 1).all()
    n = mask.sum(1)
    assert (n - seen.sum(1)).tolist() == [int(share * k) for k in n.tolist()]


def test_a_sample_without_channels_stays_without():
    mask = torch.zeros(2, 3, dtype=torch.bool)
    assert not hide_channels(mask, 0.5, generator=torch.Generator().manual_seed(0)).any()


def test_each_sample_hides_its_own():
    mask = torch.ones(500, 8, dtype=torch.bool)
    seen = hide_channels(mask, 0.25, generator=torch.Generator().manual_seed(0))
    assert len({tuple(row) for row in seen.tolist()}) > 20  # of 28 pairs
    # Standard error .019: every channel is hidden in a quarter of the samples.
    assert ((~seen).float().mean(0) - 0.25).abs().max() < 0.08
    again = hide_channels(mask, 0.25, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seen, again)
