"""Features as MNE objects hold the same numbers at the same times."""

import mne
import numpy as np
import pytest

from brainfm.encoder import Encoder, Features
from brainfm.feature_objects import features_as_epochs, features_as_raw

NAMES = ["Fz", "Cz", "Pz", "Oz"]


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return Encoder(tiny_model())


@pytest.fixture(scope="module")
def epochs(brain_noise):
    info = mne.create_info(NAMES, 256.0, "eeg").set_montage("colin27_1005")
    x = np.stack([brain_noise(4, 2.0, seed=k) for k in range(3)])
    events = np.array([[0, 0, 1], [600, 0, 2], [1200, 0, 1]])
    return mne.EpochsArray(x, info, events, -0.5, {"a": 1, "b": 2}, verbose="error")


def test_epochs(encoder, epochs):
    found = encoder.encode(epochs)
    made = features_as_epochs(found, epochs)
    # 2 s are 16 frames of 32 samples at 256 Hz; the first centre is 16 samples after -0.5 s.
    assert made.get_data(copy=False).shape == (3, 3 * 24, 16)
    assert made.info["sfreq"] == 8.0
    np.testing.assert_allclose(made.times, -0.5 + (np.arange(16) + 0.5) / 8)
    assert np.allclose(made["b"].get_data(copy=False)[0, 24 + 5], found[1].values[:, 1, 5])
    assert made.ch_names[24 + 5] == "source 1, feature 5"
    assert made["a"].average(picks="misc").data.shape == (72, 16)


def test_raw(encoder, brain_noise, head_sensors):
    found = encoder.encode((brain_noise(4, 3.0), 256.0, head_sensors(["eeg"] * 4)))
    raw = features_as_raw(found)
    np.testing.assert_allclose(raw.get_data()[2], found.values[:, 0, 2])
    np.testing.assert_allclose(raw.times + found.times[0], found.times)


def test_refusals(encoder, epochs):
    found = encoder.encode(epochs)
    with pytest.raises(ValueError, match="2 trials of features, 3 epochs"):
        features_as_epochs(found[:2], epochs)
    with pytest.raises(ValueError, match="no trials"):
        features_as_epochs([])
    with pytest.raises(ValueError, match="overlap"):
        features_as_raw(Features(found[0].values[:3], np.array([0.0, 1.0, 1.5])))
