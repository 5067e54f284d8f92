"""What a stream said, on disk piece by piece."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from brainfm.checkpoints import save_checkpoint
from brainfm.encoder import Features
from brainfm.samples import sample_paths
from brainfm.stream_messages import Decision, StreamEvent, StreamOutput
from brainfm.stream_record import ABOUT, StreamRecord, read_pieces, read_record


def output(number, frames=4, segment=0):
    """Return an output whose content says which it is."""
    codes = np.full((frames, 3, 2), number, np.uint16)
    times = number + np.arange(frames) / 8
    features = Features(np.full((frames, 3, 5), number, np.float32), times)
    decisions = (Decision(number + 0.5, {"left": 0.25, "right": 0.75}),)
    events = (StreamEvent(float(number), "gap", "3 samples \u2026"),)
    return StreamOutput(codes, times, features, decisions, segment, events)


@pytest.mark.parametrize("features", [False, True])
def test_pieces_hold_all_that_was_said(tmp_path, features):
    record = StreamRecord(tmp_path / "r", piece_s=1.0, features=features, about={"a": 1})
    said = [output(k, segment=k // 4) for k in range(7)]
    for item in said:
        record.add(item, seconds=0.125)
    # Two outputs of four frames of .125 s are a piece; the seventh waits.
    assert len(list((tmp_path / "r").glob("*.npz"))) == 3
    record.flush()
    assert len(list(read_pieces(tmp_path / "r"))) == 4
    assert json.loads((tmp_path / "r" / ABOUT).read_text()) == {"a": 1}
    kept = read_record(tmp_path / "r")
    assert np.array_equal(kept.codes, np.concatenate([o.codes for o in said]))
    assert np.array_equal(kept.times, np.concatenate([o.times for o in said]))
    assert np.array_equal(kept.segment, np.repeat([0, 1], [16, 12]))
    assert kept.decisions == tuple(d for o in said for d in o.decisions)
    assert kept.events == tuple(e for o in said for e in o.events)
    assert len(kept.features) == (28 if features else 0)
    if features:
        wanted = np.concatenate([o.features.values for o in said])
        assert np.array_equal(kept.features, wanted)
        assert np.array_equal(kept.feature_times, kept.times)


def test_events_without_frames_are_kept_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("brainfm.stream_record.MAX_OUTPUTS", 5)
    record = StreamRecord(tmp_path / "r")
    for k in range(12):
        record.add(output(k, frames=0), seconds=0.125)
    assert len(list((tmp_path / "r").glob("*.npz"))) == 2
    record.flush()
    assert [e.time for e in read_record(tmp_path / "r").events] == list(range(12))


def test_what_is_no_record_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no record of a stream"):
        read_record(tmp_path)
    (tmp_path / "x").write_text("")
    with pytest.raises(ValueError, match="is not an empty folder"):
        StreamRecord(tmp_path)
    with pytest.raises(ValueError, match="longer than 0 s"):
        StreamRecord(tmp_path / "r", piece_s=0)
    record = StreamRecord(tmp_path / "r", piece_s=0.1)
    with pytest.raises(ValueError, match="holds no piece"):
        read_record(tmp_path / "r")
    for k in range(3):
        record.add(output(k), seconds=0.125)
    (tmp_path / "r" / "00000001.npz").unlink()
    with pytest.raises(ValueError, match=r"piece 00000001\.npz is missing"):
        read_record(tmp_path / "r")


@pytest.mark.slow
def test_what_was_written_survives_a_kill(tiny_model, tmp_path):
    checkpoint = save_checkpoint(tiny_model(causal=True), tmp_path / "checkpoint")
    muse = next(path for path in sample_paths() if path.name == "muse.edf")
    words = [sys.executable, "-m", "brainfm.cli", "stream", str(checkpoint), "--file", str(muse)]
    words += ["--speed", "4", "--calibration", "2", "--piece", "1", "--layer", "none"]
    folder = tmp_path / "session"
    process = subprocess.Popen(
        [*words, "--out", str(folder)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    until = time.monotonic() + 60
    while len(list(folder.glob("[0-9]*.npz"))) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate(timeout=30)
    # A line that the kill cut in half is no line.
    lines = [json.loads(text) for text in said.split("\n")[:-1]]
    kept = read_record(folder)
    assert len(kept.codes) >= 24
    # Nothing is missing but at most a piece, 8 frames of 1/8 s, and what one block more brings.
    assert 0 <= sum(entry["frames"] for entry in lines) - len(kept.codes) <= 16
    assert np.all(np.diff(kept.times) > 0)
