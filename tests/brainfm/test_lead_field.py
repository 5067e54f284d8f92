"""Sensors as mixtures of sources: the inverse by another formula, and what it may depend on."""

import pytest
import torch

from brainfm.lead_field import LeadField


@pytest.fixture
def field():
    torch.manual_seed(0)
    layer = LeadField(32, 4)
    torch.nn.init.normal_(layer.precision.weight, std=0.2)
    return layer.requires_grad_(False)


def array(n_sensors, seed=0):
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(2, n_sensors, 32, generator=generator)
    x = torch.randn(2, n_sensors, 50, generator=generator)
    return x, embedding, torch.ones(2, n_sensors, dtype=torch.bool)


@pytest.mark.parametrize("n_sensors", [1, 3, 4, 20])
def test_sources_are_the_most_probable_ones(field, n_sensors):
    """The same estimate through the covariance of the sensors: ``G' (G G' + R)^-1 x``."""
    x, embedding, mask = array(n_sensors)
    g, precision = (value.double() for value in field(embedding))
    noise = torch.diag_embed(1 / precision.squeeze(-1))
    covariance = g @ g.transpose(1, 2) + noise
    expected = g.transpose(1, 2) @ torch.linalg.solve(covariance, x.double())
    torch.testing.assert_close(
        field.gather(x, embedding, mask).double(), expected, atol=1e-5, rtol=1e-4
    )


def test_sources_of_a_large_array_come_back(field):
    """Many sensors leave little doubt."""
    _, embedding, mask = array(500)
    sources = torch.randn(2, 4, 50, generator=torch.Generator().manual_seed(1))
    found = field.gather(field.spread(sources, embedding), embedding, mask)
    assert (found - sources).abs().max() < 0.05
    one = field.gather(field.spread(sources, embedding)[:, :1], embedding[:, :1], mask[:, :1])
    assert one.square().mean() < 0.6 * sources.square().mean()  # one sensor: mostly the prior, zero


def test_amplitude_passes(field):
    x, embedding, mask = array(10)
    gain = 2.0**10  # exact in floating point
    torch.testing.assert_close(
        field.gather(gain * x, embedding, mask), gain * field.gather(x, embedding, mask)
    )


@pytest.mark.parametrize("filling", [1e6, float("nan"), float("inf")])
def test_unseen_sensors_do_not_matter(field, filling):
    x, embedding, mask = array(10)
    seen = mask.clone()
    seen[:, 7:] = False
    broken = x.clone()
    broken[:, 7:] = filling
    torch.testing.assert_close(
        field.gather(broken, embedding, seen),
        field.gather(x[:, :7], embedding[:, :7], mask[:, :7]),
    )


def test_everything_is_float32_under_autocast(field):
    x, embedding, mask = array(10)
    expected = field.gather(x, embedding, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = field.gather(x.bfloat16().float(), embedding, mask)
        assert field.spread(found, embedding).dtype == torch.float32
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


def test_weights_are_read_in_the_forward_pass_alone(field):
    """Engines that shard weights bring them back for that time."""
    x, embedding, mask = array(5)
    inside = []
    field.register_forward_pre_hook(lambda *_: inside.append(True))
    field.spread(field.gather(x, embedding, mask), embedding)
    assert len(inside) == 2
    whole = field.queries.data
    field.register_forward_pre_hook(lambda *_: setattr(field.queries, "data", whole))
    field.register_forward_hook(lambda *_: setattr(field.queries, "data", torch.zeros(0)))
    field.queries.data = torch.zeros(0)
    assert field.spread(field.gather(x, embedding, mask), embedding).isfinite().all()
