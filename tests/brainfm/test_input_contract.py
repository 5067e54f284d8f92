"""Published models get what they were trained on, wherever a recording meets them."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from brainfm.brainomni_import import import_brainomni
from brainfm.checkpoints import (
    BrainModel,
    ModelRecord,
    codes_digest,
    load_checkpoint,
    read_record,
    save_checkpoint,
)
from brainfm.code_times import n_frames, n_windows
from brainfm.codes_run import make_codes
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.fidelity import reconstruct_pieces
from brainfm.input_contract import (
    contracted_input,
    contracted_windows,
    segment_windows,
)
from brainfm.online_codes import OnlineCodes
from brainfm.published_input import published_kinds, published_positions, published_signal
from brainfm.recordings import recording_from_array
from brainfm.recordings_together import codes_together
from brainfm.tokenizer_stream import open_stream

TYPES = {"eeg": 0, "mag": 1, "planar": 2, "axial": 2}


def published(tiny_model, **changes):
    """Return the architecture as published, under its contract."""
    settings = {"architecture": "brainomni", "types": TYPES, "position_scale": 1.0}
    model = tiny_model(**(settings | changes))
    record = dataclasses.replace(model.record, input_contract="brainomni")
    made = BrainModel(record)
    made.load_state_dict(model.state_dict())
    return made.eval()


class Signal:
    """Standardised noise with its SI scale, in uneven blocks."""

    def __init__(self, sensors, n_times, seed=0):
        rng = np.random.default_rng(seed)
        self.sensors, self.n_times = sensors, n_times
        self.good = np.ones(len(sensors), bool)
        self.channel_scale = np.where(sensors.types == "eeg", 2e-5, 3e-13)
        slow = rng.standard_normal((len(sensors), 1)) + np.linspace(0, 3, n_times)
        self.x = (rng.standard_normal((len(sensors), n_times)) + slow).astype(np.float16)

    def blocks(self):
        edges = np.unique(np.minimum(np.arange(0, self.n_times + 1999, 1999), self.n_times))
        for a, b in pairwise(edges):
            yield self.x[:, a:b]


@pytest.fixture
def config(tokenizer_config):
    """The published windows: 2 s, overlapping by a quarter, 20 to a segment."""
    return tokenizer_config(
        window=512, overlap=0.25, ratios=(8, 4, 2), architecture="brainomni", types=TYPES
    )


def test_a_published_segment_has_twenty_windows(config):
    assert segment_windows(config) == 20
    assert segment_windows(config) * config.stride == 7680


@pytest.mark.parametrize("n_times", [300, 512, 7680, 7681, 7808, 7809, 15360, 20000, 23169])
@pytest.mark.parametrize("batch", [3, 1000])
def test_every_segment_is_a_recording_of_its_own(config, head_sensors, n_times, batch):
    sensors = head_sensors(["eeg"] * 3 + ["mag"] * 2)
    signal, order = Signal(sensors, n_times), np.array([4, 0, 2, 1, 3])
    found = torch.cat(list(contracted_windows(signal, order, "brainomni", config, batch)), dim=1)
    total = n_windows(n_times, 512, 384)
    assert found.shape == (5, total, 512)
    kinds = published_kinds(torch.from_numpy(sensors.codes[order])[None], TYPES)
    scale = torch.from_numpy(signal.channel_scale[order])[None]
    mask = torch.ones_like(kinds, dtype=torch.bool)
    for first in range(0, total, 20):
        n = min(20, total - first)
        # What comes after the last window of the recording is none, of a segment: not its own.
        stop = n_times if first + n == total else (first + 20) * 384
        x = torch.from_numpy(signal.x[order, first * 384 : stop].astype(np.float32))[None]
        expected = published_signal(x, kinds, mask, scale)[0]
        for j in range(n):
            own = expected[:, j * 384 : j * 384 + 512]
            padded = torch.nn.functional.pad(own, (0, 512 - own.shape[1]))
            torch.testing.assert_close(found[:, first + j], padded, rtol=1e-6, atol=1e-7)


def test_our_own_models_get_the_signal_as_it_is(config, head_sensors):
    signal = Signal(head_sensors(["eeg"] * 3), 2000)
    found = torch.cat(list(contracted_windows(signal, np.arange(3), "brainfm", config, 2)), dim=1)
    np.testing.assert_array_equal(found[:, 1], signal.x[:, 384:896].astype(np.float32))
    x, positions = torch.randn(1, 3, 9), torch.randn(1, 3, 3)
    types, ones = torch.zeros(1, 3, dtype=torch.int64), torch.ones(1, 3)
    same = contracted_input(x, positions, types, ones.bool(), ones, "brainfm", config)
    assert same.x is x
    assert same.positions is positions


@pytest.fixture
def encoder(tiny_model):
    return Encoder(published(tiny_model))


def test_the_encoder_gives_what_the_network_makes_of_published_input(
    encoder, head_sensors, brain_noise
):
    """Forty seconds of real units: two segments, of 30 s and of 10 s."""
    sensors = head_sensors(["eeg"] * 4 + ["mag"] * 3)
    x = brain_noise(7, 40.0)
    x[4:] *= 1e-8
    processed = encoder.process(recording_from_array(x, 256.0, sensors))
    order, _ = encoder.usable(processed)
    assert len(order) == 7
    si = processed.array().astype(np.float64) * processed.channel_scale[:, None]
    kinds = published_kinds(torch.from_numpy(sensors.codes[order])[None], TYPES)
    mask = torch.ones_like(kinds, dtype=torch.bool)
    tokenizer = encoder.model.tokenizer
    positions = torch.from_numpy(sensors.positions[order]).float()[None]
    embedded = tokenizer.embed_sensors(
        published_positions(positions, kinds, mask),
        torch.from_numpy(sensors.orientations[order]).float()[None],
        torch.from_numpy(sensors.codes[order])[None],
        mask,
    )
    expected = []
    with torch.inference_mode():
        for part in (slice(0, 7680), slice(7680, None)):
            segment = torch.from_numpy(si[order, part])[None]
            windows = tokenizer.cut(published_signal(segment, kinds, mask, torch.ones(1, 7)))
            codes = tokenizer.quantizer(tokenizer.encode(windows, embedded)).codes
            expected.append(codes[0].transpose(0, 1).numpy())
    found = encoder.tokenize(recording_from_array(x, 256.0, sensors)).values
    expected = np.concatenate(expected)[: len(found)]
    # Sums in another order may round a latent over the edge between two codes, rarely.
    assert (found == expected).mean() > 0.999
    ours = Encoder(BrainModel(dataclasses.replace(encoder.model.record, input_contract="brainfm")))
    ours.model.load_state_dict(encoder.model.state_dict())
    assert (ours.tokenize(recording_from_array(x, 256.0, sensors)).values == found).mean() < 0.9


def test_company_does_not_matter(encoder, head_sensors):
    signals = [
        Signal(head_sensors(["eeg"] * (3 + k % 2), seed=k), 6000 + 777 * k) for k in range(4)
    ]
    found = dict(codes_together(encoder, enumerate(signals), channel_windows=40))
    for k, signal in enumerate(signals):
        alone = np.concatenate(list(encoder.code_blocks(signal)))
        assert len(alone) == n_frames(signal.n_times, encoder.model.tokenizer.cfg)
        assert np.array_equal(found[k], alone)


def test_stored_codes_are_the_encoders(tiny_model, noise_corpus, tmp_path):
    corpus = noise_corpus(tmp_path / "corpus", n=2, seconds=4.0)
    model = published(tiny_model, masked=None)
    folder = save_checkpoint(model, tmp_path / "tokenizer")
    assert make_codes(corpus, folder, tmp_path / "codes") == 0
    from brainfm.codes import CodeCorpus
    from brainfm.corpus_signal import CorpusSignal

    codes, encoder = CodeCorpus(tmp_path / "codes"), Encoder(model)
    for i in range(2):
        signal = CorpusSignal(corpus=Corpus(corpus), index=i)
        assert np.array_equal(codes.read(i), np.concatenate(list(encoder.code_blocks(signal))))
    ours = dataclasses.replace(model.record, input_contract="brainfm")
    assert codes.codes_digest == codes_digest(model.tokenizer, "brainomni")
    assert codes.codes_digest != codes_digest(BrainModel(ours).tokenizer)
    with pytest.raises(ValueError, match=r"segments of 30 s.*run 'brainfm codes'"):
        OnlineCodes(corpus, folder)


def test_reconstructions_are_of_published_input(tiny_model, noise_corpus, tmp_path):
    corpus = Corpus(noise_corpus(tmp_path / "corpus", n=2, seconds=4.0))
    model = published(tiny_model, masked=None)
    ours = BrainModel(dataclasses.replace(model.record, input_contract="brainfm"))
    ours.load_state_dict(model.state_dict())
    pieces = [(0, 4)]
    found, other = (
        reconstruct_pieces(Encoder(each.eval()), corpus, 0, pieces) for each in (model, ours)
    )
    assert found.original[0].tolist() == other.original[0].tolist()
    assert not np.array_equal(found.codes[0], other.codes[0])


def test_the_contract_is_kept_with_the_weights(tiny_model, tmp_path):
    folder = save_checkpoint(published(tiny_model), tmp_path)
    assert read_record(folder).input_contract == "brainomni"
    assert load_checkpoint(folder).record.input_contract == "brainomni"
    card = (folder / "README.md").read_text()
    assert "centred" in card
    assert "30 s" in card


def test_older_checkpoints_are_our_own(tiny_model, tmp_path):
    folder = save_checkpoint(tiny_model(), tmp_path)
    values = json.loads((folder / "config.json").read_text())
    del values["input_contract"]
    (folder / "config.json").write_text(json.dumps(values))
    assert load_checkpoint(folder).record.input_contract == "brainfm"
    record = tiny_model().record.to_json()
    del record["input_contract"]
    assert ModelRecord.from_json(record, "here") == tiny_model().record


def test_a_contract_that_nobody_knows(tiny_model, tmp_path):
    folder = save_checkpoint(tiny_model(), tmp_path)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"input_contract": "labram"}))
    with pytest.raises(ValueError, match=r"input_contract must be one of 'brainfm', 'brainomni'"):
        load_checkpoint(folder)


def test_where_it_cannot_hold(tiny_model):
    causal = tiny_model(causal=True, masked=None).record
    with pytest.raises(ValueError, match="must be 'brainfm' for a causal tokenizer"):
        dataclasses.replace(causal, input_contract="brainomni")
    with pytest.raises(ValueError, match="knows the rows 0"):
        dataclasses.replace(
            tiny_model(types={"eeg": 0, "ieeg": 3}, masked=None).record, input_contract="brainomni"
        )


def test_a_stream_is_refused(encoder, tiny_model, head_sensors):
    sensors = head_sensors(["eeg"] * 3)
    with pytest.raises(ValueError, match="standardised 30 s at a time, which a stream has not"):
        open_stream(encoder, sensors)
    own = Encoder(tiny_model())
    x = np.random.default_rng(0).standard_normal((3, 512)).astype(np.float32)
    stream = open_stream(own, sensors)
    assert np.concatenate([stream.push(x), stream.finish()]).shape == (16, 3, 2)
    with pytest.raises(ValueError, match="no usable channel"):
        open_stream(own, sensors.select(np.zeros(0, np.int64)))


def test_features_of_the_golden_network(golden, head_sensors, brain_noise, tmp_path):
    """An imported model, from a recording in volts to features, step by step beside the encoder."""
    folder = import_brainomni(golden / "BrainOmni.pt", tmp_path)
    encoder = Encoder.from_pretrained(folder)
    tokenizer, masked = encoder.model.tokenizer, encoder.model.masked_model
    sensors = head_sensors(["eeg"] * 5)
    recording = recording_from_array(brain_noise(5, 10.0), 256.0, sensors)
    found = encoder.encode(recording).values
    processed = encoder.process(recording)
    order, _ = encoder.usable(processed)
    volts = processed.array()[order].astype(np.float64) * processed.channel_scale[order, None]
    volts -= volts.mean(axis=0)
    x = torch.from_numpy(volts / (volts.std() + 1e-5)).float()[None]
    places = sensors.positions[order] - sensors.positions[order].mean(axis=0)
    places /= np.sqrt(3 * (places**2).sum(axis=1).mean())
    zeros = torch.zeros(1, 5, dtype=torch.int64)
    with torch.inference_mode():
        embedded = tokenizer.embed_sensors(
            torch.from_numpy(places).float()[None], torch.zeros(1, 5, 3), zeros, zeros == 0
        )
        codes = tokenizer.quantizer(tokenizer.encode(tokenizer.cut(x), embedded)).codes
        expected = masked.features(codes)[0].transpose(0, 1).numpy()[: len(found)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
