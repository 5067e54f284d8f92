"""Recordings of different devices that share calls have the features that they have alone."""

import numpy as np
import pytest

from brainfm.encoder import Encoder
from brainfm.features_together import features_together
from brainfm.recordings import recording_from_array


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return Encoder(tiny_model())


@pytest.fixture(scope="module")
def recordings(head_sensors, brain_noise):
    """Three devices, 1.1 to 7 s: shorter and longer than a stretch of context (1.5 s)."""
    kinds = (["eeg"] * 4, ["eeg"] * 4, ["mag"] * 3 + ["eeg"] * 2, ["eeg"] * 7)
    made = []
    for k, (types, seconds) in enumerate(zip(kinds, (1.1, 7.0, 4.0, 1.1), strict=True)):
        x = brain_noise(len(types), seconds, seed=k)
        x[np.array(types) == "mag"] *= 1e-8
        made.append(recording_from_array(x, 256.0, head_sensors(types, seed=k)))
    return made


@pytest.mark.parametrize("frames", [1, 30, 512])
@pytest.mark.parametrize("layer", [-2, 0, "mixture"])
def test_company_does_not_matter(encoder, recordings, frames, layer):
    signals = ((i, encoder.process(r)) for i, r in enumerate(recordings))
    found = dict(features_together(encoder, signals, layer=layer, frames=frames))
    assert sorted(found) == [0, 1, 2, 3]
    for i, recording in enumerate(recordings):
        alone = encoder.encode(recording, layer=layer)
        assert np.array_equal(found[i].times, alone.times)
        np.testing.assert_allclose(found[i].values, alone.values, atol=1e-5)


def test_one_that_breaks_off_costs_no_other(encoder, recordings):
    class Broken:
        def __init__(self, whole):
            self.whole = whole

        def __getattr__(self, name):
            return getattr(self.whole, name)

        def blocks(self):
            raise OSError("the file ends early")

    first, second = (encoder.process(r) for r in recordings[:2])
    found = dict(features_together(encoder, [(0, Broken(first)), (1, second)]))
    assert "ends early" in str(found[0])
    assert len(found[1].values) == len(found[1].times) == 56


def test_a_tokenizer_alone_has_no_features(tiny_model):
    with pytest.raises(ValueError, match="tokenizer only"):
        next(features_together(Encoder(tiny_model(masked=None)), []))


def test_bad_layer_is_named(encoder, recordings):
    with pytest.raises(ValueError, match="layer must lie in"):
        list(features_together(encoder, [(0, encoder.process(recordings[0]))], layer=9))
