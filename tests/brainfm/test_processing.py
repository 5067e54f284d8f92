"""The standardised signal: what it keeps, what it removes, and what it must not depend on."""

import mne
import numpy as np
import pytest
from known_signals import filtered, make_recording, noise

from brainfm.processing import ProcessingConfig, process


def test_length_and_rate():
    out = process(make_recording(noise(4, 10)))
    assert (out.sfreq, out.n_times) == (256.0, 2560)
    assert out.array().shape == (4, 2560)
    assert out.array().dtype == np.float16
    assert out.quality.shape == (10,)


def test_equals_mne_on_the_whole_recording():
    """Notch, band, rate and reference as MNE computes them one after the other, inside the edges.

    At twice the rate, where every second sample is the resampling without a filter of its own.
    """
    x = noise(5, 120, 512.0)
    ours = filtered(make_recording(x, 512.0, line_freq=50.0))
    y = mne.filter.notch_filter(x, 512.0, [50.0, 100.0], verbose="error")
    y = mne.filter.filter_data(y, 512.0, 0.1, 96.0, verbose="error")[:, ::2]
    y -= y.mean(axis=0)
    inner = slice(30 * 256, 90 * 256)
    difference = np.linalg.norm(ours[:, inner] - y[:, inner]) / np.linalg.norm(y[:, inner])
    assert difference < 1e-4


@pytest.mark.parametrize("sfreq", [90.0, 128.0, 160.0, 250.0, 256.0, 600.614990234375, 1000.0])
def test_does_not_depend_on_the_block_length(sfreq):
    x = noise(3, 70, sfreq)
    x[1, 200:260] = np.nan
    recording = make_recording(x, sfreq, line_freq=60.0)
    whole = filtered(recording, block_s=1000.0)
    size = np.abs(whole).max()
    for block_s in (1.0, 7.3, 30.0):
        blocks = filtered(recording, block_s=block_s)
        assert blocks.shape == whole.shape
        assert np.abs(blocks - whole).max() < 1e-9 * size


def test_half_precision_is_the_same_for_every_block_length():
    recording = make_recording(noise(3, 45), line_freq=50.0)
    whole = process(recording, ProcessingConfig(block_s=1000.0)).array()
    parts = process(recording, ProcessingConfig(block_s=5.0)).array()
    assert (whole != parts).mean() < 1e-5


def test_long_recordings_take_the_way_without_memory(monkeypatch):
    recording = make_recording(noise(3, 200), line_freq=50.0)
    kept = process(recording)
    monkeypatch.setattr("brainfm.signal_chain.KEEP_VALUES", 0)
    monkeypatch.setattr("brainfm.raw_blocks.KEEP_VALUES", 0)
    monkeypatch.setattr("brainfm.raw_blocks.BLOCK_VALUES", 3000)
    computed = process(recording)
    assert computed.scale == pytest.approx(kept.scale, rel=1e-9)
    assert (computed.array() != kept.array()).mean() < 1e-5
    np.testing.assert_array_equal(computed.quality, kept.quality)


@pytest.mark.parametrize("gain", [1e6, 1e-3, -1.0, 1 / 3])
def test_unit_and_gain_do_not_matter(gain):
    x = noise(9, 30)
    x[2, 1000:1100] = np.nan
    one, two = (process(make_recording(x * g, line_freq=50.0)) for g in (1.0, gain))
    a, b = one.array().astype(np.float64), two.array().astype(np.float64)
    different = a != np.sign(gain) * b
    assert different.mean() < 1e-5
    assert two.scale["eeg"] == pytest.approx(abs(gain) * one.scale["eeg"], rel=1e-9)
    np.testing.assert_array_equal(one.quality, two.quality)
    np.testing.assert_array_equal(one.good, two.good)


def test_channel_order_does_not_matter():
    types = ["eeg"] * 6 + ["mag"] * 5
    x = noise(11, 30)
    x[6:] *= 1e-8
    order = np.random.default_rng(1).permutation(11)
    one = process(make_recording(x, types=types, line_freq=50.0))
    two = process(make_recording(x, types=types, line_freq=50.0))
    mixed = make_recording(x[order], types=[types[i] for i in order], line_freq=50.0)
    two = process(mixed)
    assert two.scale == pytest.approx(one.scale, rel=1e-12)
    assert (one.array()[order] != two.array()).mean() < 1e-5


def test_average_reference_sums_to_zero_over_good_channels_and_leaves_meg_alone():
    types = ["eeg"] * 6 + ["mag"] * 4
    x = noise(10, 20)
    x[6:] *= 1e-8
    bads = np.zeros(10, bool)
    bads[2] = True
    recording = make_recording(x, types=types, bads=bads)
    y = filtered(recording)
    good_eeg = [0, 1, 3, 4, 5]
    assert np.abs(y[good_eeg].sum(axis=0)).max() < 1e-12 * np.abs(y).max()
    plain = filtered(recording, reference="none")
    np.testing.assert_allclose(y[6:], plain[6:], rtol=1e-12)
    np.testing.assert_allclose(y[2], plain[2] - plain[good_eeg].mean(axis=0), rtol=1e-9, atol=1e-15)


def test_without_a_good_electrode_the_meg_goes_on():
    x = noise(8, 20)
    x[4:] *= 1e-8
    bads = np.arange(8) < 4
    out = process(make_recording(x, types=["eeg"] * 4 + ["mag"] * 4, bads=bads))
    assert out.good.tolist() == [False] * 4 + [True] * 4
    assert np.isfinite(out.array().astype(np.float64)).all()


def test_scale_is_one_robust_deviation_and_clip_holds():
    rng = np.random.default_rng(0)
    x = 1e-5 * rng.standard_normal((8, 30_000))
    x[0, 15_000:15_020] = 1.0
    out = process(make_recording(x), ProcessingConfig(reference="none"))
    y = out.array().astype(np.float64)
    assert np.abs(y).max() <= 20.0
    spread = np.subtract(*np.quantile(y, [0.75, 0.25], axis=1)) / 1.349
    assert np.median(spread) == pytest.approx(1.0, rel=0.01)
    band = np.sqrt(108 / 250) * 1e-5  # white noise below the middle of the transition band
    assert out.scale["eeg"] == pytest.approx(band, rel=0.03)


@pytest.mark.parametrize(
    ("sfreq", "header", "expected"),
    [(1000.0, None, 96.0), (160.0, None, 64.0), (90.0, None, 36.0), (1000.0, 40.0, 40.0)],
)
def test_lowpass_is_what_the_recording_can_carry(sfreq, header, expected):
    out = process(make_recording(noise(3, 20, sfreq), sfreq, lowpass=header))
    assert out.lowpass == pytest.approx(expected)


@pytest.mark.parametrize("seconds", [1.0, 1.5, 3.0, 20.0, 33.5])
def test_recordings_shorter_than_the_filter_work(seconds):
    x = noise(4, seconds) + 0.01
    out = process(make_recording(x))
    y = out.array().astype(np.float64)
    assert y.shape == (4, round(seconds * 256))
    assert np.isfinite(y).all()
    assert 0.3 < y.std() < 5


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (noise(4, 0.5), "lasts 0.5 s"),
        (noise(1, 10), "0 usable of 1 channels"),
        (np.zeros((4, 5000)), "flat"),
        (np.full((4, 5000), np.nan), "no samples"),
    ],
)
def test_hopeless_recordings_are_refused_in_words(x, words):
    with pytest.raises(ValueError, match=words):
        process(make_recording(x))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sfreq": -1.0}, "sfreq must be positive"),
        ({"l_freq": 100.0}, "l_freq"),
        ({"h_freq": 120.0}, "0.4 x sfreq"),
        ({"reference": "cz"}, "reference must be one of"),
        ({"max_bad_share": 2.0}, "max_bad_share"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        ProcessingConfig(**settings)


def test_settings_leave_out_what_does_not_change_the_result():
    assert ProcessingConfig(block_s=3.0).settings() == ProcessingConfig().settings()
    assert ProcessingConfig(clip=10.0).settings() != ProcessingConfig().settings()
