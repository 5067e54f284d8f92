"""Poolings: sizes, what they do not depend on, what they make readable for a linear map."""

import math

import pytest
import torch
from brainfm.finetune.backbone import FeatureShape
from brainfm.finetune.covariance_pooling import matrix_log, shrunk
from brainfm.finetune.pooling import Pooling, PoolingConfig
from einops import rearrange

SHAPE = FeatureShape(9, 4, 6)
SIZES = {
    "flat": 9 * 4 * 6,
    "mean": 24,
    "moments": 48,
    "all": 6,
    "power": 40,
    "covariance": 10,
    "attention": 24,
}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(**settings):
    torch.manual_seed(0)
    return Pooling(PoolingConfig(**settings), SHAPE).eval()


@pytest.mark.parametrize(("kind", "size"), SIZES.items())
def test_sizes(kind, size) -> None:
    pool = made(kind=kind)
    assert pool.n_features == size
    assert pool(drawn(3, *SHAPE)).shape == (3, size)


@pytest.mark.parametrize("kind", ["flat", "mean", "moments", "all"])
def test_sizes_per_frame(kind) -> None:
    pool = Pooling(PoolingConfig(kind=kind), SHAPE, per_frame=True)
    assert pool(drawn(3, *SHAPE)).shape == (3, 9, pool.n_features)


@pytest.mark.parametrize("kind", ["power", "covariance", "attention"])
def test_what_leaves_no_frames_is_refused_per_frame(kind) -> None:
    with pytest.raises(ValueError, match=kind):
        Pooling(PoolingConfig(kind=kind), SHAPE, per_frame=True)


@pytest.mark.parametrize("kind", SIZES)
def test_trials_do_not_know_of_each_other(kind) -> None:
    pool, x = made(kind=kind), drawn(5, *SHAPE)
    assert torch.allclose(pool(x)[[2, 0]], pool(x[[2, 0]]), atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "mean"},
        {"kind": "moments"},
        {"kind": "all"},
        {"kind": "power", "filters": 0},
        {"kind": "power", "taps": 1},
        {"kind": "covariance"},
        {"kind": "covariance", "components": 3},
        {"kind": "attention"},
    ],
)
def test_the_order_of_frames_is_of_no_matter(settings) -> None:
    pool, x = made(**settings), drawn(3, *SHAPE)
    assert torch.allclose(pool(x), pool(x[:, torch.randperm(9)]), atol=1e-4)


def test_filters_over_several_frames_see_their_order() -> None:
    pool, x = made(kind="power", taps=3), drawn(3, *SHAPE)
    assert not torch.allclose(pool(x), pool(x[:, torch.randperm(9)]), atol=1e-2)


@pytest.mark.parametrize("filters", [0, 5])
def test_twice_the_amplitude_is_log_4_more_power_and_the_sign_is_of_no_matter(filters) -> None:
    pool, x = made(kind="power", filters=filters), 10 * drawn(3, *SHAPE)
    assert torch.allclose(pool(2 * x) - pool(x), torch.tensor(math.log(4)), atol=1e-3)
    assert torch.equal(pool(-x), pool(x))


def test_power_by_hand() -> None:
    x = torch.zeros(1, 2, 1, 2)
    x[0, :, 0, 0] = torch.tensor([3.0, -1.0])
    pool = Pooling(PoolingConfig(kind="power", filters=0), FeatureShape(2, 1, 2))
    assert torch.allclose(pool(x)[0], torch.tensor([math.log(5), math.log(1e-6)]), atol=1e-4)


def test_covariance_by_hand() -> None:
    # Two sources that never go together, variances 4 and 1, hardly shrunk.
    x = torch.tensor([[2.0, 1.0], [2.0, -1.0], [-2.0, 1.0], [-2.0, -1.0]])
    pool = Pooling(PoolingConfig(kind="covariance", shrinkage=1e-6), FeatureShape(4, 2, 1))
    found = pool(rearrange(x, "p n -> 1 p n 1"))[0]
    assert torch.allclose(found, torch.tensor([math.log(4), 0, 0]), atol=1e-4)


def test_twice_the_amplitude_moves_the_diagonal_of_the_covariance_alone() -> None:
    pool, x = made(kind="covariance"), drawn(2, *SHAPE)
    moved = pool(2 * x) - pool(x)
    row, column = torch.triu_indices(4, 4)
    assert torch.allclose(moved, (row == column) * math.log(4), atol=1e-4)


def test_a_constant_is_no_covariance() -> None:
    pool, x = made(kind="covariance", components=2), drawn(2, *SHAPE)
    assert torch.allclose(pool(x + drawn(1, 1, 4, 6, seed=1)), pool(x), atol=1e-4)


def test_the_length_of_a_vector_is_that_of_the_matrix() -> None:
    pool, x = made(kind="covariance"), drawn(2, *SHAPE)
    z = x.double() - x.double().mean(1, keepdim=True)
    z = rearrange(z, "b p n d -> b n (p d)")
    log = matrix_log(shrunk(z @ z.mT / z.shape[-1], 0.1))
    assert torch.allclose(pool(x).norm(dim=1).double(), log.norm(dim=(1, 2)), rtol=1e-5)


def test_the_logarithm_undoes_the_exponential_and_has_the_right_gradient() -> None:
    a = drawn(3, 4, 4).double()
    symmetric = (a + a.mT) / 2
    assert torch.allclose(matrix_log(torch.linalg.matrix_exp(symmetric)), symmetric, atol=1e-8)
    spd = (a @ a.mT + torch.eye(4)).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: matrix_log((m + m.mT) / 2), spd)


def test_the_gradient_is_finite_where_directions_are_equal() -> None:
    equal = torch.eye(4, dtype=torch.float64).requires_grad_()
    matrix_log(equal).sum().backward()
    assert torch.allclose(equal.grad, torch.ones(4, 4, dtype=torch.float64))


@pytest.mark.parametrize("kind", SIZES)
def test_dead_features_and_a_single_frame_have_finite_gradients(kind) -> None:
    torch.manual_seed(0)
    pool = Pooling(PoolingConfig(kind=kind, components=2), FeatureShape(1, 4, 6))
    x = torch.zeros(2, 1, 4, 6, requires_grad=True)
    found = pool(x)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in pool.parameters())


@pytest.mark.parametrize(
    ("settings", "learned"),
    [
        ({"kind": "moments"}, False),
        ({"kind": "power", "filters": 0}, False),
        ({"kind": "power"}, True),
        ({"kind": "covariance"}, False),
        ({"kind": "covariance", "components": 2}, True),
        ({"kind": "attention"}, True),
    ],
)
def test_it_says_whether_it_learns_and_the_gradient_reaches_all_of_it(settings, learned) -> None:
    pool = made(**settings)
    assert pool.learned is learned
    pool(drawn(3, *SHAPE).requires_grad_()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in pool.parameters())


@pytest.mark.parametrize("kind", ["power", "covariance", "attention"])
def test_in_half_precision_nothing_overflows(kind) -> None:
    pool = made(kind=kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(pool(100 * drawn(3, *SHAPE))).all()


def rhythm(n, seed, *, coupled):
    """Trials of rhythms of random phase in two sources: the same one, or two of their own."""
    g = torch.Generator().manual_seed(seed)
    phase = 2 * math.pi * torch.rand(n, 1, generator=g)
    wave = torch.sin(2 * math.pi * 0.23 * torch.arange(20) + phase)
    other = torch.sin(2 * math.pi * 0.38 * torch.arange(20) + 9 * phase)
    x = 0.3 * torch.randn(n, 20, 4, 6, generator=g)
    x[..., 0, 2] += wave
    x[..., 1, 2] += wave if coupled else other
    return x


@pytest.mark.parametrize(("kind", "least"), [("covariance", 0.95), ("mean", 0.0)])
def test_sources_that_go_together_are_readable_from_the_covariance_not_from_the_mean(
    kind, least
) -> None:
    from sklearn.linear_model import RidgeClassifier

    pool = Pooling(PoolingConfig(kind=kind), FeatureShape(20, 4, 6))
    parts = [pool(rhythm(100, k, coupled=bool(k % 2))) for k in range(4)]
    labels = torch.tensor([0, 1]).repeat_interleave(100)
    model = RidgeClassifier().fit(torch.cat(parts[:2]), labels)
    score = model.score(torch.cat(parts[2:]), labels)
    assert score > least
    if not least:
        assert score < 0.65


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "max"}, "kind"),
        ({"kind": "power", "taps": 2}, "taps"),
        ({"filters": -1}, "filters"),
        ({"shrinkage": 0.0}, "shrinkage"),
        ({"queries": 0}, "queries"),
    ],
)
def test_settings_that_cannot_be(settings, words) -> None:
    with pytest.raises(ValueError, match=words):
        PoolingConfig(**settings)
