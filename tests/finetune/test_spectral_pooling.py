"""Spectra, covariances of bands and courses of sources that are waveforms made by hand."""

import math

import pytest
import torch
from brainfm.finetune.backbone import FeatureShape
from brainfm.finetune.course_pooling import CoursePooling
from brainfm.finetune.pooling import Pooling, PoolingConfig
from brainfm.finetune.spectral_pooling import BandCovariance, CanonicalSpectrum, bins_of
from torch import Tensor

SHAPE = FeatureShape(frames=8, sources=3, width=16)
N_TIMES = 128
BAND = (1 / 32, 1 / 2)
"""Frequencies 2 to 31 of 64."""


def frames_of(x: Tensor) -> Tensor:
    """Return waveforms (B, N, T) as features (B, P, N, D)."""
    return x.reshape(len(x), x.shape[1], SHAPE.frames, SHAPE.width).transpose(1, 2)


def sinusoid(k: int, phase: float) -> Tensor:
    return torch.sin(2 * math.pi * k * torch.arange(N_TIMES) / N_TIMES + phase)


def noise(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, N_TIMES, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("phase", [0.0, 1.0, 2.5])
def test_a_sinusoid_that_one_mixture_of_sources_holds_is_found_whole(phase):
    # Hidden in noise that both sources share: their difference is the sinusoid alone.
    x = noise(1)
    x[:, 1] = x[:, 0] + 0.1 * sinusoid(9, phase)
    found = CanonicalSpectrum(SHAPE, BAND, shrinkage=1e-6)(frames_of(x))[0]
    first, _ = bins_of(BAND, N_TIMES)
    assert found.argmax() == 9 - first
    assert found.max() == pytest.approx(1.0, abs=0.01)


def test_correlations_are_shares_of_each_frequency_in_a_source():
    # Amplitudes 3 and 4: correlations .6 and .8, 0 elsewhere, whatever the gain.
    x = torch.zeros(1, 3, N_TIMES)
    x[0, 0] = 7 * (3 * sinusoid(5, 0.3) + 4 * sinusoid(20, 1.1))
    found = CanonicalSpectrum(SHAPE, BAND, shrinkage=1e-9)(frames_of(x))[0]
    first, _ = bins_of(BAND, N_TIMES)
    assert found[5 - first] == pytest.approx(0.6, abs=1e-3)
    assert found[20 - first] == pytest.approx(0.8, abs=1e-3)
    found[[5 - first, 20 - first]] = 0
    assert found.max() < 0.01


def test_mixing_the_sources_changes_no_correlation():
    x = noise(4)
    mixing = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5], [3.0, 0.0, 1.0]])
    pool = CanonicalSpectrum(SHAPE, BAND, shrinkage=1e-9)
    torch.testing.assert_close(pool(frames_of(mixing @ x)), pool(frames_of(x)), atol=1e-4, rtol=0)


def test_what_lies_outside_of_the_band_changes_nothing():
    x = noise(2)
    slow_and_fast = 50 * sinusoid(1, 0.2) + 30 * sinusoid(50, 0.4)
    for pool in (
        CanonicalSpectrum(SHAPE, BAND, shrinkage=0.01),
        BandCovariance(SHAPE, ((1 / 16, 1 / 4),), shrinkage=0.01),
    ):
        torch.testing.assert_close(
            pool(frames_of(x + slow_and_fast)), pool(frames_of(x)), atol=1e-3, rtol=0
        )


def test_band_covariance_is_the_logarithm_of_power():
    # Sources without correlation: the diagonal is log power (amplitude 2: power 2), the rest 0.
    x = torch.stack([2 * sinusoid(10, 0.0), 2 * sinusoid(11, 0.0), 2 * sinusoid(12, 0.0)])[None]
    found = BandCovariance(SHAPE, ((1 / 8, 1 / 4),), shrinkage=1e-9)(frames_of(x))[0]
    expected = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 1.0]) * math.log(2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_each_band_has_a_covariance_of_its_own():
    bands = ((1 / 16, 1 / 8), (1 / 8, 1 / 4))
    x = frames_of(noise(2))
    both = BandCovariance(SHAPE, bands, shrinkage=0.1)
    each = [BandCovariance(SHAPE, (band,), shrinkage=0.1)(x) for band in bands]
    assert both.n_features == 12
    torch.testing.assert_close(both(x), torch.cat(each, dim=1))


def test_course_is_the_mean_of_each_stretch():
    x = torch.arange(N_TIMES).float().repeat(1, 3, 1)
    found = CoursePooling(SHAPE, 4)(frames_of(x)).reshape(3, 4)
    # Of 0 to 31, 32 to 63 and so on.
    assert found[1].tolist() == [15.5, 47.5, 79.5, 111.5]


@pytest.mark.parametrize("kind", ["spectrum", "bands", "course"])
def test_gradient_is_finite_also_without_signal(kind):
    pool = Pooling(PoolingConfig(kind=kind), SHAPE)
    for x in (noise(2), torch.zeros(2, 3, N_TIMES)):
        features = frames_of(x).clone().requires_grad_()
        found = pool(features)
        assert found.shape == (2, pool.n_features)
        found.square().sum().backward()
        assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "bands", "bands": ((0.2, 0.1),)}, "begin < end"),
        ({"kind": "flat", "bands": ((0.1, 0.2),)}, "do not belong"),
        ({"kind": "spectrum", "bands": ((0.1, 0.2), (0.2, 0.3))}, "one band"),
        ({"kind": "course", "stretches": 0}, "stretches must be at least 1"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        PoolingConfig(**settings)


def test_a_band_without_a_frequency_and_a_trial_without_samples_enough():
    with pytest.raises(ValueError, match="holds no frequency"):
        CanonicalSpectrum(SHAPE, (0.501, 0.502), shrinkage=0.1)
    with pytest.raises(ValueError, match="128 samples has no 129 stretches"):
        CoursePooling(SHAPE, 129)
