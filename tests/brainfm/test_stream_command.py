"""The stream command and its sources: a file that is played, a device on the network."""

import itertools
import json
import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.encoder import Encoder
from brainfm.recordings import read_recording, recording_from_array
from brainfm.samples import sample_paths
from brainfm.stream import BrainStream, StreamConfig
from brainfm.stream_head import classifier_head
from brainfm.stream_sources import LslConfig, LslSource, played


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return save_checkpoint(tiny_model(causal=True), tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def muse():
    return next(path for path in sample_paths() if path.name == "muse.edf")


def test_a_file_is_played_at_its_speed(brain_noise, head_sensors):
    x = brain_noise(4, 1.0)
    recording = recording_from_array(x, 256.0, head_sensors(["eeg"] * 4))
    waits = []
    blocks = list(played(recording, block_s=0.25, speed=2.0, sleep=waits.append))
    assert np.array_equal(np.concatenate([b.values for b in blocks], axis=1), x)
    assert [b.time for b in blocks] == [0.0, 0.25, 0.5, 0.75]
    # Nothing waited, so that each is due at its end, at twice the speed.
    np.testing.assert_allclose(waits, [0.125, 0.25, 0.375, 0.5], atol=0.05)
    with pytest.raises(ValueError, match="speed must be above 0"):
        list(played(recording, speed=-1.0))


def test_lines_and_codes(checkpoint, muse, tmp_path, capsys):
    out = tmp_path / "codes.npz"
    words = ["stream", str(checkpoint), "--file", str(muse), "--speed", "0", "--out", str(out)]
    assert main([*words, "--calibration", "5", "--seconds", "10"]) == 0
    said = capsys.readouterr()
    lines = [json.loads(text) for text in said.out.splitlines()]
    # 10 s at 256 Hz and frames of 32 samples; the block of 0.08 s that reaches 10 s is whole.
    n_frames = sum(entry["frames"] for entry in lines)
    assert n_frames in (80, 81)
    assert all(len(entry["features"]) == 24 for entry in lines if "features" in entry)
    assert "n_samples 25" in said.err
    recording = read_recording(muse)
    live = BrainStream(
        Encoder.from_pretrained(checkpoint),
        recording.sensors,
        recording.sfreq,
        StreamConfig(calibration_s=5.0, layer=None),
    )
    outputs = list(live.run(played(recording, speed=None)))
    codes = np.concatenate([o.codes for o in outputs])
    with np.load(out) as kept:
        assert len(kept["codes"]) == len(kept["times"]) == len(kept["segment"]) == n_frames
        assert np.array_equal(kept["codes"][:78], codes[:78])


def test_a_classifier_decides(checkpoint, muse):
    rng = np.random.default_rng(0)
    classifier = LogisticRegression().fit(rng.standard_normal((20, 72)), np.arange(20) % 2)
    recording = read_recording(muse)
    live = BrainStream(
        Encoder.from_pretrained(checkpoint),
        recording.sensors,
        recording.sfreq,
        StreamConfig(calibration_s=5.0),
        head=classifier_head(classifier, "mean"),
    )
    blocks = itertools.islice(played(recording, speed=None), 125)
    decided = [o.decision for o in live.run(blocks) if o.decision is not None]
    assert decided
    assert all(sum(d.values()) == pytest.approx(1) and set(d) == {"0", "1"} for d in decided)
    with pytest.raises(ValueError, match="no probabilities"):
        classifier_head(object())


def test_wrong_lines(checkpoint, muse, capsys):
    assert main(["stream", str(checkpoint)]) == 1
    assert "one of --file and --lsl" in capsys.readouterr().err
    assert main(["stream", str(checkpoint), "--file", str(muse), "--speed=-2"]) == 1
    assert "--speed must be at least 0" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.distributed
def test_a_device_on_the_network(checkpoint, muse):
    """A real recording is sent by LSL; the sender is replaced on the way, half a second late."""
    lsl = pytest.importorskip("mne_lsl.lsl")
    recording = read_recording(muse)
    sfreq, names = recording.sfreq, list(recording.sensors.names)
    x = 1e6 * recording.read(0, int(6 * sfreq))
    name = f"brainfm-test-{time.monotonic_ns()}"

    def sender(source_id):
        info = lsl.StreamInfo(name, "EEG", len(names), sfreq, "float64", source_id)
        info.set_channel_names(names)
        info.set_channel_types("eeg")
        info.set_channel_units("microvolts")
        return lsl.StreamOutlet(info)

    outlet = sender("first")
    cfg = LslConfig(name=name, patience_s=1.0, give_up_s=5.0)
    source = LslSource(cfg)
    assert source.sensors.names == tuple(names)
    assert source.sfreq == sfreq
    begin, half = lsl.local_clock(), x.shape[1] // 2

    def send(part, at):
        stamps = begin + (at + np.arange(part.shape[1])) / sfreq
        outlet.push_chunk(np.ascontiguousarray(part.T), stamps)

    send(x[:, :half], 0)
    blocks = source.blocks()
    got = []
    while sum(b.values.shape[1] for b in got) < half:
        got.append(next(blocks))
    del outlet
    outlet = sender("second")
    lost = round(0.5 * sfreq)
    import threading

    def later():
        outlet.wait_for_consumers(timeout=10)
        send(x[:, half + lost :], half + lost)

    thread = threading.Thread(target=later)
    thread.start()
    total = x.shape[1] - lost
    while sum(b.values.shape[1] for b in got) < total:
        got.append(next(blocks))
    thread.join()
    sent = np.concatenate([x[:, :half], x[:, half + lost :]], axis=1)
    np.testing.assert_allclose(np.concatenate([b.values for b in got], axis=1), 1e-6 * sent)
    assert sum(b.reconnected for b in got) == 1
    live = BrainStream(
        Encoder.from_pretrained(checkpoint), source.sensors, sfreq, StreamConfig(calibration_s=2.0)
    )
    outputs = list(live.run(got))
    assert live.report.n_reconnects == 1
    assert live.report.n_lost == live.report.n_bridged == lost
    assert {e.kind for o in outputs for e in o.events} >= {"reconnected", "gap"}
