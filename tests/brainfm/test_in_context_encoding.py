"""Weights from a few pairs: a set decides, training on other voxels helps, many pairs are ridge."""

import numpy as np
import pytest
import torch

from brainfm.encoding_models import column_correlations
from brainfm.in_context_encoding import InContextConfig, InContextEncoder, train_in_context
from brainfm.ridge import PENALTIES, RidgeConfig, fit_ridge
from brainfm.synthetic_voxels import VoxelFamily

SMALL = InContextConfig(n_features=12, width=32, depth=1, steps=250, voxels=32, most_shots=40)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def drawn(family, n, n_voxels, seed):
    g = seeded(seed)
    x = family.stimuli(n, generator=g)
    return x, family.responses(x, family.weights(n_voxels, generator=g), generator=g)


@pytest.fixture(scope="module")
def untrained():
    model = InContextEncoder(SMALL).eval()
    # A new network guesses zero for all; make it say something of what it reads.
    g = seeded(0)
    for value in model.out.parameters():
        value.data = 0.3 * torch.randn(value.shape, generator=g)
    model.mean.fill_(0.5)
    model.size.fill_(2.0)
    return model


@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_the_order_of_pairs_does_not_count_and_any_number_will_do(n, untrained):
    x, y = drawn(VoxelFamily(n_features=12), n, 5, seed=n)
    order = torch.randperm(n, generator=seeded(1))
    one, other = untrained.weights(x, y), untrained.weights(x[order], y[order])
    assert one[0].shape == (12, 5)
    for a, b in zip(one, other, strict=True):
        assert torch.isfinite(a).all()
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_voxels_do_not_see_each_other(untrained):
    x, y = drawn(VoxelFamily(n_features=12), 9, 6, seed=0)
    alone = untrained.predict(x, y[:, 2:3], x)
    torch.testing.assert_close(untrained.predict(x, y, x)[:, 2:3], alone, atol=1e-5, rtol=1e-5)


def test_twice_the_pairs_are_no_single_ones(untrained):
    x, y = drawn(VoxelFamily(n_features=12), 6, 3, seed=0)
    once, twice = untrained.predict(x, y, x), untrained.predict(x.repeat(2, 1), y.repeat(2, 1), x)
    assert (once - twice).abs().max() > 1e-2


def test_many_pairs_decide_by_themselves_whatever_the_guess(untrained):
    gaps = []
    for n in (100, 1600):
        x, y = drawn(VoxelFamily(n_features=12, noise=0.5), n, 4, seed=3)
        x = 6 * x  # large beside the network's own unit, so that pairs outweigh its trust
        least = torch.linalg.lstsq(torch.cat([x, torch.ones(n, 1)], 1), y).solution
        weights, intercept = untrained.weights(x, y)
        gaps.append(float((torch.cat([weights, intercept[None]]) - least).abs().max()))
    # What the guess adds falls as 1 / n, but that it depends a little on n itself.
    assert gaps[1] < gaps[0] / 4


def test_a_file_gives_the_same_network_back_and_others_are_refused(untrained, tmp_path):
    path = tmp_path / "encoder.safetensors"
    untrained.save(path)
    x, y = drawn(VoxelFamily(n_features=12), 9, 6, seed=0)
    same = InContextEncoder.load(path)
    assert same.config == SMALL
    assert torch.equal(same.predict(x, y, x), untrained.predict(x, y, x))
    with pytest.raises(FileNotFoundError, match="no in-context encoder"):
        InContextEncoder.load(tmp_path / "other")
    (tmp_path / "text").write_text("not tensors")
    with pytest.raises(ValueError, match="no safetensors file"):
        InContextEncoder.load(tmp_path / "text")


def test_what_does_not_fit_is_named(untrained):
    x, y = drawn(VoxelFamily(n_features=12), 9, 6, seed=0)
    with pytest.raises(ValueError, match="trained for 12 features, got 11"):
        untrained.weights(x[:, :11], y)
    with pytest.raises(ValueError, match="same 1 or more trials"):
        untrained.weights(x, y[:4])
    with pytest.raises(ValueError, match="not finite"):
        untrained.weights(x, y * torch.nan)
    with pytest.raises(ValueError, match="104 trials or more"):
        train_in_context(x, y, SMALL, generator=seeded(0))
    with pytest.raises(ValueError, match="multiple of heads"):
        InContextConfig(n_features=3, width=10)
    with pytest.raises(ValueError, match="likeness"):
        VoxelFamily(likeness=2.0)


def test_voxels_of_a_family_are_alike_and_have_their_noise():
    family = VoxelFamily(n_features=6, n_kinds=2, likeness=1.0, noise=2.0)
    g = seeded(0)
    weights = family.weights(30, generator=g)
    assert len({tuple(w.tolist()) for w in weights.T}) == 2
    x = family.stimuli(20_000, generator=g)
    y = family.responses(x, weights, generator=g)
    assert y.std() == pytest.approx(1.0, abs=0.02)
    explained = 1 - (y - x @ torch.linalg.lstsq(x, y).solution).var(0) / y.var(0)
    np.testing.assert_allclose(explained, 1 / (1 + 2.0**2), atol=0.02)


@pytest.fixture(scope="module")
def trained():
    x, y = drawn(VoxelFamily(n_features=12), 300, 200, seed=0)
    return train_in_context(x, y, SMALL, generator=seeded(1))


def held_out_r(predict, family, n, seed=9):
    """Return the mean r of 60 new voxels, and of ridge at its best fixed penalty."""
    x, y = drawn(family, n + 300, 60, seed)
    r = [column_correlations(p.double().numpy(), y[n:].double().numpy()).mean() for p in (
        predict(x[:n], y[:n], x[n:]),
        *(fit_ridge(x[:n], y[:n], RidgeConfig(penalties=(p,))).predict(x[n:]) for p in PENALTIES),
    )]  # fmt: skip
    return r[0], max(r[1:])


@pytest.mark.slow
def test_few_pairs_beat_ridge_many_equal_it_and_noise_has_nothing(trained):
    family = VoxelFamily(n_features=12)
    few, ridge = held_out_r(trained.predict, family, 5)
    assert few > ridge + 0.08
    many, ridge = held_out_r(trained.predict, family, 400)
    assert many == pytest.approx(ridge, abs=0.01)
    nothing, _ = held_out_r(trained.predict, VoxelFamily(n_features=12, noise=float("inf")), 20)
    # 60 correlations of 300 trials; guesses of voxels are alike, so that they are not independent.
    assert abs(nothing) < 4 / np.sqrt(300)


@pytest.mark.slow
def test_training_on_shuffled_pairs_gives_no_head_start():
    x, y = drawn(VoxelFamily(n_features=12), 300, 200, seed=0)
    shuffled = y[torch.randperm(300, generator=seeded(2))]
    model = train_in_context(x, shuffled, SMALL, generator=seeded(1))
    few, ridge = held_out_r(model.predict, VoxelFamily(n_features=12), 5)
    assert few < ridge + 0.03
