"""How much of a recording the codes keep, and which windows are asked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainfm import fidelity_round_trip
from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.checkpoints import BrainModel, ModelRecord
from brainfm.corpus import Corpus, create_corpus
from brainfm.corpus_index import write_index
from brainfm.encoder import Encoder
from brainfm.fidelity import (
    Reconstructed,
    WindowGrid,
    choose_pieces,
    fidelity_of,
    measure_fidelity,
    reconstruct,
    reconstruct_pieces,
)
from brainfm.processing import ProcessingConfig
from brainfm.quantizers import QuantizerConfig
from brainfm.sensors import SensorArray
from brainfm.tokenizer_stream import TokenizerStream

L = 512


def untrained(**changes: Any) -> Encoder:
    torch.manual_seed(0)
    cfg = TokenizerConfig(
        n_filters=2,
        ratios=(8, 8),
        width=8,
        n_sources=2,
        n_heads=2,
        lstm_layers=1,
        quantizer=QuantizerConfig(n_quantizers=2, codebook_size=4),
        **changes,
    )
    record = ModelRecord(tokenizer=cfg, masked_model=None, processing=ProcessingConfig())
    model = BrainModel(record)
    model.tokenizer.quantizer.train()
    model.tokenizer.quantizer(torch.randn(64, 8))
    return Encoder(model.eval().requires_grad_(False))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return untrained()


def made(original: np.ndarray, reconstruction: np.ndarray, types: list[str]) -> Reconstructed:
    n = len(types)
    sensors = SensorArray(
        positions=np.ones((n, 3)) * 0.1,
        orientations=np.array([[0, 0, float(kind != "eeg")] for kind in types]),
        types=np.array(types),
        names=tuple(f"c{k}" for k in range(n)),
    )
    return Reconstructed(
        sensors=sensors,
        scale=np.full(n, 1e-6),
        sfreq=256.0,
        window=L,
        starts=(0,),
        original=(original.astype(np.float32),),
        reconstruction=(reconstruction.astype(np.float32),),
    )


def test_perfect_half_zero_and_inverted() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3 * L))
    for factor, r, error in ((1.0, 1.0, 0.0), (0.5, 1.0, 0.5), (0.0, 0.0, 1.0), (-1.0, -1.0, 2.0)):
        (row,) = fidelity_of(made(x, factor * x, ["eeg", "eeg"]), "id")
        assert row.correlation == pytest.approx(r, abs=1e-5)
        assert row.error_ratio == pytest.approx(error, abs=1e-5)
        assert row.correlation_interval == pytest.approx((r, r), abs=1e-5)
        assert row.error_interval == pytest.approx((error, error), abs=1e-5)
        assert (row.recording, row.n_channels, row.n_windows) == ("id", 2, 3)


def test_types_are_judged_apart_and_channels_and_windows_alike() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 4 * L))
    y = np.array([[1.0], [-1.0], [1.0]]) * x
    y[2, :L] *= -1
    eeg, mag = fidelity_of(made(x, y, ["eeg", "eeg", "mag"]), "id")
    assert (eeg.sensor_type, mag.sensor_type) == ("eeg", "mag")
    assert eeg.correlation == pytest.approx(0, abs=1e-5)  # mean of 1 and -1
    assert mag.correlation == pytest.approx(0.5, abs=1e-5)  # mean of -1, 1, 1, 1
    low, high = mag.correlation_interval
    assert -1 <= low < 0.5 < high <= 1


def test_error_is_a_ratio_of_sums_not_a_mean_of_ratios() -> None:
    x = np.concatenate([np.ones((1, L)), 3 * np.ones((1, L))], axis=1)
    y = np.concatenate([np.zeros((1, L)), 3 * np.ones((1, L))], axis=1)
    (row,) = fidelity_of(made(x, y, ["eeg"]), "id")
    assert row.error_ratio == pytest.approx(0.25)


def test_a_flat_channel_counts_as_zero_and_silence_as_nothing_wrong() -> None:
    (row,) = fidelity_of(made(np.zeros((1, L)), np.zeros((1, L)), ["eeg"]), "id")
    assert (row.correlation, row.error_ratio) == (0, 1)


def test_the_interval_is_the_same_every_time() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((1, 8 * L))
    result = made(x, x + rng.standard_normal(x.shape), ["eeg"])
    assert fidelity_of(result, "id") == fidelity_of(result, "id")
    assert fidelity_of(result, "id") != fidelity_of(result, "id", seed=1)


def test_short_recordings_are_looked_at_whole(small_corpus: Path) -> None:
    # 23 s hold eleven windows of 2 s: in runs of at most four.
    pieces = choose_pieces(Corpus(small_corpus), 0, L, WindowGrid(max_windows=32, run=4))
    assert pieces == [(0, 4), (4 * L, 4), (8 * L, 3)]


def test_long_recordings_are_sampled_evenly(small_corpus: Path) -> None:
    # Runs 2, 2, 2, 2, 2, 1 windows long; four windows allow two runs, the first and the last.
    pieces = choose_pieces(Corpus(small_corpus), 0, L, WindowGrid(max_windows=4, run=2))
    assert pieces == [(0, 2), (10 * L, 1)]


def test_flagged_seconds_are_never_looked_at(
    tmp_path: Path, add_recording: Callable, signal: Callable
) -> None:
    create_corpus(tmp_path, {"sfreq": 256.0})
    add_recording(tmp_path, "a", signal(3, 10 * 256, 0), flagged=(5,))
    add_recording(tmp_path, "b", signal(3, 4 * 256, 0), flagged=(0, 2))
    write_index(tmp_path)
    corpus = Corpus(tmp_path)
    assert choose_pieces(corpus, 0, L, WindowGrid()) == [(0, 2), (6 * 256, 2)]
    assert choose_pieces(corpus, 1, L, WindowGrid()) == []


def test_a_recording_without_a_clean_window_has_no_numbers(
    tmp_path: Path, add_recording: Callable, signal: Callable, encoder: Encoder
) -> None:
    create_corpus(tmp_path, {"sfreq": 256.0})
    add_recording(tmp_path, "a", signal(3, 3 * 256, 0), flagged=(1,))
    write_index(tmp_path)
    assert measure_fidelity(encoder, Corpus(tmp_path), 0) == []


def test_the_reconstruction_is_what_the_codes_say(small_corpus: Path, encoder: Encoder) -> None:
    corpus = Corpus(small_corpus)
    result = reconstruct(encoder, corpus, 2)  # one of its seven channels is bad
    assert len(result.sensors) == 6
    assert [piece.shape for piece in result.reconstruction] == [(6, n * L) for n in (4, 4, 3)]
    tokenizer = encoder.model.tokenizer
    names = list(corpus.sensors(2).names)
    order = [names.index(name) for name in result.sensors.names]
    x = torch.from_numpy(corpus.read(2, result.starts[1], L)[order])
    sensors = encoder.embed(result.sensors)
    codes = tokenizer.tokenize(x.unsqueeze(0), sensors)
    waveform = tokenizer.decode(tokenizer.quantizer.decode(codes), sensors)
    np.testing.assert_allclose(
        result.reconstruction[1][:, :L], waveform[0, :, 0].numpy(), atol=1e-5
    )


def test_how_many_windows_run_at_once_does_not_matter(
    small_corpus: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus(small_corpus)
    whole = measure_fidelity(encoder, corpus, 0)
    monkeypatch.setattr(fidelity_round_trip, "CHANNEL_WINDOWS", 1)
    single = measure_fidelity(encoder, corpus, 0)
    assert single[0].correlation == pytest.approx(whole[0].correlation, abs=1e-5)
    assert replace(single[0], correlation=0).n_windows == 11


@pytest.mark.parametrize("channel_windows", [1, 20, 1024])
def test_a_causal_tokenizer_hears_all_that_was_before_a_piece(
    small_corpus: Path, monkeypatch: pytest.MonkeyPatch, channel_windows: int
) -> None:
    corpus, causal = Corpus(small_corpus), untrained(causal=True)
    whole = reconstruct_pieces(causal, corpus, 0, [(0, 11)])
    monkeypatch.setattr(fidelity_round_trip, "CHANNEL_WINDOWS", channel_windows)
    hop, frames = 64, L // 64
    pieces = [(0, 2), (3 * L, 4), (7 * L + 5 * hop, 3), (1000, 1)]
    found = reconstruct_pieces(causal, corpus, 0, pieces)
    for k, (start, n) in enumerate(pieces):
        waveform = whole.reconstruction[0][:, start : start + n * L]
        np.testing.assert_allclose(found.reconstruction[k], waveform, atol=1e-5)
        first = -(-start // hop)
        expected = whole.codes[0][:, first : first + n * frames]
        np.testing.assert_array_equal(found.codes[k], expected)


def test_causal_codes_are_those_of_the_stream(small_corpus: Path) -> None:
    corpus, causal = Corpus(small_corpus), untrained(causal=True)
    result = reconstruct(causal, corpus, 0, WindowGrid(max_windows=4, run=2))
    assert result.starts == (0, 10 * L)
    names = list(corpus.sensors(0).names)
    order = [names.index(name) for name in result.sensors.names]
    stream = TokenizerStream(causal.model.tokenizer, causal.embed(result.sensors))
    codes = stream.push(corpus.read(0)[order])
    for start, found in zip(result.starts, result.codes, strict=True):
        frames = slice(start // 64, start // 64 + found.shape[1])
        np.testing.assert_array_equal(found.transpose(1, 0, 2), codes[frames])


def test_a_grid_that_holds_no_run_is_refused() -> None:
    with pytest.raises(ValueError, match="run must lie in"):
        WindowGrid(max_windows=2, run=4)
