"""Varied arrays: what moves, what stays, and how far."""

import dataclasses
import math

import pytest
import torch

from brainfm.augmentation import (
    NO_AUGMENTATION,
    AugmentationConfig,
    augment,
    outside_region,
    place_jitter,
    random_rotations,
    random_subset,
    rotate,
    rotation_matrices,
)
from brainfm.batches import Batch


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_batch(n=4, n_channels=10, n_padded=2, seed=0):
    gen = generator(seed)
    unit = torch.nn.functional.normalize
    mask = torch.ones(n, n_channels, dtype=torch.bool)
    mask[:, n_channels - n_padded :] = False
    real = mask[..., None]
    return Batch(
        x=torch.randn(n, n_channels, 16, generator=gen) * real,
        positions=0.09 * unit(torch.randn(n, n_channels, 3, generator=gen), dim=-1) * real,
        orientations=unit(torch.randn(n, n_channels, 3, generator=gen), dim=-1) * real,
        types=torch.ones(n, n_channels, dtype=torch.int64),
        mask=mask,
        scale=torch.ones(n, n_channels),
        lowpass=torch.full((n,), 96.0),
        recording=torch.arange(n),
        start=torch.zeros(n, dtype=torch.int64),
    )


EVERYTHING = AugmentationConfig(
    rotation_deg=10,
    shift_m=0.005,
    jitter_m=0.003,
    drop_channels=0.5,
    region_probability=0.5,
    region_m=0.06,
)


def test_off_means_untouched():
    batch = make_batch()
    found = augment(batch, NO_AUGMENTATION, generator=generator())
    assert all(a is b for a, b in zip(found, batch, strict=True))


def test_the_generator_decides_and_the_batch_stays():
    batch, before = make_batch(), make_batch()
    a, b, c = (augment(batch, EVERYTHING, generator=generator(seed)) for seed in (1, 1, 2))
    for one, two in zip(a, b, strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(a.positions, c.positions)
    for one, two in zip(batch, before, strict=True):
        assert torch.equal(one, two)


def test_padding_stays_padding():
    batch = make_batch()
    found = augment(batch, EVERYTHING, generator=generator())
    assert not (found.mask & ~batch.mask).any()
    assert found.mask.any(1).all()
    assert not found.x[~found.mask].any()
    assert not found.positions[~batch.mask].any()
    assert not found.orientations[~batch.mask].any()
    assert torch.equal(found.x[found.mask], batch.x[found.mask])


def test_a_quarter_turn_about_the_vertical():
    """From right (x) to front (y)."""
    turn = rotation_matrices(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([math.pi / 2]))
    batch = make_batch(n=1, n_channels=1, n_padded=0)
    batch = batch._replace(
        positions=torch.tensor([[[0.08, 0.0, 0.02]]]), orientations=torch.tensor([[[1.0, 0, 0]]])
    )
    found = rotate(batch, turn)
    torch.testing.assert_close(found.positions, torch.tensor([[[0.0, 0.08, 0.02]]]))
    torch.testing.assert_close(found.orientations, torch.tensor([[[0.0, 1.0, 0.0]]]))


def test_positions_and_orientations_turn_together():
    batch = make_batch()
    cfg = AugmentationConfig(rotation_deg=20)
    found = augment(batch, cfg, generator=generator())
    assert not torch.allclose(found.positions, batch.positions, atol=1e-4)

    def angles(b):
        return torch.einsum("bci,bdi->bcd", b.positions, b.orientations)

    torch.testing.assert_close(angles(found), angles(batch), atol=1e-6, rtol=0)
    apart = torch.cdist(batch.positions, batch.positions)
    torch.testing.assert_close(
        torch.cdist(found.positions, found.positions), apart, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(found.positions.norm(dim=-1), batch.positions.norm(dim=-1))


def test_rotations_have_the_size_that_was_asked_for():
    turns = random_rotations(20000, 10.0, generator=generator())
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(20000), atol=1e-4, rtol=0)
    trace = turns.diagonal(dim1=1, dim2=2).sum(1)
    degrees = ((trace - 1) / 2).clamp(-1, 1).acos().rad2deg()
    # Standard error of a root mean square of 20,000: 10 / sqrt(40,000) = .05.
    assert degrees.square().mean().sqrt().item() == pytest.approx(10.0, abs=0.3)


def test_sensors_at_one_place_move_together():
    positions = torch.rand(3, 5, 3)
    positions[:, 4] = positions[:, 1]
    offsets = place_jitter(positions, 0.004, generator=generator())
    assert torch.equal(offsets[:, 4], offsets[:, 1])
    assert not torch.equal(offsets[:, 0], offsets[:, 1])
    many = place_jitter(torch.rand(50, 200, 3), 0.004, generator=generator())
    assert many.std().item() == pytest.approx(0.004, rel=0.03)


def test_the_whole_array_shifts():
    batch = make_batch()
    found = augment(batch, AugmentationConfig(shift_m=0.01), generator=generator())
    moved = found.positions - batch.positions
    first = moved[:, :1].expand(-1, 8, -1)
    torch.testing.assert_close(moved[:, :8], first, atol=1e-6, rtol=0)
    assert len({round(v, 6) for v in first[:, 0, 0].tolist()}) == 4  # every sample its own


def test_subsets_lose_up_to_a_share():
    mask = torch.ones(4000, 10, dtype=torch.bool)
    mask[::2, 5:] = False
    keep = random_subset(mask, 0.6, generator=generator())
    assert not (keep & ~mask).any()
    lost = (mask.sum(1) - keep.sum(1))[1::2]
    # floor(10 u), u uniform below .6: 0 to 5 alike, mean 2.5, standard error .04.
    assert sorted(set(lost.tolist())) == [0, 1, 2, 3, 4, 5]
    assert lost.float().mean().item() == pytest.approx(2.5, abs=0.15)
    assert keep.any(1).all()


def test_a_region_is_a_ball_around_a_sensor():
    """Sensors 2 cm apart on a line; a radius of 3 cm takes one sensor and its neighbours."""
    positions = torch.zeros(300, 7, 3)
    positions[..., 0] = 0.02 * torch.arange(7)
    mask = torch.ones(300, 7, dtype=torch.bool)
    keep = outside_region(positions, mask, 0.03, generator=generator())
    allowed = {tuple(abs(k - centre) > 1 for k in range(7)) for centre in range(7)}
    assert {tuple(row) for row in keep.tolist()} == allowed
    mask[:, 3:] = False  # centres are never padding
    keep = outside_region(positions, mask, 0.01, generator=generator())
    assert (keep.sum(1) == 2).all()


def test_a_region_that_holds_everything_drops_nothing():
    positions, mask = torch.rand(5, 4, 3), torch.ones(5, 4, dtype=torch.bool)
    assert torch.equal(outside_region(positions, mask, 9.0, generator=generator()), mask)


def test_regions_come_with_their_probability():
    batch = make_batch(n=2000)
    cfg = AugmentationConfig(region_probability=0.3, region_m=0.001)
    found = augment(batch, cfg, generator=generator())
    hit = (found.mask.sum(1) < batch.mask.sum(1)).float().mean().item()
    assert hit == pytest.approx(0.3, abs=0.05)  # five standard errors


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rotation_deg", -1.0, "rotation_deg must be at least 0"),
        ("jitter_m", math.nan, "jitter_m must be at least 0"),
        ("drop_channels", 1.0, r"drop_channels must lie in \[0, 1\), got 1.0"),
        ("region_probability", 1.5, "region_probability must lie in"),
    ],
)
def test_impossible_settings(field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(NO_AUGMENTATION, **{field: value})
