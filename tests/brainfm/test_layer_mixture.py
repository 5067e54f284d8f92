"""Mixtures of layers: even at first, of unit length, trained by what uses them."""

import pytest
import torch

from brainfm.layer_mixture import LayerMixture


def layers(n=3, size=1.0):
    return [
        size * torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(k)) for k in range(n)
    ]


def test_all_layers_count_alike_at_first_whatever_their_size():
    unit = [x / x.norm(dim=-1, keepdim=True) for x in layers()]
    mean = torch.stack(unit).mean(0)
    expected = mean / mean.norm(dim=-1, keepdim=True)
    mixture = LayerMixture(3)
    assert mixture.weights.tolist() == pytest.approx([1 / 3] * 3)
    torch.testing.assert_close(mixture(layers()), expected)
    scaled = [x * s for x, s in zip(layers(), (1.0, 100.0, 0.01), strict=True)]
    torch.testing.assert_close(mixture(scaled), expected)


def test_a_task_finds_its_layer():
    mixture = LayerMixture(3)
    target = layers()[1] / layers()[1].norm(dim=-1, keepdim=True)
    optimizer = torch.optim.Adam(mixture.parameters(), lr=0.3)
    for _ in range(30):
        optimizer.zero_grad()
        (mixture(layers()) - target).square().sum().backward()
        optimizer.step()
    assert mixture.weights.argmax() == 1
    assert mixture.weights[1] > 0.9


def test_another_number_of_layers_is_refused():
    with pytest.raises(ValueError, match="3 weights for 2 layers"):
        LayerMixture(3)(layers(2))
