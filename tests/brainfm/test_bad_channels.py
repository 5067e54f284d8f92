"""Bad channels, mains hum and the scale, each from its own small piece of evidence."""

import numpy as np
import pytest

from brainfm.bad_channels import spectrum, spectrum_outliers, spoiled_channels, spread_segments
from brainfm.line_noise import detect_line, harmonics
from brainfm.quality import Quality
from brainfm.scaling import channel_spread, to_half, type_scales

SFREQ = 250.0


def spectra(x):
    return spectrum(lambda start, stop: x[:, start:stop], x.shape[1], SFREQ)


def white(n_channels, seconds=40, seed=0):
    return np.random.default_rng(seed).standard_normal((n_channels, int(seconds * SFREQ)))


def test_segments_are_disjoint_and_spread():
    assert spread_segments(1000, 3, 100) == [(0, 100), (450, 550), (900, 1000)]
    assert spread_segments(250, 5, 100) == [(0, 100), (150, 250)]
    assert spread_segments(90, 5, 100) == [(0, 90)]
    assert spread_segments(150, 5, 100) == [(0, 150)]


def test_outliers_are_judged_within_their_kind():
    x = white(24)
    x[3] *= 30
    x[15] *= 1e-2
    types = np.array(["eeg"] * 12 + ["mag"] * 12)
    x[types == "mag"] *= 1e-9
    usable = np.ones(24, bool)
    found = spectrum_outliers(*spectra(x), types, usable, line=None, threshold=6.0)
    assert np.flatnonzero(found).tolist() == [3, 15]
    few = spectrum_outliers(*spectra(x[:6]), types[:6], usable[:6], line=None, threshold=6.0)
    assert not few.any()


def test_a_pause_of_all_channels_is_nobodys_fault():
    flags = np.zeros((3, 10), dtype=np.uint8)
    flags[:, 4:] = Quality.NAN
    assert not spoiled_channels(flags, 0.3).any()
    flags[1, :2] = Quality.FLAT
    assert spoiled_channels(flags, 0.3).tolist() == [False, True, False]


@pytest.mark.parametrize(("hz", "expected"), [(50.0, 50.0), (60.0, 60.0), (55.0, None)])
def test_hum_is_told_from_other_tones(hz, expected):
    x = white(4)
    x += 2 * np.sin(2 * np.pi * hz * np.arange(x.shape[1]) / SFREQ)
    assert detect_line(*spectra(x), np.array(["eeg"] * 4)) == expected


def test_hum_of_one_kind_of_sensor_is_enough():
    x = white(12)
    x[8:] += 2 * np.sin(2 * np.pi * 60 * np.arange(x.shape[1]) / SFREQ)
    assert detect_line(*spectra(x), np.array(["eeg"] * 8 + ["mag"] * 4)) == 60.0


def test_harmonics_below_the_stop_band():
    assert harmonics(50.0, 120.0) == (50.0, 100.0)
    assert harmonics(60.0, 120.0) == (60.0,)
    assert harmonics(50.0, 50.0) == ()
    assert harmonics(None, 120.0) == ()


def test_spread_ignores_outliers_and_what_is_missing():
    x = white(3, seconds=400)
    x[0, :1000] = 1e6
    missing = np.zeros(x.shape, bool)
    missing[1, : x.shape[1] // 2] = True
    x[1, missing[1]] = 0
    spread = channel_spread([(x[:, :5000], missing[:, :5000]), (x[:, 5000:], missing[:, 5000:])])
    np.testing.assert_allclose(spread, 1.0, atol=0.03)


def test_scales_are_medians_over_good_channels():
    types = np.array(["eeg"] * 4 + ["mag"])
    spread = np.array([1.0, 2.0, 30.0, 3.0, 5e-13])
    good = np.array([True, True, False, True, True])
    assert type_scales(spread, good, types) == {"eeg": 2.0, "mag": 5e-13}
    assert type_scales(spread * 0, good, types) == {"eeg": 1.0, "mag": 1.0}


def test_half_precision_is_clipped():
    out = to_half(np.array([[1.0, -3.0, 100.0]]), np.array([2.0]), 20.0)
    assert out.dtype == np.float16
    assert out.tolist() == [[0.5, -1.5, 20.0]]
