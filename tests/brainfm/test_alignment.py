import numpy as np
import pytest

from brainfm.alignment import (
    AlignmentConfig,
    align_channel,
    align_onsets,
    align_pairs,
    sound_envelope,
)

OFFSET, DRIFT = 12.345, 80.0


def recording_times(x, offset=OFFSET, drift=DRIFT):
    return offset + (1 + drift * 1e-6) * np.asarray(x)


def test_planted_offset_and_drift_are_found_among_wrong_pairs():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 600, 200))
    y = recording_times(x) + 1e-3 * rng.standard_normal(200)
    wrong = rng.choice(200, 40, replace=False)
    y[wrong] += rng.choice([-1, 1], 40) * rng.uniform(0.1, 5, 40)
    fit = align_pairs(x, y)
    assert fit.used == 160
    assert fit.left_out == 40
    # Standard errors over 160 points: 1 ms / sqrt(160) * 2 for the offset, and 1 ms over
    # sqrt(160) * 173 s for the slope, .5 ppm.
    assert fit.offset == pytest.approx(OFFSET, abs=6e-4)
    assert fit.drift == pytest.approx(DRIFT, abs=2)
    assert fit.residual == pytest.approx(1e-3, rel=0.2)
    np.testing.assert_allclose(fit([0, 600]), recording_times([0, 600]), atol=1e-3)


def test_exact_pairs_give_exact_clocks():
    fit = align_pairs([0, 100, 200], [5, 105.01, 205.02])
    assert fit.offset == pytest.approx(5)
    assert fit.drift == pytest.approx(100)
    assert fit.residual < 1e-12


def test_times_that_do_not_belong_together_are_refused():
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 600, 50))
    with pytest.raises(ValueError, match="do not belong together"):
        align_pairs(x, rng.permutation(recording_times(x)))
    with pytest.raises(ValueError, match="check the sampling rates"):
        align_pairs(x, 1.024 * x)
    with pytest.raises(ValueError, match="too few"):
        align_pairs(x[:2], x[:2])
    noisy = recording_times(x) + 0.1 * rng.standard_normal(50)
    with pytest.raises(ValueError, match="of 50 onsets agree within 20 ms"):
        align_pairs(x, noisy)
    assert align_pairs(x, noisy, AlignmentConfig(tolerance=0.5)).used == 50


def test_onsets_without_partners_are_passed_over():
    rng = np.random.default_rng(2)
    x = np.cumsum(rng.uniform(0.2, 1.5, 400))
    y = recording_times(x) + 5e-4 * rng.standard_normal(400)
    y = np.delete(y, rng.choice(400, 60, replace=False))
    y = np.append(y, rng.uniform(0, y.max(), 50))
    fit = align_onsets(rng.permutation(x), rng.permutation(y))
    assert fit.offset == pytest.approx(OFFSET, abs=2e-3)
    assert fit.drift == pytest.approx(DRIFT, abs=6)
    assert fit.used >= 335
    with pytest.raises(ValueError, match="do not belong together"):
        align_onsets(x, np.cumsum(rng.uniform(0.2, 1.5, 150)))


def test_a_recorded_channel_gives_the_clocks_and_silence_does_not():
    rng = np.random.default_rng(3)
    rate, channel_rate, seconds = 8000, 500, 90
    loud = np.abs(np.repeat(rng.standard_normal(seconds * 5), rate // 5)) ** 2
    sound = loud * rng.standard_normal(seconds * rate)
    # What the recorder's clock counts, played with the planted offset and drift.
    offset, drift = 3.21, 300.0
    t = np.arange((seconds + 10) * channel_rate) / channel_rate
    at = (t - offset) / (1 + drift * 1e-6)
    inside = (at >= 0) & (at < seconds)
    level = np.interp(at, np.arange(len(loud)) / rate, loud) * inside
    channel = 1e-5 * (level * rng.standard_normal(len(t)) + 0.05 * rng.standard_normal(len(t)))
    fit = align_channel(sound, rate, channel, channel_rate)
    assert fit.offset == pytest.approx(offset, abs=0.01)
    assert fit.drift == pytest.approx(drift, abs=150)
    assert fit.residual < 0.02
    with pytest.raises(ValueError, match=r"agree within|too few"):
        align_channel(sound, rate, 1e-5 * rng.standard_normal(len(t)), channel_rate)
    with pytest.raises(ValueError, match="longer than a window"):
        align_channel(sound[: 2 * rate], rate, channel, channel_rate)


def test_an_envelope_has_the_length_and_the_power_of_its_sound():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 8000)
    envelope = sound_envelope(tone, 8000)
    assert len(envelope) in (399, 400)
    np.testing.assert_allclose(envelope[20:-20], 0.5**0.3, rtol=1e-3)
