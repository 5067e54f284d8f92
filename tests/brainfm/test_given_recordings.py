"""Lists of recordings share calls of the network: in order, as each alone, errors by place."""

import mne
import numpy as np
import pytest

from brainfm.encoder import Codes, Encoder, Features
from brainfm.given_recordings import are_several, recordings_of
from brainfm.recordings import ReadOptions, recording_from_array

NAMES = ["Fz", "Cz", "Pz", "Oz"]
VERBS = pytest.mark.parametrize("verb", ["encode", "tokenize"])


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return Encoder(tiny_model())


def raw_eeg(brain_noise, seconds, seed=0):
    info = mne.create_info(NAMES, 200.0, "eeg")
    x = brain_noise(len(NAMES), seconds, sfreq=200.0, seed=seed)
    raw = mne.io.RawArray(x, info, verbose="error")
    return raw.set_montage(mne.channels.make_standard_montage("colin27_1005"), verbose="error")


@pytest.fixture(scope="module")
def given(head_sensors, brain_noise, tmp_path_factory):
    """Raw, array, recording, file, Epochs; of other devices and 1.1 to 7 s: a stretch is 1.5 s."""
    mixed = brain_noise(5, 4.0, seed=1)
    mixed[:3] *= 1e-8
    path = tmp_path_factory.mktemp("given") / "b_raw.fif"
    raw_eeg(brain_noise, 3.1, seed=2).save(path, verbose="error")
    raw = raw_eeg(brain_noise, 7.0)
    events = mne.make_fixed_length_events(raw, duration=2.0)
    return [
        raw,
        (brain_noise(7, 1.1, seed=3), 256.0, head_sensors(["eeg"] * 7)),
        recording_from_array(mixed, 256.0, head_sensors(["mag"] * 3 + ["eeg"] * 2)),
        str(path),
        mne.Epochs(raw, events, tmin=0, tmax=2.0, baseline=None, preload=True, verbose="error"),
    ]


def flat(results):
    return [r for item in results for r in (item if type(item) is list else [item])]


@VERBS
@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [1]])
def test_each_is_as_it_is_alone_and_in_its_place(encoder, given, verb, kind, order):
    together = getattr(encoder, verb)(kind(given[i] for i in order))
    alone = [getattr(encoder, verb)(given[i]) for i in order]
    assert [type(item) for item in together] == [type(item) for item in alone]
    assert len(flat(together)) == len(flat(alone))
    for found, expected in zip(flat(together), flat(alone), strict=True):
        assert isinstance(found, Codes if verb == "tokenize" else Features)
        assert found.values.dtype == expected.values.dtype
        assert np.array_equal(found.times, expected.times)
        tolerance = 1e-5 if verb == "encode" else 0
        np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=tolerance)


def test_layer_and_options_reach_each(encoder, given, brain_noise, head_sensors):
    found = encoder.encode(given[:3], layer=0)
    for one, expected in zip(found, given[:3], strict=True):
        values = encoder.encode(expected, layer=0).values
        np.testing.assert_allclose(one.values, values, atol=1e-5)
    loud = raw_eeg(brain_noise, 3.0)
    loud.apply_function(lambda x: 1e6 * x)
    with pytest.raises(ValueError, match=r"recordings\[0\]: Raw: .*unit"):
        encoder.tokenize([loud])
    (codes,) = encoder.tokenize([loud], ReadOptions(unit="uV"))
    assert codes.values.shape == (24, 3, 2)


def test_calls_are_shared(encoder, brain_noise, head_sensors):
    """Twelve recordings of two windows each go through the tokenizer at once."""
    sensors = head_sensors(["eeg"] * 4)
    many = [(brain_noise(4, 1.0, seed=k), 256.0, sensors) for k in range(12)]
    calls = []
    hook = encoder.model.tokenizer.quantizer.register_forward_pre_hook(
        lambda _, x: calls.append(len(x[0]))
    )
    encoder.encode(many)
    hook.remove()
    assert calls == [24]


@VERBS
def test_an_error_says_which_recording(encoder, given, verb, tmp_path, tiny_model):
    function = getattr(encoder, verb)
    with pytest.raises(FileNotFoundError, match=r"^recordings\[2\]: .*absent\.edf"):
        function([*given[:2], tmp_path / "absent.edf"])
    with pytest.raises(ValueError, match=r"^recordings\[1\]: cannot encode int"):
        function([given[0], 3])
    eeg_only = Encoder(tiny_model(types={"eeg": 0}))
    with pytest.raises(ValueError, match=r"^recordings\[2\]: array: .* also has mag channels"):
        getattr(eeg_only, verb)(given[:3])


@VERBS
def test_an_error_keeps_its_kind_and_its_text(encoder, given, verb, monkeypatch):
    """Kinds that take more than a text, like Unicode's, become their plain kind."""
    good = given[2]
    process = encoder.process

    def breaks(recording):
        if recording is good:
            raise UnicodeDecodeError("ascii", b"\xff", 0, 1, "ordinal not in range")
        return process(recording)

    monkeypatch.setattr(encoder, "process", breaks)
    with pytest.raises(ValueError, match=r"^recordings\[1\]: array: 'ascii' codec"):
        getattr(encoder, verb)([given[1], good])


@VERBS
@pytest.mark.parametrize("nothing", [[], ()])
def test_no_recordings(encoder, verb, nothing):
    with pytest.raises(ValueError, match="list of recordings is empty"):
        getattr(encoder, verb)(nothing)


def test_a_tokenizer_alone_is_told_before_anything_is_read(tiny_model):
    with pytest.raises(ValueError, match=r"^this checkpoint holds a tokenizer only"):
        Encoder(tiny_model(masked=None)).encode(["absent.edf"])


def test_an_array_with_its_sensors_is_one_recording(given):
    array, sfreq, sensors = given[1]
    assert not are_several((array, sfreq, sensors))
    assert not are_several((array.tolist(), sfreq, sensors))
    assert not are_several((array, sfreq))  # sensors forgotten: to be refused, not taken apart
    assert not are_several("a.edf")
    assert are_several((given[1], given[1], given[1]))
    (recording,), are_epochs = recordings_of((array.tolist(), sfreq, sensors))
    assert recording.n_times == array.shape[1]
    assert not are_epochs


def test_sensors_of_an_array_are_no_names(encoder):
    with pytest.raises(ValueError, match=r"needs a SensorArray, got list; .*sensors_by_name"):
        encoder.encode((np.zeros((4, 512)), 256.0, ["Cz"] * 4))
