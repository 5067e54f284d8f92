"""The code that learned nothing: bits as asked for, filled bins, what survives."""

import numpy as np
import pytest

from brainfm.quantile_tokenizer import (
    QuantileConfig,
    QuantileTokenizer,
    lengthen,
    quantile_reconstruction,
    shorten,
)


def noise(n_channels=3, n_times=1024, seed=0):
    return np.random.default_rng(seed).normal(size=(n_channels, n_times)).astype(np.float32)


def cosine(frequency, n_times=512, sfreq=256.0):
    """Return a cosine of the transform itself: half-sample symmetric at both ends."""
    t = (np.arange(n_times) + 0.5) / sfreq
    return np.cos(2 * np.pi * frequency * t).astype(np.float32)[None]


def test_bits_are_spent_as_asked():
    """36 bit/s over 2 s are 72 bits: 36 samples of 2 bits, 24 of 3."""
    for bits, n_kept in ((2, 36), (3, 24)):
        cfg = QuantileConfig(bits_per_second=36, bits_per_sample=bits)
        codes = QuantileTokenizer.of([noise(n_times=512)], 256.0, cfg).encode(noise(n_times=512))
        assert codes.shape == (3, n_kept)
        assert codes.max() == cfg.levels - 1


def test_bins_are_filled_equally_in_every_channel_whatever_its_unit():
    x = noise() * np.array([[1e-6], [1.0], [1e3]], dtype=np.float32)
    cfg = QuantileConfig(bits_per_second=512, bits_per_sample=2)
    codes = QuantileTokenizer.of([x], 256.0, cfg).encode(x)
    assert codes.shape == (3, 1024)
    for row in codes:
        np.testing.assert_allclose(np.bincount(row, minlength=4), 256, atol=1)


def test_values_lie_at_the_middle_quantile_of_their_bin():
    """Of 0 ... 99 in four bins: borders at .25, .5, .75 of 99, values at .125, .375, ..."""
    x = np.arange(100, dtype=np.float32)[None]
    cfg = QuantileConfig(bits_per_second=2 * 256, bits_per_sample=2)
    coder = QuantileTokenizer.of([x], 256.0, cfg)
    np.testing.assert_allclose(coder.edges, [[24.75, 49.5, 74.25]], rtol=1e-5)
    np.testing.assert_allclose(coder.values, [[12.375, 37.125, 61.875, 86.625]], rtol=1e-5)


def test_slow_waves_survive_resampling_and_fast_ones_do_not():
    """64 of 512 samples carry what lies below 256 / 512 * 64 / 2 = 16 Hz, and only that."""
    kept = lengthen(shorten(cosine(5.0), 64), 512)
    np.testing.assert_allclose(kept, cosine(5.0), atol=1e-5)
    np.testing.assert_allclose(shorten(cosine(20.0), 64), 0, atol=1e-5)


def test_more_bits_leave_less_error():
    x = noise(n_times=2048)
    errors = [
        np.square(quantile_reconstruction([x], 256.0, bits_per_second=rate)[0] - x).mean()
        for rate in (300, 1200, 3072)
    ]
    assert 1 > errors[0] > errors[1] > errors[2]


def test_gain_does_not_matter():
    x = noise()
    one, large = (
        quantile_reconstruction([gain * x], 256.0, bits_per_second=600)[0] for gain in (1, 1024)
    )
    np.testing.assert_allclose(large, 1024 * one, rtol=1e-4, atol=1e-3)


def test_pieces_share_the_bins_of_their_recording():
    quiet, loud = 0.01 * noise(1, 512), noise(1, 512, seed=1)
    back = quantile_reconstruction([quiet, loud], 256.0, bits_per_second=256, bits_per_sample=1)
    assert [x.shape for x in back] == [(1, 512), (1, 512)]
    levels = [np.unique(np.abs(shorten(x, 512)).round(4)) for x in back]
    assert np.intersect1d(*levels).size


def test_too_few_bits_give_silence():
    """One bit for two channels in one second is half a sample each."""
    x = noise(2, 256)
    (back,) = quantile_reconstruction([x], 256.0, bits_per_second=1)
    assert not back.any()
    assert quantile_reconstruction([], 256.0, bits_per_second=1) == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits_per_second": 0}, "bits_per_second must be positive, got 0"),
        ({"bits_per_second": 1, "bits_per_sample": 0}, "bits_per_sample must lie in"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        QuantileConfig(**settings)
