"""The head of a stream: asked where something is due, told what was labelled."""

from collections.abc import Iterable

from brainfm.causal_signal import Calibration
from brainfm.code_times import seconds_per_frame
from brainfm.encoder import Encoder, Features
from brainfm.stream_clock import SegmentTimes
from brainfm.stream_config import StreamConfig
from brainfm.stream_decisions import Head, RecentFeatures, SignalHead, SignalTape
from brainfm.stream_labels import StreamLabels
from brainfm.stream_messages import Decision, Marker
from brainfm.stream_segment import Completed


class StreamJudge:
    """A head of either kind, or none, in one stream.

    Parameters
    ----------
    head
        What decides; None: nothing is ever decided.
    encoder
        The stream's model.
    cfg
        Settings of the stream.

    Raises
    ------
    ValueError
        The head needs features that are not computed, or a signal prepared in another way.
    """

    def __init__(self, head: Head | SignalHead | None, encoder: Encoder, cfg: StreamConfig) -> None:
        self.head, self.encoder, self.cfg = head, encoder, cfg
        self._rate = encoder.model.record.processing.sfreq
        self._labels: StreamLabels | None = None
        if isinstance(head, SignalHead):
            head.check(encoder.model.record.processing)
            self._labels = StreamLabels(head, self._rate)
        elif head is not None and cfg.layer is None:
            raise ValueError("layer must be given where there is a head, which needs features")
        self.restart()

    def restart(self) -> None:
        """Forget the signal: a new segment begins."""
        frame_s = seconds_per_frame(self.encoder.model.tokenizer.cfg)
        self._recent = RecentFeatures(max(1, round(self.cfg.decision_s / frame_s)))
        self._tape = (
            SignalTape(self.head, self._rate) if isinstance(self.head, SignalHead) else None
        )

    @property
    def n_labels(self) -> int:
        """Return how many labelled stretches the head has learned from."""
        return 0 if self._labels is None else self._labels.n_used

    def add(self, markers: Iterable[Marker]) -> None:
        """Take labels, which wait for their signal."""
        if self._labels is not None:
            self._labels.add(markers)

    def push(
        self,
        done: Completed,
        features: Features | None,
        times: SegmentTimes,
        calibration: Calibration,
    ) -> tuple[Decision, ...]:
        """Return what the head says of what is complete."""
        if isinstance(self.head, SignalHead):
            assert self._tape is not None, "a head of signals has a tape"
            return tuple(
                Decision(times.time(stop / self._rate), self.head.decide(x, calibration))
                for stop, x in self._tape.push(done.signal)
            )
        if self.head is None or features is None:
            return ()
        recent = self._recent.push(features)
        return () if recent is None else (Decision(float(recent.times[-1]), self.head(recent)),)

    def learn(self, times: SegmentTimes, calibration: Calibration) -> list[str]:
        """Let the head learn from labelled stretches that are complete; return what is unused."""
        if self._labels is None or self._tape is None:
            return []
        return self._labels.learn(
            self._tape, calibration, lambda time: round(times.second(time) * self._rate)
        )

    def recalibrate(self) -> str:
        """Refit the head on what it has learned, and say in a line what that did."""
        if not isinstance(self.head, SignalHead):
            raise ValueError("only a head that judges the signal can be refit while it runs")
        return self.head.refit()
