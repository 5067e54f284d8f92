"""When the samples of a stream were taken, and which are missing, by the time stamps of its blocks.

A device's clock and the computer's do not run alike: time stamps are fitted by a line over the last
minutes, and only what is far from the line is a gap.
"""

import math
from dataclasses import dataclass

MEMORY_S = 120.0
"""Time stamps older than this count for a third."""

JITTER_S, DRIFT = 5e-3, 2e-4
"""Expected scatter of time stamps, and of rates: 200 parts in a million."""


@dataclass(frozen=True, kw_only=True)
class ClockConfig:
    """How far a time stamp may be from where it is expected.

    Parameters
    ----------
    tolerance_s
        A block that comes later than this has lost samples before it, an earlier one repeats some,
        seconds.
    """

    tolerance_s: float = 0.05

    def __post_init__(self) -> None:
        if not self.tolerance_s > 0:
            raise ValueError(f"tolerance_s must be above 0 s, got {self.tolerance_s}")


class StreamClock:
    """A line through time stamps.

    Parameters
    ----------
    sfreq
        Nominal samples per second.
    cfg
        Settings.
    """

    def __init__(self, sfreq: float, cfg: ClockConfig | None = None) -> None:
        self.sfreq, self.cfg = sfreq, cfg or ClockConfig()
        self._begin: float | None = None
        self._count = 0
        # Weighted sums over earlier stamps: x seconds before the last, y deviation from nominal.
        self._n = self._x = self._xx = self._y = self._xy = 0.0

    @property
    def drift_ppm(self) -> float:
        """Return how much slower than nominal the device samples, parts in a million."""
        return 1e6 * self._line()[1]

    @property
    def end(self) -> float:
        """Return the time at which the next sample is expected, s."""
        offset, _ = self._line()
        return (self._begin or 0.0) + self._count / self.sfreq + offset

    def time(self, back: float) -> float:
        """Return the time ``back`` samples before the next one, s."""
        return self.end - back / self.sfreq * (1 + self._line()[1])

    def back(self, time: float) -> float:
        """Return how many samples before the next one a time is; negative: after it."""
        return (self.end - time) * self.sfreq / (1 + self._line()[1])

    def place(self, time: float | None) -> int:
        """Take the time stamp of a block's first sample; return the samples lost before it.

        Negative where the block repeats samples; the clock then does not go back. None for the
        time: the block follows the one before.
        """
        if time is None:
            return 0
        if not math.isfinite(time):
            raise ValueError(f"time stamps must be finite, got {time}")
        if self._begin is None:
            self._begin = time
        late = time - self.end
        lost = round(late * self.sfreq) if abs(late) > self.cfg.tolerance_s else 0
        if lost < 0:
            return lost
        self.advance(lost)
        self._fit(time - self._begin - self._count / self.sfreq)
        return lost

    def advance(self, n: int) -> None:
        """Count ``n`` samples."""
        self._count += n
        shift = n / self.sfreq
        self._xx += shift * (shift * self._n - 2 * self._x)
        self._xy -= shift * self._y
        self._x -= shift * self._n
        forget = math.exp(-abs(shift) / MEMORY_S)
        self._n, self._x, self._xx = forget * self._n, forget * self._x, forget * self._xx
        self._y, self._xy = forget * self._y, forget * self._xy

    def _fit(self, deviation: float) -> None:
        """Take a stamp at the present sample, x = 0."""
        self._n += 1
        self._y += deviation

    def _line(self) -> tuple[float, float]:
        """Return the deviation at the next sample, s, and the drift, as a ridge regression."""
        if self._n == 0:
            return 0.0, 0.0
        mean_x, mean_y = self._x / self._n, self._y / self._n
        spread = self._xx - self._n * mean_x**2
        drift = (self._xy - self._n * mean_x * mean_y) / (spread + (JITTER_S / DRIFT) ** 2)
        return mean_y - drift * mean_x, drift


class SegmentTimes:
    """From the seconds of an uninterrupted segment to times on the clock of the blocks, and back.

    Parameters
    ----------
    clock
        Of the stream, as it is now.
    n_times
        Samples of the segment.
    behind
        Samples from the end of the segment to the next sample of the stream.
    """

    def __init__(self, clock: StreamClock, n_times: int, behind: int) -> None:
        self.clock, self._until = clock, n_times + behind

    def time(self, second: float) -> float:
        """Return the time of a second of the segment."""
        return self.clock.time(self._until - second * self.clock.sfreq)

    def second(self, time: float) -> float:
        """Return the second of the segment at a time; negative: before it."""
        return (self._until - self.clock.back(time)) / self.clock.sfreq
