"""The bundled networks: small, whole, and better than chance at what they were trained for."""

import pytest
import torch
import torch.nn.functional as F

from brainfm.drawn_pictures import KINDS, SEEN, UNSEEN, draw_pictures
from brainfm.network_features import check_layers
from brainfm.small_image_networks import (
    N_KINDS,
    SMALL_INPUT,
    SMALL_LAYERS,
    WEIGHTS,
    SmallGenerator,
    load_small_networks,
    save_small_networks,
)


def test_they_are_small_and_load_without_gradients():
    assert WEIGHTS.stat().st_size < 1_000_000
    generator, network = load_small_networks()
    check_layers(network, SMALL_LAYERS)
    for module in (generator, network):
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())
    images = generator(torch.zeros(2, *SmallGenerator.latent_shape))
    assert images.shape == (2, 3, 64, 64)
    assert 0 <= images.min() <= images.max() <= 1
    assert network(SMALL_INPUT.prepared(images)).shape == (2, N_KINDS)


def test_kinds_of_new_drawings_are_told_apart():
    _, network = load_small_networks()
    images, kinds = draw_pictures(140, generator=torch.Generator().manual_seed(9))
    scores = network(SMALL_INPUT.prepared(images))
    # Seven kinds of drawings among fourteen: chance is at most one seventh.
    assert (scores.argmax(1) == kinds).float().mean() > 0.4


def test_weights_come_back_as_they_were_written(tmp_path):
    generator, network = load_small_networks()
    save_small_networks(tmp_path / "w.safetensors", generator, network)
    assert (tmp_path / "w.safetensors").read_bytes() == WEIGHTS.read_bytes()
    with pytest.raises(FileNotFoundError, match="weights of the small image networks are not"):
        load_small_networks(tmp_path / "none.safetensors")


def test_drawings_repeat_by_seed_and_hold_what_was_asked():
    def draw(seed, **settings):
        return draw_pictures(20, generator=torch.Generator().manual_seed(seed), **settings)

    one, again, other = draw(1), draw(1), draw(2)
    assert torch.equal(one[0], again[0])
    assert not torch.equal(one[0], other[0])
    images, kinds = draw(3, kinds=UNSEEN, pixels=32)
    assert images.shape == (20, 3, 32, 32)
    assert 0 <= images.min() <= images.max() <= 1
    assert set(kinds.tolist()) == {0, 1, 2}
    assert set(SEEN) | set(UNSEEN) == set(KINDS)
    assert not set(SEEN) & set(UNSEEN)
    with pytest.raises(ValueError, match="kinds must be among disc"):
        draw(1, kinds=("house",))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_drawn_inside_and_outside(kind):
    images, _ = draw_pictures(6, kinds=(kind,), generator=torch.Generator().manual_seed(4))
    # An edge: some neighbouring pixels differ far more than the cloudy background does.
    steps = (images[..., 1:] - images[..., :-1]).abs().amax((1, 2, 3))
    smooth = F.avg_pool2d(images, 8)
    assert (steps > 0.05).all()
    assert smooth.std() > 0.05
