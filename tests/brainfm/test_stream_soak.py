"""An hour of a stream with everything that goes wrong in one; memory, and every sample's account.

The signal is synthetic noise, played as fast as it is taken.
"""

import numpy as np
import psutil
import pytest

from brainfm.encoder import Encoder
from brainfm.stream import Block, BrainStream, StreamConfig
from brainfm.stream_decisions import SignalHead
from brainfm.stream_messages import Marker
from brainfm.stream_record import StreamRecord, read_pieces

SFREQ, SIZE, SECONDS = 256.0, 128, 3600
DRIFT, JITTER_S = 100e-6, 5e-4
"""The device samples slower than it says; time stamps scatter."""
BRIDGED, SHORT, LONG = 30, 200, 2000
"""Samples of gaps: the first two are bridged, the third begins the stream anew."""


class Peak(SignalHead):
    """Says how large the last second was; counts what it was taught."""

    first, n_times, every = 0, 256, 256

    def __init__(self, processing):
        self.processing_, self.taught = processing, 0

    @property
    def processing(self):
        return self.processing_

    def decide(self, x, calibration):
        return float(np.abs(x).max())

    def learn(self, x, calibration, label):
        self.taught += 1
        return True


class Device:
    """Sends a minute of noise over and over, and knows what it did not send or sent twice."""

    def __init__(self, minute, seed=0):
        self.minute, self.rng = minute, np.random.default_rng(seed)
        self.sent = self.lost = self.repeated = self.gaps = self.reconnects = self.marked = 0
        self.clock = 0  # samples that the device has taken

    def stamp(self, sample):
        """Return a time stamp as the computer sees it."""
        return 50.0 + sample / SFREQ * (1 + DRIFT) + self.rng.normal(0, JITTER_S)

    def blocks(self):
        last = None
        while self.sent < SECONDS * SFREQ:
            reconnected = False
            quiet = self.sent < 60 * SFREQ
            if not quiet and self.rng.random() < 0.006:
                gap = int(self.rng.choice([BRIDGED, SHORT, LONG]))
                self.lost, self.clock, self.gaps = self.lost + gap, self.clock + gap, self.gaps + 1
                reconnected = gap == LONG
                self.reconnects += reconnected
            elif last is not None and not quiet and self.rng.random() < 0.004:
                self.repeated += SIZE
                self.sent += SIZE
                yield last._replace(markers=())
            at = self.clock % (60 * 256 - SIZE)
            x = self.minute[:, at : at + SIZE].copy()
            minute = int(self.sent / SFREQ / 60)
            if minute % 10 == 5:
                x[3] = np.nan
            if minute % 10 == 7:
                x[1] = x[1, 0] = 1e-5
            markers = ()
            if not quiet and self.rng.random() < 0.01:
                markers = (Marker(self.stamp(self.clock), "now"),)
                self.marked += 1
            last = Block(x, self.stamp(self.clock), reconnected, markers)
            self.clock, self.sent = self.clock + SIZE, self.sent + SIZE
            yield last


@pytest.mark.slow
def test_an_hour_of_gaps_reconnects_drift_and_silent_channels(
    tiny_model, head_sensors, brain_noise, tmp_path
):
    encoder = Encoder(tiny_model())
    device = Device(brain_noise(5, 60.0))
    head = Peak(encoder.model.record.processing)
    live = BrainStream(encoder, head_sensors(["eeg"] * 5), SFREQ, StreamConfig(step=12), head=head)
    record = StreamRecord(tmp_path / "record", piece_s=60.0)
    memory, n_frames, n_decisions, told = [], 0, 0, []

    def take(outputs):
        nonlocal n_frames, n_decisions
        for output in outputs:
            n_frames += len(output.codes)
            n_decisions += len(output.decisions)
            told.extend((e.kind, e.text) for e in output.events if e.kind != "marker")
            record.add(output, seconds=0.125)

    for number, block in enumerate(device.blocks()):
        take(live.push(block))
        if number % 720 == 0:
            memory.append(psutil.Process().memory_info().rss / 2**20)
    take(live.finish())
    record.flush()
    report = live.report
    # Every sample that came, every one that did not, and every one that came twice.
    assert report.n_samples == device.sent
    assert report.n_repeated == device.repeated > 0
    # A gap's length is known to the scatter of two time stamps, half a sample.
    assert device.gaps >= 20
    assert abs(report.n_lost - device.lost) <= device.gaps
    assert sum(kind == "gap" for kind, _ in told) == device.gaps
    assert sum(kind == "reconnected" for kind, _ in told) == device.reconnects > 0
    assert report.n_restarts == report.n_reconnects == device.reconnects
    assert sum(kind == "repeated" for kind, _ in told) == device.repeated / SIZE
    # What was lost is said, and nothing else: an hour drifted by 360 ms without a false gap.
    assert live._clock.end == pytest.approx(device.stamp(device.clock), abs=0.01)
    silent = [text for kind, text in told if kind == "channel" and "silent" in text]
    assert sum("eeg3" in text for text in silent) == sum("eeg1" in text for text in silent) == 6
    # Every segment is whole frames of 32 samples, its last one begun.
    encoded = (report.n_samples - report.n_repeated + report.n_bridged) / 32
    assert encoded <= n_frames == report.n_frames <= encoded + 1 + report.n_restarts
    assert n_decisions == pytest.approx(encoded / 8, abs=2 * (report.n_restarts + 1))
    # Labels whose second of signal was cut off by a long gap, or by the end, teach nothing.
    assert 0 <= device.marked - head.taught <= report.n_restarts + 1
    assert report.n_labels == head.taught
    # All of it is on disk, and memory is that of the first minutes.
    pieces = list(read_pieces(tmp_path / "record"))
    assert sum(len(piece.codes) for piece in pieces) == n_frames
    assert sum(len(piece.decisions) for piece in pieces) == n_decisions
    assert max(memory[3:]) - memory[2] < 20
