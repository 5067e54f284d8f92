"""Terms of both objectives by hand, and their gradients where signals vanish."""

import math

import pytest
import torch

from brainfm.objective import (
    Band,
    ObjectiveConfig,
    as_config,
    correlation,
    reconstruction_terms,
    shares,
    topography_error,
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


def terms_of(estimate, target, mask=None, name="brainfm", lowpass=math.nan):
    mask = torch.ones(target.shape[:2], dtype=torch.bool) if mask is None else mask
    cfg = ObjectiveConfig(name=name)
    band = Band(256.0, torch.full((len(target),), lowpass))
    return reconstruction_terms(estimate, cfg.recipe.target(target), mask, band, cfg)


def test_terms_by_hand():
    """Channel errors 1 and 3 in the first sample; 5 in the second, whose other is masked."""
    target = torch.zeros(2, 2, 1, 4)
    target[..., 0] = 1.0
    estimate = target + torch.tensor([[1.0, 3.0], [5.0, 99.0]])[..., None, None]
    mask = torch.tensor([[True, True], [True, False]])
    terms = terms_of(estimate, target, mask)
    assert terms["amplitude"].item() == pytest.approx((2.0 + 5.0) / 2)
    # Offsets do not matter to these.
    for name in ("shape", "rhythm", "magnitude", "phase"):
        assert terms[name].item() == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("name", ["brainfm", "brainomni"])
def test_nothing_is_wrong_with_a_perfect_reconstruction(name):
    torch.manual_seed(0)
    windows = torch.randn(2, 3, 2, 64)
    target = ObjectiveConfig(name=name).recipe.target(windows)
    terms = terms_of(target, windows, name=name)
    # The published correlation term is exp(-r), 1 / e at best.
    least = {"shape": math.exp(-1.0)} if name == "brainomni" else {"topography": 0.005}
    for term, value in terms.items():
        assert value.item() == pytest.approx(least.get(term, 0.0), abs=5e-3), term


def test_published_terms_by_hand():
    """Target +-1 (std ddof 1 of four: 2 / sqrt 3); the estimate is its negative in z-scores."""
    windows = torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(1, 1, 1, 4)
    z = 3**0.5 / 2
    target = ObjectiveConfig(name="brainomni").recipe.target(windows)
    torch.testing.assert_close(target, z * windows, atol=1e-5, rtol=0)
    terms = terms_of(-target, windows, name="brainomni")
    assert terms["time"].item() == pytest.approx(2 * z, abs=1e-5)
    assert terms["shape"].item() == pytest.approx(math.e, abs=1e-4)  # exp(-(-1))
    assert terms["magnitude"].item() == pytest.approx(0.0, abs=1e-6)
    # Hamming of 4: .08 .54 1 .54, so sums of (z, -z, z, -z) x window at bins 0, 1, 2 are
    # .08 - .54 + 1 - .54 = 0, .08 - 1 + i (.54 - .54) = -.92 and .08 + .54 + 1 + .54 = 2.16:
    # real numbers, whose sign turns; the bin of zero has no angle.
    assert terms["phase"].item() == pytest.approx(math.pi * 2 / 3, abs=1e-4)


def test_published_targets_lose_amplitude_and_ours_keep_it():
    torch.manual_seed(0)
    windows = torch.randn(1, 2, 1, 64)
    published, ours = (ObjectiveConfig(name=n).recipe.target for n in ("brainomni", "brainfm"))
    torch.testing.assert_close(published(5 * windows), published(windows), atol=1e-4, rtol=0)
    torch.testing.assert_close(ours(5 * windows), 5 * windows)
    z = published(windows)
    torch.testing.assert_close(z.std(-1), torch.ones(1, 2, 1), atol=1e-4, rtol=0)


def test_topography_by_hand():
    """One sample in time, patterns (3, 4) and (4, 3): cosine 24 / 25, softened by a tenth."""
    target, estimate = (torch.tensor(v).reshape(1, 2, 1, 1) for v in ([3.0, 4.0], [4.0, 3.0]))
    mask = torch.ones(1, 2, dtype=torch.bool)
    expected = 1 - 24 / (5 * math.sqrt(25 + 0.01 * 25))
    assert topography_error(estimate, target, mask).item() == pytest.approx(expected, abs=1e-6)
    assert topography_error(-target, target, mask).item() > 1.99
    assert topography_error(torch.zeros_like(target), target, mask).item() == 1.0


def test_topography_needs_two_channels():
    x = torch.randn(2, 3, 1, 8)
    mask = torch.tensor([[True, False, False], [False, False, False]])
    assert topography_error(-x, x, mask).item() == 0.0
    both = torch.cat([x, x])
    mask = torch.cat([mask, torch.ones(2, 3, dtype=torch.bool)])
    alone = topography_error(-x, x, mask[2:])
    torch.testing.assert_close(topography_error(-both, both, mask), alone)


@pytest.mark.parametrize("name", ["brainfm", "brainomni"])
def test_masked_channels_count_in_no_term(name):
    torch.manual_seed(0)
    target, estimate = torch.randn(2, 2, 3, 1, 64)
    mask = torch.tensor([[True, True, False], [True, False, True]])
    before = terms_of(estimate, target, mask, name)
    changed = torch.where(mask[..., None, None], estimate, 1e3 * torch.randn_like(estimate))
    after = terms_of(changed, target, mask, name)
    assert before.keys() == after.keys()
    for term, value in before.items():
        torch.testing.assert_close(after[term], value)


@pytest.mark.parametrize("name", ["brainfm", "brainomni"])
@pytest.mark.parametrize("estimate_size", [0.0, 1e-30, 1e-12, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("target_size", [0.0, 1e-12, 1.0])
def test_gradients_are_finite_everywhere(name, estimate_size, target_size):
    torch.manual_seed(0)
    target, noise = torch.randn(2, 1, 2, 2, 64)
    estimate = (estimate_size * noise).requires_grad_()
    cfg = ObjectiveConfig(name=name)
    weighted_sum(terms_of(estimate, target_size * target, name=name), cfg).backward()
    assert torch.isfinite(estimate.grad).all()


def test_our_gradient_is_bounded_where_the_published_one_explodes():
    torch.manual_seed(0)
    target, noise = torch.randn(2, 1, 2, 2, 64)
    sizes = (1.0, 1e-2, 1e-4, 1e-6)

    def steepest(name):
        found = []
        for size in sizes:
            estimate = (size * noise).requires_grad_()
            terms = terms_of(estimate, target, name=name)
            terms["phase"].backward()
            found.append(estimate.grad.norm().item())
        return found

    ours, published = steepest("brainfm"), steepest("brainomni")
    assert max(ours) < 20 * ours[0]
    assert published[-1] > 1e4 * published[0]


@pytest.mark.parametrize("name", ["brainfm", "brainomni"])
def test_terms_are_float32_whatever_the_precision_around(name):
    torch.manual_seed(0)
    target, estimate = torch.randn(2, 2, 3, 1, 64)
    expected = terms_of(estimate, target, name=name)
    with torch.autocast("cpu", torch.bfloat16):
        found = terms_of(estimate, target, name=name)
    for term, value in expected.items():
        assert found[term].dtype == torch.float32
        assert torch.equal(found[term], value)


def test_each_sample_counts_alike_however_many_channels():
    target = torch.zeros(2, 10, 1, 4)
    estimate = torch.zeros_like(target)
    estimate[1] = 1.0
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[1, 1:] = False
    assert terms_of(estimate, target, mask)["amplitude"].item() == pytest.approx(0.5)


def test_a_sample_without_channels_does_not_count():
    target, estimate = torch.zeros(2, 3, 1, 4), torch.ones(2, 3, 1, 4)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    mask[0] = True
    assert terms_of(estimate, target, mask)["amplitude"].item() == pytest.approx(1.0)
    nothing = terms_of(estimate, target, torch.zeros_like(mask))
    assert all(value.item() == 0.0 for value in nothing.values())


def test_the_loss_is_the_weighted_sum_and_shares_are_of_it():
    terms = {"amplitude": torch.tensor(2.0), "shape": torch.tensor(0.5)}
    cfg = ObjectiveConfig(weights={"amplitude": 3.0, "shape": 4.0})
    assert weighted_sum(terms, cfg).item() == 8.0
    found = {name: value.item() for name, value in shares(terms, cfg).items()}
    assert found == {"amplitude": 0.75, "shape": 0.25}


def test_published_weights():
    terms = dict.fromkeys(("time", "shape", "magnitude", "phase", "commitment"), torch.tensor(1.0))
    cfg = as_config("brainomni")
    assert weighted_sum(terms, cfg).item() == 1 + 1 + 1 + 0.5 + 0.25
    assert cfg.recipe.noise == 0.1


def test_weights_of_terms_that_are_not_there():
    with pytest.raises(ValueError, match=r"brainomni has no terms \['rhythm'\]; it has \['time'"):
        ObjectiveConfig(name="brainomni", weights={"rhythm": 1.0})
    with pytest.raises(ValueError, match="phase must be at least 0 and finite, got -1"):
        ObjectiveConfig(weights={"phase": -1.0})
    with pytest.raises(ValueError, match="must be one of"):
        ObjectiveConfig(name="other")
