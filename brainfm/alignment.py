"""From the clock of a sound to the clock of a recording: offset and drift, or a refusal.

Two devices never run at quite the same rate: 50 parts per million are 0.2 s in an hour, more than
the response to a word lasts. The relation is a straight line, fitted so that wrong pairs do not
bend it, and refused where the points do not lie on one.

Shapes: N onsets, T samples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import signal, stats

from brainfm.sensors import FloatArray

ENVELOPE_RATE = 200
"""Samples of an envelope per second."""


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """What is a good fit.

    Parameters
    ----------
    tolerance
        A pair farther from the line than this (s) is wrong; so is a fit whose pairs have a larger
        root mean square.
    least_share
        Share of the pairs that must be right, in (0, 1].
    least_pairs
        Number of pairs that must be right.
    most_drift
        Parts per million by which clocks may differ; more is a wrong sampling rate, no drift.
    """

    tolerance: float = 0.02
    least_share: float = 0.5
    least_pairs: int = 3
    most_drift: float = 1000.0

    def __post_init__(self) -> None:
        for name in ("tolerance", "most_drift"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 < self.least_share <= 1:
            raise ValueError(f"least_share must lie in (0, 1], got {self.least_share}")
        if self.least_pairs < 2:
            raise ValueError(f"least_pairs must be at least 2, got {self.least_pairs}")


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How time in a sound becomes time in a recording.

    Parameters
    ----------
    offset
        Time in the recording at which the sound begins, s.
    drift
        Parts per million by which the recording's clock counts more seconds than the sound's.
    residual
        Root mean square of the distances of the pairs used, s.
    used, left_out
        Number of pairs that lie on the line, and that do not.
    """

    offset: float
    drift: float
    residual: float
    used: int
    left_out: int

    def __call__(self, times: ArrayLike) -> FloatArray:
        """Return times in the recording of times in the sound, s."""
        return self.offset + (1 + 1e-6 * self.drift) * np.asarray(times, dtype=np.float64)


def align_pairs(
    sound: ArrayLike, recording: ArrayLike, config: AlignmentConfig | None = None
) -> Alignment:
    """Fit the clocks to pairs of times of the same events.

    The slope is the median of those of all pairs of pairs (Theil and Sen), right up to 29 % of
    wrong ones; then least squares over what lies within the tolerance.

    Parameters
    ----------
    sound, recording
        (N,) s.
    config
        What is a good fit.

    Raises
    ------
    ValueError
        Too few pairs on the line, a drift that no clock has, points that are on no line.
    """
    cfg = config or AlignmentConfig()
    x, y = (np.asarray(each, dtype=np.float64) for each in (sound, recording))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"pairs of times must be two lists of one length, got {x.shape}, {y.shape}"
        )
    if len(x) < cfg.least_pairs or not np.ptp(x) > 0:
        raise ValueError(
            f"{len(x)} matched onsets are too few to align a sound with a recording; at least "
            f"{cfg.least_pairs} at different times are needed"
        )
    slope, offset = (float(v) for v in stats.theilslopes(y, x, method="joint")[:2])
    near = np.ones(len(x), dtype=bool)
    for _ in range(20):
        apart = np.abs(y - offset - slope * x)
        # The first line may be off by more than the tolerance at its ends: it is let in slowly.
        before, near = near, apart <= max(cfg.tolerance, 2 * float(np.median(apart)))
        if (before == near).all() or near.sum() < cfg.least_pairs or not np.ptp(x[near]) > 0:
            break
        slope, offset = (float(v) for v in np.polyfit(x[near], y[near], 1))
    near = np.abs(y - offset - slope * x) <= cfg.tolerance
    used = int(near.sum())
    if used < max(cfg.least_pairs, cfg.least_share * len(x)):
        worst = float(np.median(np.abs(y - offset - slope * x)))
        raise ValueError(
            f"only {used} of {len(x)} onsets agree within {cfg.tolerance * 1e3:g} ms (half are "
            f"farther than {worst * 1e3:.1f} ms from the best line): sound and recording do not "
            "belong together, or the onsets are matched wrongly"
        )
    drift = (slope - 1) * 1e6
    if abs(drift) > cfg.most_drift:
        raise ValueError(
            f"the clocks differ by {drift:.0f} parts per million, more than {cfg.most_drift:g}: "
            "check the sampling rates of sound and recording"
        )
    residual = float(np.sqrt(np.mean((y - offset - slope * x)[near] ** 2)))
    return Alignment(
        offset=float(offset), drift=float(drift), residual=residual, used=used,
        left_out=len(x) - used,
    )  # fmt: skip


def align_onsets(
    sound: ArrayLike, recording: ArrayLike, config: AlignmentConfig | None = None
) -> Alignment:
    """Fit the clocks to two lists of onsets of which some have no partner.

    Onsets are paired at the shift that brings most of them together, where the drift is felt least;
    from there the line grows.

    Parameters
    ----------
    sound, recording
        (N,), (N',) s: events in the sound, triggers in the recording; in any order.
    config
        What is a good fit; ``least_share`` is of the onsets in the sound.
    """
    cfg = config or AlignmentConfig()
    x, y = (np.unique(np.asarray(each, dtype=np.float64)) for each in (sound, recording))
    if min(len(x), len(y)) < cfg.least_pairs:
        raise ValueError(
            f"{len(x)} onsets in the sound and {len(y)} in the recording are too few to align "
            f"them; at least {cfg.least_pairs} of each are needed"
        )
    shifts = np.sort((y[:, None] - x[None]).ravel())
    # As many shifts as possible within one tolerance of each other.
    last = np.searchsorted(shifts, shifts + cfg.tolerance, side="right")
    best = int((last - np.arange(len(shifts))).argmax())
    slope, offset = 1.0, float(shifts[best : last[best]].mean())
    left, right = _pairs(x, y, slope, offset, cfg.tolerance)
    for _ in range(50):
        if np.ptp(x[left]) > 0 and len(left) >= cfg.least_pairs:
            slope, offset = (
                float(v) for v in stats.theilslopes(y[right], x[left], method="joint")[:2]
            )
        again = _pairs(x, y, slope, offset, cfg.tolerance)
        if len(again[0]) <= len(left):
            break
        left, right = again
    if len(left) < max(cfg.least_pairs, cfg.least_share * len(x)):
        raise ValueError(
            f"only {len(left)} of {len(x)} onsets in the sound have a partner among the {len(y)} "
            f"of the recording within {cfg.tolerance * 1e3:g} ms: they do not belong together"
        )
    return align_pairs(x[left], y[right], cfg)


def _pairs(
    x: FloatArray, y: FloatArray, slope: float, offset: float, tolerance: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return places of onsets that are each other's nearest and within the tolerance."""
    expected = offset + slope * x
    right = np.clip(np.searchsorted(y, expected), 1, len(y) - 1)
    right = right - (expected - y[right - 1] < y[right] - expected)
    back = np.abs(y[right][:, None] - expected[None]).argmin(1)
    good = (np.abs(y[right] - expected) <= tolerance) & (back == np.arange(len(x)))
    left = np.flatnonzero(good)
    return left.astype(np.int64), right[left].astype(np.int64)


def align_channel(
    sound: NDArray[np.floating],
    sound_rate: float,
    channel: NDArray[np.floating],
    channel_rate: float,
    config: AlignmentConfig | None = None,
    *,
    window_s: float = 5.0,
) -> Alignment:
    """Fit the clocks to a sound and the recording of it in an audio channel.

    Envelopes are compared: first as a whole, for the offset, then window by window. A window of
    silence has no say.

    Parameters
    ----------
    sound
        (T,).
    sound_rate, channel_rate
        Samples per second.
    channel
        (T',) of the recording; may begin before the sound and end after it.
    config
        What is a good fit.
    window_s
        Length of a window in s.
    """
    one, two = sound_envelope(sound, sound_rate), sound_envelope(channel, channel_rate)
    return align_envelopes(one, two, config, window_s=window_s)


def align_envelopes(
    one: FloatArray,
    two: FloatArray,
    config: AlignmentConfig | None = None,
    *,
    window_s: float = 5.0,
) -> Alignment:
    """Fit the clocks to the envelopes (:func:`sound_envelope`) of a sound and of a channel.

    Parameters
    ----------
    one, two
        (T,), (T',) at :data:`ENVELOPE_RATE`.
    config, window_s
        As in :func:`align_channel`.
    """
    size, reach = round(window_s * ENVELOPE_RATE), round(0.5 * ENVELOPE_RATE)
    if len(one) < size or len(two) < size:
        raise ValueError(
            f"sound ({len(one) / ENVELOPE_RATE:.1f} s) and channel ({len(two) / ENVELOPE_RATE:.1f} "
            f"s) must both be longer than a window of {window_s:g} s to be aligned"
        )
    match = signal.correlate(two - two.mean(), one - one.mean(), mode="full", method="fft")
    shift = int(match.argmax()) - (len(one) - 1)
    at, found = [], []
    for first in range(0, len(one) - size + 1, size):
        part = one[first : first + size]
        low = first + shift - reach
        beyond = two[max(low, 0) : max(low, 0) + size + 2 * reach]
        if len(beyond) < size or part.std() < 0.1 * one.std():
            continue
        lag = _best_lag(beyond, part)
        if lag is not None:
            at.append((first + size / 2) / ENVELOPE_RATE)
            found.append((max(low, 0) + lag + size / 2) / ENVELOPE_RATE)
    return align_pairs(at, found, config)


def sound_envelope(samples: NDArray[np.floating], rate: float) -> FloatArray:
    """Return the loudness of a sound (T,) at 200 Hz: power below 20 Hz of it, compressed."""
    power = np.asarray(samples, dtype=np.float64)
    power = (power - power.mean()) ** 2
    edges = np.arange(0, len(power) / rate - 1 / ENVELOPE_RATE, 1 / ENVELOPE_RATE) * rate
    total = np.concatenate([[0.0], np.cumsum(power)])
    # The mean of what falls into each 5 ms, exact for any rate.
    ends = np.append(edges, edges[-1] + rate / ENVELOPE_RATE)
    mean = np.diff(np.interp(ends, np.arange(len(total)), total)) * ENVELOPE_RATE / rate
    smooth = signal.butter(2, 20, fs=ENVELOPE_RATE, output="sos")
    return np.maximum(signal.sosfiltfilt(smooth, mean), 0) ** 0.3


def _best_lag(beyond: FloatArray, part: FloatArray) -> float | None:
    """Return the lag in samples at which ``part`` correlates best, None at the border."""
    size = len(part)
    part = (part - part.mean()) / (part.std() * size)
    views = np.lib.stride_tricks.sliding_window_view(beyond, size)
    spread = np.maximum(views.std(axis=1), 1e-12 * (1 + beyond.max()))
    r = (views @ part) / spread
    k = int(r.argmax())
    if not 0 < k < len(r) - 1:
        return None
    bend = r[k - 1] - 2 * r[k] + r[k + 1]
    return k + (0.5 * (r[k - 1] - r[k + 1]) / bend if bend < 0 else 0.0)
