"""Recordings that share calls of the tokenizer: each has the codes that it has alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.encoder import Encoder
from brainfm.recordings_together import codes_together


class Signal:
    """Standardised noise of some electrodes; can break off."""

    def __init__(self, sensors, n_times, seed, *, breaks=False):
        rng = np.random.default_rng(seed)
        self.sensors, self.n_times, self.breaks = sensors, n_times, breaks
        self.good = rng.random(len(sensors)) < 0.9
        self.good[0] = True
        self.x = rng.standard_normal((len(sensors), n_times)).astype(np.float16)

    def blocks(self):
        half = self.n_times // 2
        yield self.x[:, :half]
        if self.breaks:
            raise OSError("the recording ends early")
        yield self.x[:, half:]


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return Encoder(tiny_model(masked=None, types={"eeg": 0}))


@pytest.fixture(scope="module")
def signals(head_sensors):
    """Of 2 to 5 electrodes and 0.3 to 4 s; a window is 128 samples."""
    lengths = (80, 128, 300, 1000, 129, 640, 77, 512)
    return [
        Signal(head_sensors(["eeg"] * (2 + k % 4), seed=k), n, seed=k)
        for k, n in enumerate(lengths)
    ]


@pytest.fixture(scope="module")
def alone(encoder, signals):
    return [np.concatenate(list(encoder.code_blocks(s))) for s in signals]


@settings(max_examples=25, deadline=None)
@given(
    chosen=st.lists(st.integers(0, 7), unique=True, min_size=1),
    channel_windows=st.integers(1, 60),
)
def test_company_does_not_matter(encoder, signals, alone, chosen, channel_windows):
    pairs = [(i, signals[i]) for i in chosen]
    found = dict(codes_together(encoder, pairs, channel_windows=channel_windows))
    assert sorted(found) == sorted(chosen)
    for i, codes in found.items():
        assert codes.dtype == np.uint16
        assert np.array_equal(codes, alone[i])


@pytest.mark.parametrize("channel_windows", [1, 9, 1024])
def test_a_broken_recording_spoils_no_other(encoder, signals, alone, head_sensors, channel_windows):
    broken = Signal(head_sensors(["eeg"] * 3, seed=1), 2000, seed=9, breaks=True)
    foreign = Signal(head_sensors(["mag"] * 3, seed=1), 400, seed=9)
    pairs = [(1, signals[1]), (-1, broken), (5, signals[5]), (-2, foreign), (0, signals[0])]
    found = dict(codes_together(encoder, pairs, channel_windows=channel_windows))
    assert isinstance(found[-1], OSError)
    assert "takes eeg; the recording also has mag" in str(found[-2])
    for i in (0, 1, 5):
        assert np.array_equal(found[i], alone[i])


def test_windows_of_a_broken_recording_do_not_stay(encoder, head_sensors):
    """Three windows a call: one before, then some of a recording that breaks off, one after."""
    sensors = head_sensors(["eeg"] * 3)
    before, broken, after = (Signal(sensors, n, seed=k) for k, n in enumerate((128, 2000, 128)))
    broken.breaks = True
    for signal in (before, broken, after):
        signal.good[:] = True
    pairs = enumerate([before, broken, after])
    found = dict(codes_together(encoder, pairs, channel_windows=9))
    assert isinstance(found[1], OSError)
    for k, signal in ((0, before), (2, after)):
        assert np.array_equal(found[k], np.concatenate(list(encoder.code_blocks(signal))))


def test_short_recordings_share_calls(encoder, head_sensors):
    """Twelve recordings of a window each, four electrodes: eight windows go at once."""
    sensors = head_sensors(["eeg"] * 4)
    pairs = [(k, Signal(sensors, 128, seed=0)) for k in range(12)]
    calls = []
    hook = encoder.model.tokenizer.quantizer.register_forward_pre_hook(
        lambda _, x: calls.append(len(x[0]))
    )
    n_good = int(pairs[0][1].good.sum())
    assert len(list(codes_together(encoder, pairs, channel_windows=8 * n_good))) == 12
    hook.remove()
    assert calls == [8, 4]


def test_causal_recordings_go_by_themselves(tiny_model, signals):
    encoder = Encoder(tiny_model(masked=None, causal=True, types={"eeg": 0}))
    found = dict(codes_together(encoder, enumerate(signals), channel_windows=7))
    for i, signal in enumerate(signals):
        assert np.array_equal(found[i], np.concatenate(list(encoder.code_blocks(signal))))
