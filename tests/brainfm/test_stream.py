"""A stream gives what the finished recording does, and says what happened on the way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.causal_signal import CausalSignal, calibrate
from brainfm.encoder import Encoder
from brainfm.processing import process
from brainfm.recordings import recording_from_array
from brainfm.stream import Block, BrainStream, StreamConfig
from brainfm.stream_segment import CausallyPrepared
from brainfm.trailing_features import TrailingFeatures

SFREQ, SECONDS = 500.0, 8.0


T0 = 1000.0


@pytest.fixture(scope="module", params=["causal", "windows"])
def encoder(tiny_model, request):
    return Encoder(tiny_model(causal=request.param == "causal"))


@pytest.fixture(scope="module")
def sensors(head_sensors):
    return head_sensors(["eeg"] * 5)


@pytest.fixture(scope="module")
def signal(brain_noise):
    x = brain_noise(5, SECONDS, sfreq=SFREQ)
    return x + 1e-3 * np.arange(1, 6)[:, None]  # electrode offsets


@pytest.fixture(scope="module")
def calibration(encoder, sensors, signal):
    recording = recording_from_array(signal, SFREQ, sensors)
    return calibrate(recording, encoder.model.record.processing)


@pytest.fixture
def stream(encoder, sensors, calibration):
    def make(**settings):
        return BrainStream(
            encoder, sensors, SFREQ, StreamConfig(**settings), calibration=calibration
        )

    return make


def blocks_of(x, size=40, begin=T0, rate=SFREQ):
    for at in range(0, x.shape[1], size):
        yield Block(x[:, at : at + size], begin + at / rate)


def joined_codes(outputs):
    return np.concatenate([o.codes for o in outputs])


def joined_features(outputs):
    return np.concatenate([o.features.values for o in outputs if o.features is not None])


def events(outputs):
    return [e for o in outputs for e in o.events]


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 3999), max_size=8, unique=True).map(sorted))
def test_the_preparation_does_not_depend_on_blocks(calibration, signal, cuts):
    x = signal.copy()
    x[1, 700:900] = np.nan
    x[:, 2000:2100] = np.nan

    def prepared(parts):
        causal = CausalSignal(calibration)
        return np.concatenate([*(causal.push(part) for part in parts), causal.finish()], axis=1)

    whole = prepared([x])
    # 8 s at 256 Hz.
    assert whole.shape == (5, 2048)
    assert np.isfinite(whole).all()
    assert np.array_equal(prepared(np.split(x, cuts, axis=1)), whole)


def test_the_calibration_does_not_depend_on_blocks(encoder, sensors, signal):
    louder = signal * np.linspace(1, 3, signal.shape[1])

    def scale(size):
        stream = BrainStream(encoder, sensors, SFREQ, StreamConfig(calibration_s=3.3))
        list(stream.run(blocks_of(louder, size)))
        return stream.calibration.scale

    assert np.array_equal(scale(40), scale(997))


def test_the_preparation_is_near_that_of_recordings(encoder, sensors, brain_noise):
    """From 2 to 40 Hz; filters that only look back change the phases of slower waves."""
    from scipy.signal import butter, sosfiltfilt

    x = brain_noise(5, 20.0, sfreq=SFREQ, seed=1)
    recording = recording_from_array(x, SFREQ, sensors, line_freq=50.0)
    cfg = encoder.model.record.processing
    calibration = calibrate(recording, cfg)
    assert calibration.notches == (50.0, 100.0)
    band = butter(4, [2, 40], "bandpass", fs=256, output="sos")
    causal = sosfiltfilt(band, CausallyPrepared(x, calibration).blocks()[0].astype(float))
    wanted = sosfiltfilt(band, process(recording, cfg).array().astype(float))[calibration.order]
    assert causal.shape == wanted.shape
    for a, b in zip(causal[:, 1280:-1280], wanted[:, 1280:-1280], strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.995


def test_nothing_waits_for_the_future(calibration, signal):
    """What comes out before a sample arrives cannot change with it."""
    causal = CausalSignal(calibration)
    before = causal.push(signal[:, :2000])
    late = 4.0 - before.shape[1] / 256
    assert 0 < late < calibration.delay_s < 0.2


@pytest.mark.parametrize("size", [7, 40, 1234])
def test_codes_are_those_of_the_finished_recording(encoder, stream, calibration, signal, size):
    offline = np.concatenate(list(encoder.code_blocks(CausallyPrepared(signal, calibration))))
    outputs = list(stream().run(blocks_of(signal, size)))
    # 2048 samples, frames of 32.
    assert len(offline) == 64
    assert np.array_equal(joined_codes(outputs), offline)
    assert events(outputs) == []
    times = np.concatenate([o.times for o in outputs])
    np.testing.assert_allclose(times, T0 + (np.arange(64) + 0.5) / 8, atol=2e-3)


def test_features_of_whole_contexts_are_those_of_encode(encoder, stream, calibration, signal):
    context = 3 * encoder.model.tokenizer.cfg.frames_per_window
    prepared = CausallyPrepared(signal, calibration)
    offline = np.concatenate([f.values for f, _ in encoder.feature_blocks(prepared)])
    outputs = list(stream(step=context).run(blocks_of(signal)))
    np.testing.assert_allclose(joined_features(outputs), offline, atol=1e-5)


def test_features_of_a_step_are_those_of_the_context_before(encoder, stream, signal):
    outputs = list(stream(step=5).run(blocks_of(signal)))
    codes, features = joined_codes(outputs), joined_features(outputs)
    assert len(features) == len(codes) == 64
    again = TrailingFeatures(encoder, step=5)
    np.testing.assert_array_equal(np.concatenate([again.push(codes), again.finish()]), features)
    import torch

    # Frames 30 to 34 are the end of the twelve frames of context that end there.
    inputs = torch.from_numpy(codes[23:35].astype(np.int64)).permute(1, 0, 2)[None]
    wanted = encoder.model.masked_model.features(inputs)[0].permute(1, 0, 2)[-5:]
    np.testing.assert_allclose(features[30:35], wanted.numpy(), atol=1e-6)


def test_it_calibrates_itself(encoder, sensors, signal, calibration):
    settings = StreamConfig(calibration_s=SECONDS)
    own = BrainStream(encoder, sensors, SFREQ, settings)
    given_one = BrainStream(encoder, sensors, SFREQ, settings, calibration=calibration)
    a, b = (joined_codes(list(s.run(blocks_of(signal)))) for s in (own, given_one))
    assert np.array_equal(a, b)


def test_a_short_gap_is_bridged_and_reported(stream, signal):
    kept = [b for i, b in enumerate(blocks_of(signal)) if i not in (20, 21, 22)]
    live = stream()
    outputs = list(live.run(kept))
    (event,) = events(outputs)
    assert event.kind == "gap"
    assert "120 samples (0.24 s) are missing: bridged" in event.text
    # After 20 blocks of 80 ms and the 240 ms that are missing.
    assert event.time == pytest.approx(T0 + 1.84, abs=2e-3)
    assert (live.report.n_lost, live.report.n_bridged) == (120, 120)
    assert live.report.n_samples == 3880
    # No frame is lost: time goes on.
    assert len(joined_codes(outputs)) == 64
    assert np.concatenate([o.times for o in outputs])[-1] == pytest.approx(T0 + 63.5 / 8, abs=5e-3)


def test_after_a_long_gap_it_begins_anew(stream, signal, calibration, encoder):
    first, second = signal[:, :1600], signal[:, 2400:]
    live = stream(bridge_s=1.0)
    outputs = list(live.run([*blocks_of(first), *blocks_of(second, begin=T0 + 4.8)]))
    assert live.report.n_restarts == 1
    assert live.report.n_lost == 800
    assert live.report.n_bridged == 0
    for segment, x, begin in ((0, first, 0.0), (1, second, 4.8)):
        mine = [o for o in outputs if o.segment == segment]
        offline = np.concatenate(list(encoder.code_blocks(CausallyPrepared(x, calibration))))
        assert np.array_equal(joined_codes(mine), offline)
        times = np.concatenate([o.times for o in mine])
        np.testing.assert_allclose(times, T0 + begin + (np.arange(len(times)) + 0.5) / 8, atol=5e-3)


def test_repeated_samples_are_dropped(stream, signal):
    blocks = list(blocks_of(signal))
    live = stream()
    # Blocks 30 to 32 come twice.
    outputs = list(live.run([*blocks[:33], *blocks[30:]]))
    assert np.array_equal(joined_codes(outputs), joined_codes(list(stream().run(blocks))))
    assert live.report.n_repeated == 120
    assert {e.kind for e in events(outputs)} == {"repeated"}


def test_a_clock_that_is_set_back_begins_anew(stream, signal):
    live = stream()
    outputs = list(live.run([*blocks_of(signal), *blocks_of(signal, begin=5.0)]))
    assert [e.kind for e in events(outputs)] == ["clock"]
    assert live.report.n_samples == 8000
    assert live.report.n_repeated == 0
    second = [o for o in outputs if o.segment == 1]
    assert np.array_equal(joined_codes(second), joined_codes(outputs)[64:])
    assert np.concatenate([o.times for o in second])[0] == pytest.approx(5.0625, abs=2e-3)


def test_a_drifting_clock_is_no_gap(stream, brain_noise):
    x = brain_noise(5, 60.0, sfreq=SFREQ)
    live = stream(layer=None)
    rate = SFREQ / (1 + 150e-6)
    jitter = np.random.default_rng(0).normal(0, 1e-3, 2000)
    blocks = [
        b._replace(time=b.time + j) for b, j in zip(blocks_of(x, rate=rate), jitter, strict=False)
    ]
    outputs = list(live.run(blocks))
    assert events(outputs) == []
    assert live.report.n_lost == live.report.n_repeated == 0
    assert 50 < live.report.drift_ppm < 250


def test_channels_that_fall_silent_are_named(stream, signal):
    x = signal.copy()
    x[2, 1000:2500] = x[2, 1000]
    x[4, 3000:] = np.nan
    outputs = list(stream(silent_s=1.0).run(blocks_of(x)))
    assert [e.text for e in events(outputs)] == [
        "eeg2 has fallen silent",
        "eeg2 is back",
        "eeg4 has fallen silent",
    ]
    assert [round(e.time - T0, 1) for e in events(outputs)] == [3.0, 5.0, 7.0]
    assert len(joined_codes(outputs)) == 64


def test_a_head_decides_on_the_last_seconds(encoder, sensors, calibration, signal):
    seen = []

    def head(features):
        seen.append(features)
        return len(seen)

    settings = StreamConfig(decision_s=2.0, step=4)
    live = BrainStream(encoder, sensors, SFREQ, settings, calibration=calibration, head=head)
    outputs = list(live.run(blocks_of(signal, 8)))
    # 16 frames are 2 s: the first decision comes with frame 16, then one every 4 frames.
    assert [o.decision for o in outputs if o.decision is not None] == list(range(1, 14))
    assert all(f.values.shape == (16, 3, 24) for f in seen)
    assert np.diff(seen[0].times) == pytest.approx(1 / 8, abs=1e-3)


def test_memory_stays(stream, signal):
    """Nothing that the stream holds grows with its length."""
    import pickle

    live = stream()

    def held():
        return len(pickle.dumps((live._open._signal._tape, live._open._features._codes)))

    sizes = []
    for k in range(6):
        for block in blocks_of(signal, 40, begin=T0 + k * SECONDS):
            live.push(block)
        sizes.append(held())
    assert max(sizes[1:]) <= 1.1 * sizes[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 0}, "step must lie in"),
        ({"step": 99}, "step must lie in"),
        ({"decision_s": 0}, "decision_s must be above 0"),
        ({"bridge_s": -1}, "bridge_s must be at least 0"),
    ],
)
def test_wrong_settings_are_named(stream, signal, settings, message):
    with pytest.raises(ValueError, match=message):
        stream(**settings).push(Block(signal[:, :40], T0))


def test_wrong_blocks_are_named(stream, signal):
    with pytest.raises(ValueError, match="expected"):
        stream().push(Block(signal[:3], T0))
    with pytest.raises(ValueError, match="time stamps must be finite"):
        stream().push(Block(signal[:, :10], np.nan))
