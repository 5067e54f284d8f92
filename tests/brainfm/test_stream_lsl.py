"""A device on the network (LSL): a real recording is sent and received on this machine alone."""

import contextlib
import json
import os
import re
import shutil
import signal
import threading
import time

import numpy as np
import pytest
from shown_commands import documented

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.encoder import Encoder
from brainfm.recordings import read_recording
from brainfm.samples import sample_paths
from brainfm.stream import BrainStream, StreamConfig
from brainfm.stream_sources import LslConfig, LslSource

pytestmark = [pytest.mark.slow, pytest.mark.distributed]
CONFIG = """[multicast]
ResolveScope = machine
[lab]
KnownPeers = {127.0.0.1}
[ports]
IPv6 = disable
[log]
level = -3
"""
"""Of the LSL library: look on this machine only, so that no network is needed."""


@pytest.fixture(scope="module")
def lsl(tmp_path_factory):
    path = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    path.write_text(CONFIG)
    # The library reads it once, when it is first used.
    os.environ["LSLAPICFG"] = str(path)
    yield pytest.importorskip("mne_lsl.lsl", reason="mne-lsl is not installed")
    del os.environ["LSLAPICFG"]


@pytest.fixture(autouse=True)
def time_limit():
    """End a test that waits for something that does not come."""

    def late(*_):
        raise TimeoutError("nothing came for a minute")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return save_checkpoint(tiny_model(causal=True), tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def recording():
    return read_recording(next(path for path in sample_paths() if path.name == "muse.edf"))


def outlet_of(lsl, recording, name, source_id):
    """Make an outlet of a recording's channels, in microvolts."""
    names = list(recording.sensors.names)
    info = lsl.StreamInfo(name, "EEG", len(names), recording.sfreq, "float64", source_id)
    info.set_channel_names(names)
    info.set_channel_types("eeg")
    info.set_channel_units("microvolts")
    return lsl.StreamOutlet(info)


def push_in_pieces(outlet, x, begin, sfreq):
    """Send samples (T, C) from ``begin`` on, faster than they were recorded."""
    for at in range(0, len(x), 64):
        part = x[at : at + 64]
        outlet.push_chunk(part, begin + (at + np.arange(len(part))) / sfreq)
        time.sleep(0.02)


@pytest.fixture
def sender(lsl, recording):
    """Make outlets of the recording under a name of their own."""
    name = f"brainfm-test-{time.monotonic_ns()}"

    def make(source_id):
        return outlet_of(lsl, recording, name, source_id)

    make.name = name
    return make


def test_a_sender_that_is_replaced_half_a_second_late(lsl, checkpoint, recording, sender):
    sfreq = recording.sfreq
    x = 1e6 * recording.read(0, int(6 * sfreq))
    outlet = sender("first")
    source = LslSource(LslConfig(name=sender.name, patience_s=1.0, give_up_s=10.0))
    assert source.sensors.names == recording.sensors.names
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

    def later():
        outlet.wait_for_consumers(timeout=20)
        send(x[:, half + lost :], half + lost)

    thread = threading.Thread(target=later, daemon=True)
    thread.start()
    total = x.shape[1] - lost
    while sum(b.values.shape[1] for b in got) < total:
        got.append(next(blocks))
    thread.join(timeout=20)
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


def test_the_command_listens_to_a_device_and_to_markers(lsl, checkpoint, recording, sender, capsys):
    sfreq = recording.sfreq
    x = np.ascontiguousarray(1e6 * recording.read(0, int(4 * sfreq)).T)
    outlet = sender("device")
    info = lsl.StreamInfo(f"{sender.name}-markers", "Markers", 1, 0.0, "string", "keyboard")
    markers = lsl.StreamOutlet(info)

    def send():
        outlet.wait_for_consumers(timeout=20)
        markers.wait_for_consumers(timeout=20)
        begin = lsl.local_clock()
        markers.push_sample(["left"], begin + 1.0)
        push_in_pieces(outlet, x, begin, sfreq)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    words = ["stream", str(checkpoint), "--lsl", sender.name, "--markers", info.name]
    assert main([*words, "--seconds", "3", "--calibration", "1", "--give-up", "20"]) == 0
    thread.join(timeout=20)
    said = capsys.readouterr()
    lines = [json.loads(text) for text in said.out.splitlines()]
    # 3 s at 256 Hz in frames of 32 samples, the block that reaches 3 s whole.
    assert 24 <= sum(entry["frames"] for entry in lines) <= 26
    (event,) = [e for entry in lines for e in entry.get("events", []) if e["kind"] == "marker"]
    assert event["text"] == "left"
    assert "n_lost" not in said.err


@pytest.fixture(scope="module")
def decoder(root, samples, tmp_path_factory):
    """Return the run of the worked example of docs/streaming.md."""
    folder = tmp_path_factory.mktemp("eyes")
    page = (root / "docs" / "streaming.md").read_text(encoding="utf-8")
    settings = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1]
    for number, label in ((1, "open"), (2, "closed")):
        shutil.copy(samples / f"eegmmidb_{number}.edf", folder)
        rows = [f"{second}\t{label}" for second in range(0, 40, 2)]
        table = "\n".join(["onset\ttrial_type", *rows])
        (folder / f"eegmmidb_{number}.tsv").write_text(table + "\n")
    (folder / "eyes.yaml").write_text(settings)
    line = documented("docs/streaming.md: brainfm finetune fit")
    with contextlib.chdir(folder):
        assert main([*line, "--trainer.accelerator", "cpu"]) == 0
    return folder / "runs" / "eyes"


@pytest.mark.parametrize(
    "name",
    [
        "README.md: brainfm stream nano --lsl MyAmplifier",
        "README.md: brainfm stream nano --lsl MyAmplifier --head",
        "docs/streaming.md: brainfm stream nano --lsl MyAmplifier --out",
        "docs/streaming.md: brainfm stream nano --lsl MyAmplifier --markers",
    ],
)
def test_the_lines_of_the_pages(lsl, decoder, samples, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    recording = read_recording(samples / "eegmmidb_2.edf")
    sfreq = recording.sfreq
    x = np.ascontiguousarray(1e6 * recording.read(0, int(10 * sfreq)).T)
    outlet = outlet_of(lsl, recording, "MyAmplifier", name[-20:])
    triggers = lsl.StreamInfo("MyTriggers", "Markers", 1, 0.0, "string", "keyboard")
    markers = lsl.StreamOutlet(triggers)

    def send():
        outlet.wait_for_consumers(timeout=30)
        begin = lsl.local_clock()
        if name.endswith("--markers"):
            markers.wait_for_consumers(timeout=30)
            markers.push_sample(["closed"], begin + 1.0)
        push_in_pieces(outlet, x, begin, sfreq)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    words = documented(name)
    if "--head" in words:
        words[words.index("--head") + 1] = str(decoder)
    short = ["--seconds", "8", "--calibration", "2", "--give-up", "20"]
    assert main([*words, *short]) == 0
    thread.join(timeout=20)
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert sum(entry["frames"] for entry in lines) >= 24
    assert any("decisions" in entry for entry in lines) == ("--head" in words)
    assert (tmp_path / "session").is_dir() == ("--out" in words)
    if "--markers" in words:
        events = [event for entry in lines for event in entry.get("events", [])]
        assert [e["text"] for e in events if e["kind"] == "marker"] == ["closed"]


def test_a_stream_that_is_not_there(lsl):
    with pytest.raises(ValueError, match="no LSL stream named 'nobody' within 1 s"):
        LslSource(LslConfig(name="nobody", give_up_s=1.0))
