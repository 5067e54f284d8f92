"""Codes, features and decisions of a recording that is still going on.

Blocks of samples go in; what they complete comes out, with the time at which it was recorded.
Latency and memory are bounded, for days. What happens to the signal (gaps, repeated samples,
channels that fall silent, a device that is connected anew) is mended where it can be and always
reported.

The codes are those of the finished recording with the same causal preparation
(:class:`brainfm.stream_segment.CausallyPrepared`), however it was cut into blocks. They are not
those of :meth:`Encoder.tokenize`, whose filters look 17 s ahead and whose scale is that of all of
the recording.

Shapes: C sensors, T samples, P latent frames, N sources, Q quantizers, D width.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from brainfm.causal_signal import Calibration, calibrate
from brainfm.code_times import frame_times
from brainfm.encoder import Encoder, Features
from brainfm.recordings import recording_from_array
from brainfm.sensors import SensorArray
from brainfm.silent_channels import SilentChannels
from brainfm.stream_clock import SegmentTimes, StreamClock
from brainfm.stream_config import StreamConfig, StreamReport
from brainfm.stream_decisions import Head, SignalHead
from brainfm.stream_judge import StreamJudge
from brainfm.stream_messages import Block, Decision, Marker, StreamEvent, StreamOutput
from brainfm.stream_segment import Completed, StreamSegment

__all__ = [
    "Block",
    "BrainStream",
    "Decision",
    "Marker",
    "StreamConfig",
    "StreamEvent",
    "StreamOutput",
    "StreamReport",
]

FloatArray = NDArray[np.float64]


class BrainStream:
    """One recording, block by block.

    Parameters
    ----------
    encoder
        The model; one with a causal tokenizer answers frame by frame, others window by window.
    sensors
        The C sensors whose samples arrive.
    sfreq
        Their nominal rate, Hz.
    cfg
        Settings.
    calibration
        Of an earlier recording with these sensors (:func:`brainfm.causal_signal.calibrate`).
    head
        What makes decisions: a function of features, or a :class:`SignalHead`, which also learns
        from blocks' markers (:meth:`recalibrate`).
    """

    def __init__(
        self,
        encoder: Encoder,
        sensors: SensorArray,
        sfreq: float,
        cfg: StreamConfig | None = None,
        *,
        calibration: Calibration | None = None,
        head: Head | SignalHead | None = None,
    ) -> None:
        self.encoder, self.sensors, self.sfreq = encoder, sensors, float(sfreq)
        self.cfg = cfg or StreamConfig()
        self._judge = StreamJudge(head, encoder, self.cfg)
        encoder.check_types(sensors)
        if calibration is not None and (
            calibration.sensors.names != sensors.names or calibration.sfreq != self.sfreq
        ):
            raise ValueError("calibration belongs to other channels or another rate")
        self.calibration = calibration
        self.report = StreamReport()
        self.segment = 0
        self._clock = StreamClock(self.sfreq, self.cfg.clock)
        self._silent = SilentChannels(sensors.names, self.cfg.silent_s * self.sfreq)
        self._events: list[StreamEvent] = []
        self._waiting: list[FloatArray] = []  # until there is a calibration
        self._open: StreamSegment | None = None

    def run(self, blocks: Iterable[Block]) -> Iterator[StreamOutput]:
        """Yield what the blocks complete, and what their end does."""
        for block in blocks:
            yield from self.push(block)
        yield from self.finish()

    def push(self, block: Block) -> list[StreamOutput]:
        """Take a block; return what it completes, none where nothing is to be said."""
        values = np.asarray(block.values, np.float64)
        if values.ndim != 2 or len(values) != len(self.sensors):
            raise ValueError(f"expected (C, T) with C = {len(self.sensors)}, got {values.shape}")
        if block.reconnected:
            self.report.n_reconnects += 1
            self._tell("reconnected", "the source was lost and is back")
        for marker in block.markers:
            self._events.append(StreamEvent(marker.time, "marker", marker.label))
        self._judge.add(block.markers)
        if values.shape[1] == 0:
            return []
        found: list[StreamOutput] = []
        lost = self._clock.place(block.time)
        self.report.n_samples += values.shape[1]
        if -lost > self.cfg.bridge_s * self.sfreq:
            found = self._new_clock(-lost, block.time)
        elif lost < 0:
            values = self._without_repeated(-lost, values)
        self._clock.advance(values.shape[1])
        if lost > 0:
            found, values = self._after_gap(lost, values)
        self.report.drift_ppm = self._clock.drift_ppm
        for text in self._silent.push(values):
            self._tell("channel", text)
        return found + self._encode(values)

    def finish(self) -> list[StreamOutput]:
        """Return what is left, the last frame filled up with zeros; nothing should follow."""
        found = self._calibrate() if self._waiting else []
        return found + self._close(behind=0)

    def recalibrate(self) -> str:
        """Refit the head on the labelled stretches that have come; return what that did.

        The stream goes on with the head as it is then.

        Raises
        ------
        ValueError
            The head is not one that can be refit, or too few labels have come.
        """
        said = self._judge.recalibrate()
        self._tell("head", said)
        return said

    def _after_gap(self, lost: int, values: FloatArray) -> tuple[list[StreamOutput], FloatArray]:
        """Bridge a short gap before the block; end the segment before a long one."""
        self.report.n_lost += lost
        text = f"{lost} samples ({lost / self.sfreq:.3g} s) are missing"
        behind = values.shape[1]
        if lost <= self.cfg.bridge_s * self.sfreq:
            self.report.n_bridged += lost
            self._tell("gap", f"{text}: bridged", back=behind)
            gap = np.full((len(values), lost), np.nan)
            return [], np.concatenate([gap, values], axis=1)
        waiting = sum(part.shape[1] for part in self._waiting)
        if waiting:
            self.report.n_lost += waiting
            text += f", with the {waiting} before them that were to calibrate"
            self._waiting = []
        self._tell("gap", f"{text}: filters and context begin anew", back=behind)
        return self._begin_anew(behind=behind + lost), values

    def _new_clock(self, back: int, time: float | None) -> list[StreamOutput]:
        """Begin anew where time stamps go back by more than any block repeats."""
        text = f"time stamps went back by {back / self.sfreq:.3g} s: all begins anew"
        self._tell("clock", text)
        found = self._begin_anew(behind=0)
        self._clock = StreamClock(self.sfreq, self.cfg.clock)
        self._clock.place(time)
        return found

    def _begin_anew(self, *, behind: int) -> list[StreamOutput]:
        found = self._close(behind=behind)
        self.segment += 1
        self.report.n_restarts += 1
        return found

    def _without_repeated(self, repeated: int, values: FloatArray) -> FloatArray:
        """Drop samples that came before."""
        dropped = min(repeated, values.shape[1])
        self.report.n_repeated += dropped
        self._tell("repeated", f"{dropped} samples came a second time: dropped")
        return values[:, dropped:]

    def _encode(self, values: FloatArray) -> list[StreamOutput]:
        if self.calibration is None:
            self._waiting.append(values)
            n = sum(part.shape[1] for part in self._waiting)
            return self._calibrate() if n >= self.cfg.calibration_s * self.sfreq else self._said()
        if self._open is None:
            self._open = StreamSegment(
                self.encoder, self.calibration, layer=self.cfg.layer, step=self.cfg.step
            )
        return self._outputs(self._open, self._open.push(values), behind=0)

    def _calibrate(self) -> list[StreamOutput]:
        """Judge the signal by its first seconds, and encode what has come."""
        values = np.concatenate(self._waiting, axis=1)
        self._waiting = []
        # Not by all of the last block: how a signal is cut into blocks must not matter.
        first = values[:, : math.ceil(self.cfg.calibration_s * self.sfreq)]
        recording = recording_from_array(first, self.sfreq, self.sensors, source="calibration")
        self.calibration = calibrate(recording, self.encoder.model.record.processing)
        for name, reason in self.calibration.bad_reasons.items():
            self._tell("channel", f"{name} is left out: {reason}")
        return self._encode(values)

    def _close(self, *, behind: int) -> list[StreamOutput]:
        """End the segment, which ended ``behind`` samples before the next one."""
        if self._open is None:
            return self._said()
        segment, self._open = self._open, None
        found = self._outputs(segment, segment.finish(), behind=behind)
        self._judge.restart()
        return found

    def _outputs(
        self, segment: StreamSegment, done: Completed, *, behind: int
    ) -> list[StreamOutput]:
        assert self.calibration is not None, "nothing is encoded before there is one"
        self.report.n_frames += len(done.codes)
        at = SegmentTimes(self._clock, segment.n_times, behind)
        times = self._times(at, segment.n_frames, len(done.codes))
        features = None
        if done.features is not None and len(done.features):
            n = len(done.features)
            features = Features(done.features, self._times(at, segment.n_features, n))
        decisions = self._judge.push(done, features, at, self.calibration)
        for text in self._judge.learn(at, self.calibration):
            self._tell("label", text)
        self.report.n_labels = self._judge.n_labels
        if not len(done.codes) and features is None and not decisions and not self._events:
            return []
        events, self._events = tuple(self._events), []
        return [StreamOutput(done.codes, times, features, decisions, self.segment, events)]

    def _said(self) -> list[StreamOutput]:
        """Return what happened while there was nothing to encode with."""
        if not self._events:
            return []
        cfg = self.encoder.model.tokenizer.cfg
        codes = np.zeros((0, cfg.n_sources, cfg.quantizer.n_quantizers), np.uint16)
        events, self._events = tuple(self._events), []
        return [StreamOutput(codes, np.zeros(0), None, (), self.segment, events)]

    def _times(self, at: SegmentTimes, stop: int, n: int) -> NDArray[np.float64]:
        """Return the times (n,) of the last ``n`` of ``stop`` frames of a segment."""
        within = frame_times(stop - n, stop, self.encoder.model.tokenizer.cfg)
        return np.array([at.time(second) for second in within.tolist()])

    def _tell(self, kind: str, text: str, *, back: int = 0) -> None:
        self._events.append(StreamEvent(self._clock.time(back), kind, text))
