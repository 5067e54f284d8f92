"""Tones through the whole chain: kept in the band, not aliased; hum and its harmonic removed."""

import numpy as np
import pytest
from known_signals import amplitude, filtered, make_recording, noise, tone

from brainfm.processing import process


@pytest.mark.parametrize("sfreq", [250.0, 600.614990234375, 1000.0, 2400.0])
def test_a_10_hz_tone_keeps_amplitude_and_phase(sfreq):
    x = np.stack([tone(10, 60, sfreq), tone(10, 60, sfreq) * 2]) * 1e-5
    y = filtered(make_recording(x, sfreq), reference="none", notch=False, detect_bad=False)
    expected = 1e-5 * tone(10, 60, 256.0)[: y.shape[1]]
    inner = slice(20 * 256, 40 * 256)
    np.testing.assert_allclose(y[0, inner], expected[inner], atol=3e-3 * 1e-5)
    assert amplitude(y[1], 10) == pytest.approx(2e-5, rel=3e-3)


@pytest.mark.parametrize("sfreq", [600.614990234375, 1000.0, 5000.0])
@pytest.mark.parametrize("hz", [120.0, 124.0, 150.0, 246.0])
def test_a_tone_above_the_band_does_not_alias(sfreq, hz):
    x = 1e-5 * (tone(hz, 60, sfreq) + tone(20, 60, sfreq)) * np.ones((2, 1))
    y = filtered(make_recording(x, sfreq), reference="none", notch=False, detect_bad=False)
    alias = abs((hz + 128) % 256 - 128)
    assert amplitude(y[0], alias) < 5e-3 * 1e-5  # -46 dB; MNE's Hamming filters promise -53 dB


@pytest.mark.parametrize("line_freq", [50.0, 60.0])
@pytest.mark.parametrize("in_header", [True, False])
def test_mains_hum_is_removed_with_its_harmonic(line_freq, in_header):
    x = noise(4, 60)
    hum = tone(line_freq, 60, 500.0) + 0.5 * tone(2 * line_freq, 60, 500.0)
    x += 5e-5 * hum * np.array([[1.0], [0.5], [-1.0], [2.0]])
    recording = make_recording(x, line_freq=line_freq if in_header else None)
    out = process(recording)
    assert out.line_freq == line_freq
    assert out.notches == ((50.0, 100.0) if line_freq == 50.0 else (60.0,))
    y = filtered(recording)
    neighbour = amplitude(y[0], line_freq + 3.0)
    assert amplitude(filtered(recording, notch=False)[0], line_freq) > 20 * neighbour
    assert amplitude(y[0], line_freq) < 3 * neighbour


def test_clean_recordings_keep_their_50_hz():
    out = process(make_recording(noise(8, 40)))
    assert out.line_freq is None
    assert out.notches == ()
