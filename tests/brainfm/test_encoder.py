"""Codes and features of recordings: deterministic, and what they must not depend on."""

import subprocess
import sys

import mne
import numpy as np
import pytest
import torch

import brainfm
from brainfm import encoder as encoder_module
from brainfm.checkpoints import save_checkpoint
from brainfm.codes import CodeCorpus, begin_codes, finish_codes, write_codes
from brainfm.corpus import Corpus
from brainfm.encoder import Codes, Encoder, Features, canonical_order
from brainfm.preparation_run import prepare_corpus
from brainfm.processing import ProcessingConfig
from brainfm.recordings import ReadOptions, recording_from_array, recording_from_raw
from brainfm.sources import file_sources
from brainfm.window_stream import regroup, window_batches

NAMES = ["Fz", "Cz", "Pz", "Oz", "C3", "C4", "F3", "F4"]
SFREQ = 256.0


@pytest.fixture(scope="module")
def model(tiny_model):
    return Encoder(tiny_model())


@pytest.fixture(scope="module")
def data(head_sensors, brain_noise):
    """Array (C, T) in volts and tesla, rate, sensors: six electrodes, two magnetometers."""
    sensors = head_sensors(["eeg"] * 6 + ["mag"] * 2)
    x = brain_noise(8, 4.3)
    x[6:] *= 1e-8
    return x, SFREQ, sensors


def raw_eeg(brain_noise, seconds=4.3, sfreq=200.0, seed=0, gain=1.0):
    info = mne.create_info(NAMES, sfreq, "eeg")
    x = gain * brain_noise(len(NAMES), seconds, sfreq=sfreq, seed=seed)
    raw = mne.io.RawArray(x, info, verbose="error")
    raw.set_montage(mne.channels.make_standard_montage("colin27_1005"), verbose="error")
    return raw


def assert_same(a, b, *, exactly=False):
    assert np.array_equal(a.times, b.times)
    if exactly or isinstance(a, Codes):
        assert np.array_equal(a.values, b.values)
    else:
        np.testing.assert_allclose(a.values, b.values, atol=1e-5)


def test_shapes_times_and_types(model, data):
    codes, features = model.tokenize(data), model.encode(data)
    # 1100 samples in windows of 128, frames of 32: 34.4 frames, the last one begun.
    assert data[0].shape[1] == 1100
    assert codes.values.shape == (35, 3, 2)
    assert codes.values.dtype == np.uint16
    assert codes.values.max() < 8
    assert features.values.shape == (35, 3, 24)
    assert features.values.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features.values, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(codes.times, (np.arange(35) + 0.5) / 8)
    np.testing.assert_allclose(features.times, codes.times)


def test_the_same_bytes_twice(model, data):
    assert_same(model.tokenize(data), model.tokenize(data), exactly=True)
    assert_same(model.encode(data), model.encode(data), exactly=True)


def test_the_order_of_channels_does_not_matter(model, data):
    x, sfreq, sensors = data
    order = np.random.default_rng(0).permutation(8)
    turned = (x[order], sfreq, sensors.select(order))
    assert_same(model.tokenize(data), model.tokenize(turned))
    assert_same(model.encode(data), model.encode(turned))


def test_gain_does_not_matter(model, data):
    x, sfreq, sensors = data
    assert_same(model.tokenize(data), model.tokenize((3.7 * x, sfreq, sensors)))
    assert_same(model.encode(data), model.encode((3.7 * x, sfreq, sensors)))


def test_the_unit_of_the_file_does_not_matter(model, brain_noise):
    volts = raw_eeg(brain_noise)
    microvolts = raw_eeg(brain_noise, gain=1e6)
    options = ReadOptions(unit="uV")
    assert_same(model.tokenize(volts), model.tokenize(microvolts, options))
    assert_same(model.encode(volts), model.encode(microvolts, options))


def test_a_foreign_unit_is_found(model, brain_noise):
    with pytest.raises(ValueError, match="unit"):
        model.tokenize(raw_eeg(brain_noise, gain=1e6))


@pytest.mark.parametrize("block_s", [0.7, 2.0, 300.0])
def test_the_length_of_blocks_does_not_matter(tiny_model, data, block_s):
    from dataclasses import replace

    model = tiny_model()
    expected = Encoder(model)
    features, codes = expected.encode(data), expected.tokenize(data)
    model.record = replace(model.record, processing=ProcessingConfig(block_s=block_s))
    assert_same(Encoder(model).tokenize(data), codes, exactly=True)
    assert_same(Encoder(model).encode(data), features, exactly=True)


@pytest.mark.parametrize("channel_windows", [1, 17, 10**6])
def test_how_many_windows_go_through_at_once_does_not_matter(
    model, data, channel_windows, monkeypatch
):
    codes, features = model.tokenize(data), model.encode(data)
    monkeypatch.setattr(encoder_module, "CHANNEL_WINDOWS", channel_windows)
    assert_same(model.tokenize(data), codes)
    assert_same(model.encode(data), features)


def test_every_way_in_gives_the_same(model, brain_noise, tmp_path):
    raw = raw_eeg(brain_noise)
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    recording = recording_from_raw(raw)
    array = (recording.read(0, recording.n_times), raw.info["sfreq"], recording.sensors)
    expected = model.encode(raw)
    for data in (tmp_path / "a_raw.fif", str(tmp_path / "a_raw.fif"), recording, array):
        assert_same(model.encode(data), expected)


def test_a_file_and_its_corpus_entry_have_the_same_codes(tiny_model, brain_noise, tmp_path):
    """The way of ``brainfm prepare`` and ``brainfm codes``, and the way of ``model.tokenize``."""
    path = tmp_path / "a_raw.fif"
    raw_eeg(brain_noise, seconds=70.0).save(path, verbose="error")
    checkpoint = save_checkpoint(tiny_model(), tmp_path / "model")
    model = brainfm.from_pretrained(checkpoint)
    assert prepare_corpus(tmp_path / "corpus", file_sources([str(path)]), ProcessingConfig()) == 0
    corpus = Corpus(tmp_path / "corpus")
    begin_codes(tmp_path / "codes", checkpoint)
    write_codes(model, corpus, 0, tmp_path / "codes")
    finish_codes(tmp_path / "codes", corpus)
    stored = CodeCorpus(tmp_path / "codes").read(0)
    assert len(stored) == 70 * 8
    assert np.array_equal(stored, model.tokenize(path).values)


def test_epochs_give_a_list(model, brain_noise):
    raw = raw_eeg(brain_noise, seconds=9.0)
    events = mne.make_fixed_length_events(raw, duration=2.0)
    epochs = mne.Epochs(raw, events, tmin=0, tmax=2.0, baseline=None, preload=True, verbose="error")
    codes, features = model.tokenize(epochs), model.encode(epochs)
    assert isinstance(codes, list)
    assert len(codes) == len(features) == len(epochs)
    assert all(isinstance(f, Features) for f in features)
    alone = model.encode((epochs.get_data()[1], 200.0, model_sensors(raw)))
    np.testing.assert_allclose(features[1].values, alone.values, atol=1e-5)


def model_sensors(raw):
    return recording_from_raw(raw).sensors


def test_context_is_a_stretch_of_its_own(tiny_model, data):
    """Features of the first stretch do not change when the recording goes on."""
    model = Encoder(tiny_model())
    codes = model.tokenize(data).values
    context = 12  # three windows of four frames, as the record says
    first = torch.from_numpy(codes[:context].astype(np.int64)).permute(1, 0, 2)[None]
    with torch.inference_mode():
        expected = model.model.masked_model.features(first)[0].permute(1, 0, 2).numpy()
    np.testing.assert_allclose(model.encode(data).values[:context], expected, atol=1e-6)


def test_layers(model, data):
    by_layer = {layer: model.encode(data, layer=layer).values for layer in (0, 1, 2, -1, -2)}
    assert np.array_equal(by_layer[-1], by_layer[2])
    assert np.array_equal(by_layer[-2], by_layer[1])
    assert not np.allclose(by_layer[0], by_layer[1])
    with pytest.raises(ValueError, match="layer must lie in"):
        model.encode(data, layer=9)


def test_a_tokenizer_alone_has_codes_and_no_features(tiny_model, data):
    model = Encoder(tiny_model(masked=None))
    assert model.tokenize(data).values.shape == (35, 3, 2)
    with pytest.raises(ValueError, match=r"holds a tokenizer only.*export a pretraining run"):
        model.encode(data)


def test_a_type_the_model_does_not_know(tiny_model, data):
    model = Encoder(tiny_model(types={"eeg": 0}))
    with pytest.raises(ValueError, match="takes eeg; the recording also has mag channels"):
        model.tokenize(data)


def test_bad_channels_have_no_say(model, data):
    x, sfreq, sensors = data
    spoiled = x.copy()
    spoiled[2] = x[2] * 30 + 1e-4
    recordings = [
        recording_from_array(values, sfreq, sensors, bads=["eeg2"]) for values in (x, spoiled)
    ]
    assert_same(model.tokenize(recordings[0]), model.tokenize(recordings[1]))


@pytest.mark.parametrize("value", [3, None, np.zeros((2, 5)), (np.zeros((2, 5)), 256.0)])
def test_what_is_no_recording(model, value):
    with pytest.raises(ValueError, match=r"cannot encode .* mne Raw or Epochs"):
        model.encode(value)


def test_the_order_follows_from_the_sensors(head_sensors):
    sensors = head_sensors(["mag", "eeg", "eeg", "mag", "planar"])
    good = np.array([True, True, False, True, True])
    order = canonical_order(sensors, good)
    assert sorted(order.tolist()) == [0, 1, 3, 4]
    assert sensors.types[order].tolist() == ["eeg", "mag", "mag", "planar"]
    shuffle = np.array([4, 2, 0, 3, 1])
    again = canonical_order(sensors.select(shuffle), good[shuffle])
    assert np.array_equal(shuffle[again], order)


class Blocks:
    """A signal that counts its samples, in blocks of given lengths."""

    def __init__(self, lengths, n_channels=2):
        self.n_times = sum(lengths)
        self.lengths = lengths
        self.signal = np.stack([np.arange(self.n_times) + 1000 * c for c in range(n_channels)])

    def blocks(self):
        start = 0
        for n in self.lengths:
            yield self.signal[:, start : start + n].astype(np.float16)
            start += n


@pytest.mark.parametrize("lengths", [[10], [1] * 10, [3, 7], [9, 1]])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_windows_do_not_depend_on_blocks(lengths, batch):
    """Ten samples, windows of four every three: 0-3, 3-6, 6-9."""
    order = np.array([1, 0])
    found = torch.cat(list(window_batches(Blocks(lengths), order, 4, 3, batch)), dim=1)
    assert found[1].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert found[0, 0].tolist() == [1000, 1001, 1002, 1003]


def test_the_last_window_is_filled_with_zeros():
    found = torch.cat(list(window_batches(Blocks([6]), np.array([0]), 4, 4, 8)), dim=1)
    assert found[0].tolist() == [[0, 1, 2, 3], [4, 5, 0, 0]]


@pytest.mark.parametrize("lengths", [[7], [3, 3, 1], [1] * 7, [4, 3]])
def test_rows_are_regrouped(lengths):
    rows = np.arange(7, dtype=np.uint16).reshape(7, 1, 1)
    edges = np.cumsum(lengths)[:-1]
    groups = [g[:, 0, 0].tolist() for g in regroup(iter(np.split(rows, edges)), 3)]
    assert groups == [[0, 1, 2], [3, 4, 5], [6]]


def test_importing_brainfm_imports_nothing_slow():
    code = "import sys, brainfm; print({'torch', 'mne', 'numpy', 'lightning'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_what_the_package_offers():
    assert brainfm.Encoder is Encoder
    assert brainfm.from_pretrained is encoder_module.from_pretrained
    assert brainfm.import_brainomni.__module__ == "brainfm.brainomni_import"
    assert {"Encoder", "from_pretrained", "import_brainomni"} <= set(dir(brainfm))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        brainfm.nothing  # noqa: B018
