"""A decoder in a stream says what it says offline, and its readout is refitted while it runs."""

import json

import numpy as np
import pytest
import torch
import yaml
from brainfm.finetune.decoder import load_decoder, unlabelled
from brainfm.finetune.recalibration import MIN_TRIALS
from brainfm.finetune.stream_decision import StreamDecision

from brainfm.batches import Window
from brainfm.causal_signal import calibrate
from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.encoder import Encoder
from brainfm.recordings import read_recording, recording_from_array
from brainfm.stream import Block, BrainStream, Marker, StreamConfig
from brainfm.stream_record import read_record
from brainfm.stream_segment import CausallyPrepared

SPACING, LENGTH, SFREQ = 2.0, 1.0, 256.0
"""Of the synthetic recordings of conftest.py."""


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return save_checkpoint(tiny_model(), tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="module")
def run(planted_folder, checkpoint, tmp_path_factory):
    """Return a finished run in closed form on synthetic people with a planted effect."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {
        "data": {
            "source": {
                "class_path": "brainfm.finetune.recording_sources.Files",
                "init_args": {"root": str(planted_folder), "files": ["*_raw.fif"]},
            },
            "trials": {"window": [0.0, LENGTH], "baseline": [-0.25, 0.0]},
            "split": {"by": "subject"},
            "batch_size": 8,
            "cache": str(planted_folder.parent / "cache"),
        },
        "model": {
            "backbone": {
                "class_path": "brainfm.finetune.pretrained.Pretrained",
                "init_args": {"checkpoint": str(checkpoint), "features": "sources"},
            },
            "head": {
                "class_path": "brainfm.finetune.classification.Classification",
                "init_args": {"pooling": {"kind": "bands"}},
            },
            "adaptation": {"kind": "ridge"},
        },
        "trainer": {"accelerator": "cpu"},
    }
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert main(["finetune", "fit", "--config", str(path), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def recording(planted_folder):
    return read_recording(planted_folder / "sub-01_task-synthetic_run-01_raw.fif")


def blocks_of(x, size, markers=(), begin=100.0):
    left = sorted(markers)
    for at in range(0, x.shape[1], size):
        due = [m for m in left if m.time < begin + (at + size) / SFREQ]
        left = left[len(due) :]
        yield Block(x[:, at : at + size], begin + at / SFREQ, markers=tuple(due))


def streamed(checkpoint, head, recording, blocks, calibration):
    stream = BrainStream(
        Encoder.from_pretrained(checkpoint),
        recording.sensors,
        recording.sfreq,
        StreamConfig(layer=None),
        calibration=calibration,
        head=head,
    )
    return stream, list(stream.run(blocks))


def test_decisions_are_those_of_the_same_prepared_window(run, checkpoint, recording):
    x = recording.read(0, recording.n_times)
    decoder = load_decoder(run)
    calibration = calibrate(recording, decoder.module.backbone.processing)
    prepared = CausallyPrepared(x, calibration)
    (signal,) = prepared.blocks()
    # A trial of 1 s with .25 s of baseline before it, every .5 s.
    ends = range(320, signal.shape[1] + 1, 128)
    windows = []
    for end in ends:
        part = signal[:, end - 320 : end].astype(np.float32)
        windows.append(
            Window(
                x=part[:, 64:] - part[:, :64].mean(axis=1, keepdims=True),
                sensors=prepared.sensors,
                good=prepared.good,
                scale=prepared.channel_scale.astype(np.float32),
                lowpass=96.0,
                recording=0,
                start=0,
            )
        )
    wanted = decoder.predict(unlabelled(windows, [0.0] * len(windows)))
    said = {}
    for size in (20, 333):
        head = StreamDecision.of_run(run)
        _, outputs = streamed(checkpoint, head, recording, blocks_of(x, size), calibration)
        decisions = [d for o in outputs for d in o.decisions]
        assert len(decisions) == len(ends)
        np.testing.assert_allclose([list(d.value.values()) for d in decisions], wanted, atol=1e-5)
        assert all(list(d.value) == ["left", "right"] for d in decisions)
        np.testing.assert_allclose(
            [d.time for d in decisions], 100.0 + np.array(ends) / SFREQ, atol=5e-3
        )
        said[size] = [d.value for d in decisions]
    # However the samples were cut into blocks, and to the last bit.
    assert said[20] == said[333]


def accuracy(outputs, onsets, labels):
    """Return the share of trials whose window of decision, the nearest, was told right."""
    decisions = [d for o in outputs for d in o.decisions]
    times = np.array([d.time for d in decisions])
    right = []
    for onset, label in zip(onsets, labels, strict=True):
        near = decisions[int(np.abs(times - onset - LENGTH).argmin())]
        right.append(max(near.value, key=near.value.get) == label)
    return np.mean(right)


def test_a_few_labelled_minutes_mend_the_readout(run, checkpoint, recording):
    """Synthetic: the channels of the day are others, and the two classes change theirs."""
    rng = np.random.default_rng(5)
    labels = rng.permutation(["left", "right"] * 20).tolist()
    n_times = int(SFREQ * SPACING * (len(labels) + 1))
    x = rng.standard_normal((6, n_times))
    wave = np.arange(int(SFREQ * LENGTH)) / SFREQ
    # In training: 8 Hz at C3 for left, 20 Hz at C4 for right (order of the file: C3 is 1, C4 3).
    rhythm = {"left": (20.0, 5), "right": (8.0, 0)}
    onsets = []
    for k, label in enumerate(labels):
        rate, channel = rhythm[label]
        start = int(SFREQ * SPACING * (k + 0.5))
        x[channel, start : start + len(wave)] += 3 * np.sin(2 * np.pi * rate * wave)
        onsets.append(100.0 + start / SFREQ)
    x *= 1e-5
    day = recording_from_array(x, SFREQ, recording.sensors)
    head = StreamDecision.of_run(run, every_s=0.25)
    calibration = calibrate(day, head.processing)
    encoder = Encoder.from_pretrained(checkpoint)
    stream = BrainStream(
        encoder, day.sensors, SFREQ, StreamConfig(layer=None), calibration=calibration, head=head
    )
    markers = [Marker(t, label) for t, label in zip(onsets[:24], labels[:24], strict=True)]
    first, second = [], []
    for block in blocks_of(x, 64, [*markers, Marker(101.0, "pause")]):
        (first if block.time < onsets[24] - 0.5 else second).append(block)
    before = [o for block in first for o in stream.push(block)]
    assert stream.report.n_labels == head.n_learned == 24
    text = stream.recalibrate()
    assert text.startswith("readout refitted after 24 labelled trials")
    after = [o for block in second for o in stream.push(block)] + stream.finish()
    # It went on: no sample of the second half is missing, and time and codes follow on.
    assert sum(len(o.codes) for o in before + after) == -(-n_times // 32)
    assert stream.report.n_restarts == 0
    old = accuracy(before, onsets[:24], labels[:24])
    new = accuracy(after, onsets[24:], labels[24:])
    assert old < 0.5 < 0.8 < new
    events = [e for o in before + after for e in o.events]
    assert [e.text for e in events if e.kind == "label"] == [
        "'pause' is no label of this head: not used"
    ]
    assert [e.text for e in events if e.kind == "head"] == [text]
    assert sum(e.kind == "marker" for e in events) == 25


def test_a_readout_that_is_good_stays(run, recording):
    """A new one is taken only where it is better: here the old one is always right."""
    head = StreamDecision.of_run(run)
    calibration = calibrate(recording, head.processing)
    (signal,) = CausallyPrepared(recording.read(0, recording.n_times), calibration).blocks()
    before = [p.clone() for p in head.decoder.module.head.readout.parameters()]
    for k in range(12):
        start = round(SFREQ * (SPACING * (k + 0.5) - 0.25))
        x = signal[:, start : start + 320]
        said = head.decide(x, calibration)
        assert head.learn(x, calibration, max(said, key=said.get))
    text = head.refit()
    assert "readout left as it is after 12 labelled trials" in text
    assert "1.000 of the old" in text
    for a, b in zip(before, head.decoder.module.head.readout.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_command_decides_and_recalibrates(run, checkpoint, planted_folder, tmp_path, capsys):
    file = planted_folder / "sub-01_task-synthetic_run-01_raw.fif"
    words = ["stream", str(checkpoint), "--file", str(file), "--speed", "0", "--layer", "none"]
    words += [
        "--calibration",
        "4",
        "--head",
        str(run),
        "--every",
        "0.5",
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*words, "--events", "annotations", "--recalibrate", "20"]) == 0
    said = capsys.readouterr()
    lines = [json.loads(text) for text in said.out.splitlines()]
    decisions = [d for entry in lines for d in entry.get("decisions", [])]
    # 26 s, a first stretch of 1.25 s, then one every .5 s.
    assert len(decisions) == 50
    assert all(sum(d["value"].values()) == pytest.approx(1) for d in decisions)
    events = [e for entry in lines for e in entry.get("events", [])]
    assert sum(e["kind"] == "marker" for e in events) == 12
    assert [e["text"][:8] for e in events if e["kind"] == "head"] == ["readout "]
    assert "n_labels 12" in said.err
    kept = read_record(tmp_path / "o")
    assert [d.value for d in kept.decisions] == [d["value"] for d in decisions]
    assert main([*words[:-2], "--recalibrate", "20"]) == 1
    assert "--recalibrate needs a --head and labels" in capsys.readouterr().err


def test_what_cannot_be_done_is_said(run, checkpoint, recording):
    head = StreamDecision.of_run(run)
    calibration = calibrate(recording, head.processing)
    x = recording.read(0, 2560)
    with pytest.raises(ValueError, match="no labelled trial has come"):
        head.refit()
    markers = [Marker(100.0 + k, "left") for k in range(1, 6)]
    late = [*blocks_of(x, 64), Block(np.zeros((6, 64)), markers=(Marker(50.0, "left"),))]
    stream, outputs = streamed(checkpoint, head, recording, late, calibration)
    (event,) = [e for o in outputs for e in o.events if e.kind == "label"]
    assert event.text == "label 'left' at 50.000 s is not used: its signal is no longer at hand"
    stream, _ = streamed(checkpoint, head, recording, blocks_of(x, 64, markers), calibration)
    assert stream.report.n_labels == 5
    with pytest.raises(ValueError, match=f"at least {MIN_TRIALS} labelled trials of each class: 5"):
        stream.recalibrate()
    with pytest.raises(ValueError, match="more than 0 s apart"):
        StreamDecision.of_run(run, every_s=0.0)
    with pytest.raises(FileNotFoundError, match="is no fine-tuning run"):
        StreamDecision.of_run(checkpoint)


def test_a_head_of_another_preparation_is_refused(run, tiny_model, recording):
    from dataclasses import replace

    from brainfm.checkpoints import BrainModel

    model = tiny_model()
    record = replace(model.record, processing=replace(model.record.processing, l_freq=1.0))
    other = BrainModel(record)
    with pytest.raises(ValueError, match=r"l_freq 0\.1 and 1\.0"):
        BrainStream(
            Encoder(other), recording.sensors, recording.sfreq, head=StreamDecision.of_run(run)
        )
