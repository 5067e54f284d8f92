"""Settings of a stream, and what it counts."""

from dataclasses import dataclass, field

from brainfm.encoder import Layer
from brainfm.stream_clock import ClockConfig


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How a stream is encoded.

    Parameters
    ----------
    calibration_s
        Where no calibration is given: the first seconds judge channels and scale, and are encoded
        once they are there.
    layer
        Of the masked model; None for codes alone.
    step
        Frames between two calls of the masked model: latency against work; None: a window of the
        tokenizer.
    decision_s
        Seconds of features that a head of features sees.
    bridge_s
        Gaps up to this long are bridged: the signal holds its value. After longer ones filters and
        context begin anew.
    silent_s
        A channel without change for this long is reported.
    clock
        Of the time stamps.
    """

    calibration_s: float = 20.0
    layer: Layer | None = -2
    step: int | None = None
    decision_s: float = 2.0
    bridge_s: float = 1.0
    silent_s: float = 1.0
    clock: ClockConfig = field(default_factory=ClockConfig)

    def __post_init__(self) -> None:
        for name in ("calibration_s", "decision_s", "silent_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0 s, got {getattr(self, name)}")
        if not self.bridge_s >= 0:
            raise ValueError(f"bridge_s must be at least 0 s, got {self.bridge_s}")


@dataclass(kw_only=True)
class StreamReport:
    """Totals: samples that came, were lost (of these bridged) and came twice; and happenings."""

    n_samples: int = 0
    n_lost: int = 0
    n_bridged: int = 0
    n_repeated: int = 0
    n_restarts: int = 0
    n_reconnects: int = 0
    n_frames: int = 0
    n_labels: int = 0
    drift_ppm: float = 0.0
