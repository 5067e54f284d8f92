"""The stream command, and a file that is played."""

import itertools
import json

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
from brainfm.stream_record import read_record
from brainfm.stream_sources import played


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
    out = tmp_path / "session"
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
    kept = read_record(out)
    assert len(kept.codes) == len(kept.times) == len(kept.segment) == n_frames
    assert np.array_equal(kept.codes[:78], codes[:78])
    assert main(words) == 1
    assert "is not an empty folder" in capsys.readouterr().err


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
    words = ["stream", str(checkpoint), "--file", str(muse)]
    assert main([*words, "--markers", "triggers"]) == 1
    assert "--markers go with --lsl" in capsys.readouterr().err
    assert main(["stream", str(checkpoint), "--lsl", "x", "--events", "annotations"]) == 1
    assert "an LSL stream has --markers" in capsys.readouterr().err
