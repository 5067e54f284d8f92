"""Codes of a signal that is still arriving equal those of the whole recording."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.brain_tokenizer import BrainTokenizer, Sensors
from brainfm.code_times import n_frames
from brainfm.tokenizer_stream import TokenizerStream

N_SENSORS, N_TIMES = 5, 128 * 4 + 50
KINDS = {
    "causal": {"causal": True},
    "windows": {},
    "overlapping": {"overlap": 0.25},
    "published, causal": {"architecture": "brainomni", "causal": True},
    "published": {"architecture": "brainomni"},
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(tiny_model, request) -> BrainTokenizer:
    return tiny_model(**KINDS[request.param]).tokenizer


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N_SENSORS, N_TIMES)).astype(np.float32)


def sensors_of(tokenizer: BrainTokenizer) -> Sensors:
    torch.manual_seed(1)
    return tokenizer.embed_sensors(
        0.1 * torch.randn(1, N_SENSORS, 3),
        torch.zeros(1, N_SENSORS, 3),
        torch.zeros(1, N_SENSORS, dtype=torch.long),
        torch.ones(1, N_SENSORS, dtype=torch.bool),
    )


def in_blocks(tokenizer, signal, cuts):
    """Codes that arrive with every block, and those of the end."""
    stream = TokenizerStream(tokenizer, sensors_of(tokenizer))
    arrived = [stream.push(block) for block in np.split(signal, cuts, axis=1)]
    return [*arrived, stream.finish()]


@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.integers(0, N_TIMES), max_size=12).map(sorted))
def test_blocks_of_any_size_give_the_same_codes(tokenizer, signal, cuts):
    whole = np.concatenate(in_blocks(tokenizer, signal, []))
    assert np.array_equal(np.concatenate(in_blocks(tokenizer, signal, cuts)), whole)


@pytest.mark.parametrize("size", [1, 20, 512])
def test_blocks_of_equal_size_give_the_same_codes(tokenizer, signal, size):
    """One sample, 80 ms and 2 s at 256 Hz."""
    signal = signal[:, :300]
    whole = np.concatenate(in_blocks(tokenizer, signal, []))
    pieces = in_blocks(tokenizer, signal, range(size, 300, size))
    assert np.array_equal(np.concatenate(pieces), whole)


def test_the_stream_gives_the_codes_of_tokenize(tokenizer, signal):
    """Those of the zeros that fill up the last window are left out."""
    found = np.concatenate(in_blocks(tokenizer, signal, [100, 333]))
    batch = torch.from_numpy(signal)[None]
    codes = tokenizer.tokenize(batch, sensors_of(tokenizer))[0].permute(1, 0, 2)
    assert len(found) == n_frames(N_TIMES, tokenizer.cfg) < len(codes)
    assert found.dtype == np.uint16
    assert np.array_equal(found, codes[: len(found)].numpy())


def test_a_code_arrives_with_the_last_sample_it_waits_for(tokenizer, signal):
    """Frames have 32 samples, windows 128: 4 frames."""
    stream = TokenizerStream(tokenizer, sensors_of(tokenizer))
    causal = tokenizer.cfg.causal
    assert stream.latency == (32 if causal else 128)
    assert len(stream.push(signal[:, : stream.latency - 1])) == 0
    block = signal[:, stream.latency - 1 : stream.latency]
    assert stream.push(block).shape == (1 if causal else 4, 3, 2)


def test_memory_does_not_grow(tokenizer, signal):
    stream = TokenizerStream(tokenizer, sensors_of(tokenizer))
    held = []
    for _ in range(6):
        stream.push(np.tile(signal[:, :128], 3))
        states = list((stream._past or {}).values())
        tensors = [t for s in states for t in (s if isinstance(s, tuple) else (s,))]
        held.append(sum(t.untyped_storage().nbytes() for t in [stream._pending, *tensors]))
    assert held[1:] == held[:1] * 5


def test_nothing_in_nothing_out(tokenizer):
    stream = TokenizerStream(tokenizer, sensors_of(tokenizer))
    assert stream.push(np.zeros((N_SENSORS, 0))).shape == (0, 3, 2)
    assert stream.finish().shape == (0, 3, 2)


def test_wrong_use_is_refused(tiny_model, tokenizer, signal):
    stream = TokenizerStream(tokenizer, sensors_of(tokenizer))
    with pytest.raises(ValueError, match=r"\(C, n\) with C = 5, got \(4, 7\)"):
        stream.push(np.zeros((4, 7)))
    stream.finish()
    with pytest.raises(ValueError, match="finished"):
        stream.push(signal)
    with pytest.raises(ValueError, match="finished"):
        stream.finish()
    training = tiny_model().tokenizer.train()
    with pytest.raises(ValueError, match="training mode"):
        TokenizerStream(training, sensors_of(training))
    two = Sensors(torch.zeros(2, 5, 16), torch.ones(2, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="one recording"):
        TokenizerStream(tokenizer, two)
