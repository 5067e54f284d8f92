"""One physical signal is one prepared signal: at any rate, and with other sensors beside it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainfm.encoder import Encoder
from brainfm.processing import process
from brainfm.recordings import read_recording, recording_from_array
from brainfm.row_signal import select_types

SECONDS = 24.0


def field(n_channels, seed=0):
    """Return a function of time (s) to (C, T) volts: waves of 0.5 to 80 Hz, weaker upwards."""
    rng = np.random.default_rng(seed)
    hz = rng.uniform(0.5, 80.0, 100)
    size = rng.standard_normal((2, n_channels, 100)) * 2e-6 / np.sqrt(hz)

    def at(seconds):
        angle = 2 * np.pi * hz[:, None] * seconds
        return np.asarray(size[0] @ np.cos(angle) + size[1] @ np.sin(angle))

    return at


def recorded(at, sfreq, sensors):
    x = at(np.arange(round(SECONDS * sfreq)) / sfreq)
    return recording_from_array(x, sfreq, sensors)


def distance(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def at_rates(head_sensors):
    """The same twelve electrodes' field, prepared from recordings at several rates."""
    at, sensors = field(12), head_sensors(["eeg"] * 12)
    return {sfreq: process(recorded(at, sfreq, sensors)) for sfreq in (256.0, 512.0, 1000.0)}


@pytest.mark.parametrize("sfreq", [256.0, 512.0])
def test_the_rate_of_the_recording_leaves_no_trace_in_the_signal(at_rates, sfreq):
    found, expected = at_rates[sfreq], at_rates[1000.0]
    assert found.n_times == expected.n_times == round(SECONDS * 256)
    assert found.scale["eeg"] == pytest.approx(expected.scale["eeg"], rel=2e-3)
    # A second at each end belongs to the filters.
    inner = slice(256, -256)
    x, y = (p.array().astype(np.float64)[:, inner] for p in (found, expected))
    assert distance(x, y) < 0.01


def test_the_rate_of_the_recording_leaves_little_trace_in_latents_and_codes(at_rates, tiny_model):
    encoder = Encoder(tiny_model(masked=None))
    tokenizer = encoder.model.tokenizer

    def latents(processed):
        x = torch.from_numpy(processed.array().astype(np.float32))[None, :, 256:-256]
        with torch.inference_mode():
            return tokenizer.encode(tokenizer.cut(x), encoder.embed(processed.sensors))

    slow, fast = (latents(at_rates[sfreq]) for sfreq in (512.0, 1000.0))
    # Unit vectors: random ones would be sqrt(2) apart.
    assert (slow - fast).norm(dim=-1).mean() < 0.01
    with torch.inference_mode():
        codes = [tokenizer.quantizer(z).codes for z in (slow, fast)]
    assert (codes[0] == codes[1]).float().mean() > 0.97


def test_meg_beside_it_does_not_change_the_eeg(head_sensors):
    kinds = ["mag", "eeg", "planar"] * 8
    sensors = head_sensors(kinds)
    x = field(len(kinds), seed=1)(np.arange(round(20 * 500.0)) / 500.0)
    gain = {"eeg": 1.0, "mag": 1e-7, "planar": 1e-6}
    x *= np.array([gain[kind] for kind in kinds])[:, None]
    mixed = recording_from_array(x, 500.0, sensors)
    both = process(mixed)
    for kind in gain:
        alone, of_kind = process(select_types(mixed, [kind])), sensors.types == kind
        assert alone.scale == {kind: both.scale[kind]}
        np.testing.assert_array_equal(alone.array(), both.array()[of_kind])
        np.testing.assert_array_equal(alone.good, both.good[of_kind])


def test_real_meg_beside_it_does_not_change_real_eeg(samples):
    recording = replace(read_recording(samples / "neuromag_1_raw.fif"), line_freq=60.0)
    both, alone = process(recording), process(select_types(recording, ["eeg"]))
    eeg = both.sensors.types == "eeg"
    assert alone.scale["eeg"] == both.scale["eeg"]
    np.testing.assert_array_equal(alone.array(), both.array()[eeg])
    np.testing.assert_array_equal(alone.good, both.good[eeg])
