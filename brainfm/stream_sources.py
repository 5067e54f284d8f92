"""Where the blocks of a stream come from: a file that is played, or a device on the network (LSL).

Shapes: C sensors, T samples.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainfm.channels import ReadOptions, select_channels
from brainfm.recordings import Recording
from brainfm.sensors import FloatArray, SensorArray
from brainfm.stream_messages import Block


def played(
    recording: Recording,
    *,
    block_s: float = 0.08,
    speed: float | None = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Block]:
    """Yield a recording as if it were being made; times are seconds from its first sample.

    Parameters
    ----------
    recording
        What to play.
    block_s
        Length of a block, seconds.
    speed
        1: in real time; 10: ten times faster; None: as fast as it is taken.
    sleep
        Waits so many seconds.
    """
    if not block_s > 0:
        raise ValueError(f"block_s must be above 0 s, got {block_s}")
    if speed is not None and not speed > 0:
        raise ValueError(f"speed must be above 0, got {speed}")
    size = max(1, round(block_s * recording.sfreq))
    begin = time.monotonic()
    for at in range(0, recording.n_times, size):
        stop = min(at + size, recording.n_times)
        values = recording.read(at, stop)
        if speed is not None:
            due = begin + stop / recording.sfreq / speed
            sleep(max(0.0, due - time.monotonic()))
        yield Block(values, at / recording.sfreq)


@dataclass(frozen=True, kw_only=True)
class LslConfig:
    """Which stream of the Lab Streaming Layer to listen to.

    Parameters
    ----------
    name
        Of the stream.
    source_id
        Of its device, where several have one name.
    block_s
        Seconds of samples that are asked for at once.
    patience_s
        Silence after which the stream counts as lost and is looked for anew, seconds.
    give_up_s
        Time that looking for it may take, seconds.
    """

    name: str
    source_id: str | None = None
    block_s: float = 0.08
    patience_s: float = 2.0
    give_up_s: float = 60.0

    def __post_init__(self) -> None:
        for field in ("block_s", "patience_s", "give_up_s"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{field} must be above 0 s, got {getattr(self, field)}")


class LslSource:
    """A stream of the Lab Streaming Layer; ends when it stays away.

    Parameters
    ----------
    cfg
        Which.
    options
        How its channels are read: montage, units, channels to leave out.

    Raises
    ------
    ValueError
        No such stream, or one without a rate or without channels that can be placed.
    """

    def __init__(self, cfg: LslConfig, options: ReadOptions | None = None) -> None:
        self.cfg, self.options = cfg, options or ReadOptions()
        found = self._find()
        if found is None:
            raise ValueError(
                f"no LSL stream named {cfg.name!r} within {cfg.give_up_s:g} s; is it running, and "
                "does the network let multicast pass?"
            )
        self._inlet = self._open(found)
        # What is found tells no names of channels; the stream itself does.
        found = self._inlet.get_sinfo(timeout=10)
        self.sfreq = float(found.sfreq)
        if not self.sfreq > 0:
            raise ValueError(f"LSL stream {cfg.name!r} has no regular rate")
        chosen = select_channels(found.get_channel_info(), self.options, reader="LSL")
        self.sensors: SensorArray = chosen.sensors
        self._picks = chosen.picks
        self._scale = self._units(found)

    def blocks(self) -> Iterator[Block]:
        """Yield blocks with the sender's time stamps, corrected for the clocks' difference."""
        size = max(1, round(self.cfg.block_s * self.sfreq))
        reconnected = False
        while True:
            values, stamp = self._pull(size)
            if values is None:
                found = self._find()
                if found is None:
                    return
                self._inlet.close_stream()
                self._inlet = self._open(found)
                reconnected = True
                continue
            yield Block(values, stamp, reconnected)
            reconnected = False

    def _pull(self, size: int) -> tuple[FloatArray | None, float | None]:
        """Return the next samples (C, T) and the time of the first; None when there are none."""
        until = time.monotonic() + self.cfg.patience_s
        while time.monotonic() < until:
            try:
                data, stamps = self._inlet.pull_chunk(timeout=self.cfg.block_s, max_samples=size)
            except Exception:  # the library raises kinds of its own when the sender is gone
                return None, None
            if len(stamps):
                values = np.asarray(data, np.float64).T[self._picks] * self._scale[:, None]
                return values, float(stamps[0])
        return None, None

    def _find(self) -> Any:
        """Return the stream's description, None if it does not show up."""
        from mne_lsl.lsl import resolve_streams

        until = time.monotonic() + self.cfg.give_up_s
        while time.monotonic() < until:
            wait = min(1.0, self.cfg.give_up_s)
            found = resolve_streams(wait, name=self.cfg.name, source_id=self.cfg.source_id)
            if found:
                return found[0]
        return None

    @staticmethod
    def _open(found: Any) -> Any:
        from mne_lsl.lsl import StreamInlet

        inlet = StreamInlet(found, recover=False, processing_flags=["clocksync"])
        inlet.open_stream(timeout=10)
        return inlet

    def _units(self, found: Any) -> FloatArray:
        """Return the SI value of one unit of each chosen channel (C,)."""
        from brainfm.amplitude import unit_factors

        if self.options.unit is not None:
            return unit_factors(self.options.unit, self.sensors.types)
        units = found.get_channel_units() or []
        named = {"microvolts": 1e-6, "uv": 1e-6, "µv": 1e-6, "millivolts": 1e-3, "mv": 1e-3}
        scale = np.ones(len(self._picks))
        for row, pick in enumerate(self._picks.tolist()):
            unit = str(units[pick]).lower() if units else "none"
            if unit in named:
                scale[row] = named[unit]
            elif unit.lstrip("-").isdigit():
                scale[row] = 10.0 ** int(unit)  # mne-lsl's own spelling, a power of ten
        return scale
