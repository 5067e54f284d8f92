"""The picture is found whose features were given, in latents and in pixels, within bounds."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from brainfm.image_reconstruction import ReconstructionConfig, reconstruct
from brainfm.image_spaces import LatentSpace, PixelSpace
from brainfm.network_features import ImageInput, image_features

GIVEN = ImageInput(pixels=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
LAYERS = ["conv", "deep"]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.deep = nn.Linear(8 * 36, 20)

    def forward(self, x):
        return self.deep(self.drop(self.relu(self.conv(x)).flatten(1)))


class Painter(nn.Module):
    """Pictures (N, 3, 8, 8) of latents (N, 5)."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3 * 64)

    def forward(self, z):
        return torch.sigmoid(self.linear(z)).reshape(-1, 3, 8, 8)

    def decode(self, z):
        return SimpleNamespace(sample=2 * self(z) - 1)


@pytest.fixture
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network()


@pytest.fixture
def painter():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = Painter()
        nn.init.normal_(made.linear.weight)
        return made


def features_of(network, images):
    return image_features(network, images, LAYERS, given=GIVEN)


def latents(n, seed=0):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed)).clamp(-2, 2)


@pytest.mark.parametrize("method", ["momentum", "lbfgs"])
def test_the_latent_of_the_features_is_found(network, painter, method):
    z = latents(3)
    with torch.no_grad():
        shown = painter(z)
    cfg = ReconstructionConfig(method=method, iterations=200, batch=2)
    features = features_of(network, shown)
    found = reconstruct(features, network, LatentSpace(painter, (5,)), cfg, given=GIVEN)
    assert found.loss.max() < 1e-3
    torch.testing.assert_close(found.images, shown, atol=0.02, rtol=0)
    torch.testing.assert_close(found.points, z, atol=0.1, rtol=0)
    # Dropout was off for it, and is on again.
    assert network.training
    assert network.drop.training


def test_a_generator_may_decode_as_those_of_diffusers_do(network, painter):
    z = latents(2)
    plain = LatentSpace(painter, (5,))
    other = LatentSpace(painter, (5,), method="decode", values=(-1.0, 1.0), scale=2.0)
    torch.testing.assert_close(other.images(2 * z), plain.images(z), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="Painter has no method 'encode'"):
        LatentSpace(painter, (5,), method="encode")
    with pytest.raises(ValueError, match=r"Linear gives \(2, 192\), no pictures"):
        LatentSpace(painter.linear, (5,)).images(z)


@pytest.mark.parametrize("method", ["momentum", "lbfgs"])
def test_points_stay_in_the_space(network, painter, method):
    with torch.no_grad():
        shown = painter(torch.full((1, 5), 3.0))
    space = LatentSpace(painter, (5,), clip=0.5)
    cfg = ReconstructionConfig(method=method, iterations=60)
    found = reconstruct(features_of(network, shown), network, space, cfg, given=GIVEN)
    assert found.points.abs().max() <= 0.5
    assert found.points.abs().max() > 0.49


def test_pixels_come_near_from_the_mean_picture(network):
    g = torch.Generator().manual_seed(0)
    others, shown = (torch.rand(n, 3, 8, 8, generator=g) for n in (6, 2))
    space = PixelSpace(others)
    features = features_of(network, shown)
    cfg = ReconstructionConfig(method="lbfgs", iterations=100)
    steps = []
    found = reconstruct(features, network, space, cfg, given=GIVEN, watch=steps.append)
    begin = others.mean(0)
    # The first step's picture is one step from the mean picture already.
    assert (steps[0].first, steps[0].start, steps[0].iteration) == (0, 0, 0)
    assert found.loss.max() < 0.05 * steps[0].loss.max()
    before, after = ((at - shown).square().mean() for at in (begin, found.images))
    assert after < 0.6 * before
    assert found.images.min() >= 0
    assert found.images.max() <= 1


def test_the_nearest_of_several_starts_counts_and_seeds_repeat_it(network, painter):
    with torch.no_grad():
        features = features_of(network, painter(latents(4)))
    space = LatentSpace(painter, (5,))
    one, more = (
        reconstruct(
            features, network, space, ReconstructionConfig(iterations=5, restarts=n), given=GIVEN
        )
        for n in (1, 4)
    )
    assert (more.loss <= one.loss).all()
    assert (more.loss < one.loss).any()
    again = reconstruct(
        features, network, space, ReconstructionConfig(iterations=5, restarts=4), given=GIVEN
    )
    torch.testing.assert_close(again.images, more.images)
    # Each picture is that of its point.
    torch.testing.assert_close(space.images(more.points), more.images)


def test_a_layer_of_weight_0_has_no_part(network, painter):
    with torch.no_grad():
        features = features_of(network, painter(latents(1)))
    space, weights = LatentSpace(painter, (5,)), {"deep": 0.0}
    cfg = ReconstructionConfig(iterations=10, weights=weights)
    whole = reconstruct(features, network, space, cfg, given=GIVEN)
    alone = reconstruct(
        {"conv": features["conv"]},
        network,
        space,
        ReconstructionConfig(iterations=10),
        given=GIVEN,
    )
    torch.testing.assert_close(whole.images, alone.images)


def test_pictures_of_a_batch_do_not_depend_on_each_other(network, painter):
    with torch.no_grad():
        features = features_of(network, painter(latents(3)))
    space = LatentSpace(painter, (5,))
    found = [
        reconstruct(
            features, network, space, ReconstructionConfig(iterations=20, batch=n), given=GIVEN
        )
        for n in (1, 3)
    ]
    torch.testing.assert_close(found[0].points, found[1].points, atol=1e-4, rtol=1e-4)


def test_progress_is_told_at_the_first_and_last_iteration(network, painter):
    with torch.no_grad():
        features = features_of(network, painter(latents(3)))
    steps = []
    cfg = ReconstructionConfig(iterations=8, every=5, batch=2)
    space = LatentSpace(painter, (5,))
    reconstruct(features, network, space, cfg, given=GIVEN, watch=steps.append)
    told = [(step.first, step.iteration) for step in steps]
    assert told == [(0, 0), (0, 5), (0, 7), (2, 0), (2, 5), (2, 7)]
    assert steps[0].images.shape == (2, 3, 8, 8)
    assert not steps[0].images.requires_grad
    assert (steps[2].loss < steps[0].loss).all()


def test_what_does_not_fit_is_said(network, painter):
    space = LatentSpace(painter, (5,))
    features = features_of(network, torch.rand(2, 3, 8, 8))

    def fails(match, changed, **settings):
        with pytest.raises(ValueError, match=match):
            reconstruct(
                features | changed, network, space, ReconstructionConfig(**settings), given=GIVEN
            )

    fails(r"Network has no layers fc; it has conv", {"fc": torch.ones(2, 3)})
    fails(r"layer deep must be \(2, 20\), got \(2, 19\)", {"deep": torch.ones(2, 19)})
    fails("layer deep are not finite, or all zero", {"deep": torch.zeros(2, 20)})
    fails("layer deep are not finite, or all zero", {"deep": torch.full((2, 20), torch.nan)})
    fails("weights must be of layers conv, deep", {}, weights={"fc": 1.0})
    fails("weights must be of layers conv, deep, one above 0", {}, weights=dict.fromkeys(LAYERS, 0))
    with pytest.raises(ValueError, match="rate must lie in"):
        ReconstructionConfig(rate=0.0)
    with pytest.raises(ValueError, match="method must be momentum or lbfgs"):
        ReconstructionConfig(method="adam")
