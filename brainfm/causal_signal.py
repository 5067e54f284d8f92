"""Preparation of a signal that is still arriving: nothing waits for what comes much later.

Recordings are prepared with filters that look 17 s ahead and with judgements on all of them
(:mod:`brainfm.processing`). Here, in the same order: rate and low-pass with the same kernel (it
looks some 70 ms ahead), high-pass and notches as recursive filters that look back only, average
reference, and scale and choice of channels as they were found in a stretch of calibration. From
2 to 40 Hz a model sees nearly the same signal (correlation .999 on noise); slower waves, whose
phases a filter that looks back must change, differ.

Matrix products are computed in groups of :data:`GROUP` samples counted from the first, all else
sample after sample, so that no bit of the result depends on how the samples were cut into blocks.

Shapes: C channels of the recording, G good ones, T samples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, iirnotch, sosfilt, sosfilt_zi, tf2sos

from brainfm.encoder import canonical_order
from brainfm.filtering import Resampler, make_resampler, one_thread, usable_lowpass
from brainfm.processing import POTENTIALS, process
from brainfm.processing_config import ProcessingConfig
from brainfm.recordings import Recording
from brainfm.scaling import to_half
from brainfm.sensors import SensorArray

FloatArray = NDArray[np.float64]

GROUP = 8
"""Samples of the result that are computed together."""

NOTCH_QUALITY = 30.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What a stream knows of its signal beforehand.

    Parameters
    ----------
    sensors
        The C sensors that arrive.
    sfreq
        Their rate, Hz.
    order
        (G,) good channels in canonical order.
    scale
        (G,) SI value of one unit of the result.
    referenced
        (G,) true where the average of these channels is subtracted.
    notches
        Hz.
    bad_reasons
        Name of each channel left out, and why.
    cfg
        The model's processing.
    """

    sensors: SensorArray
    sfreq: float
    order: NDArray[np.int64]
    scale: FloatArray
    referenced: NDArray[np.bool_]
    notches: tuple[float, ...]
    bad_reasons: dict[str, str]
    cfg: ProcessingConfig

    @property
    def used(self) -> SensorArray:
        """Return the G sensors of the result."""
        return self.sensors.select(self.order)

    @property
    def delay_s(self) -> float:
        """Return the longest wait of a sample for its result, s."""
        return (self.resampler.reach + 2) / self.sfreq + GROUP / self.cfg.sfreq

    @property
    def resampler(self) -> Resampler:
        """Return the low-pass and change of rate."""
        h_freq = usable_lowpass(self.cfg.h_freq, self.sfreq, self.cfg.sfreq)
        return make_resampler(self.sfreq, self.cfg.sfreq, h_freq)

    @property
    def sections(self) -> FloatArray:
        """Return high-pass and notches as second-order sections (S, 6), none as (0, 6)."""
        rate = self.cfg.sfreq
        parts = [np.zeros((0, 6))]
        if self.cfg.l_freq:
            parts.append(butter(2, self.cfg.l_freq, "highpass", fs=rate, output="sos"))
        parts += [tf2sos(*iirnotch(notch, NOTCH_QUALITY, fs=rate)) for notch in self.notches]
        return np.concatenate(parts)


def calibrate(recording: Recording, cfg: ProcessingConfig) -> Calibration:
    """Judge channels, scale and mains hum by a recording: the stream's first seconds, or others.

    Raises
    ------
    ValueError
        Too short, or too few good channels.
    """
    processed = process(recording, cfg)
    order = canonical_order(processed.sensors, processed.good)
    used = processed.sensors.select(order)
    return Calibration(
        sensors=recording.sensors,
        sfreq=recording.sfreq,
        order=order,
        scale=processed.channel_scale[order],
        referenced=np.isin(used.types, POTENTIALS) & (cfg.reference == "average"),
        notches=processed.notches,
        bad_reasons=processed.bad_reasons,
        cfg=cfg,
    )


class CausalSignal:
    """Samples in SI units to standardised ones, block by block; memory does not grow.

    Parameters
    ----------
    calibration
        Of this signal.
    """

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self._resampler, self._sections = calibration.resampler, calibration.sections
        n = len(calibration.order)
        self._held, self._shift = np.zeros((n, 1)), np.zeros((n, 1))
        self._open = np.zeros(n, dtype=bool)  # in a gap that has not ended
        self._tape: FloatArray = np.zeros((n, 0))
        self._first = self._resampler.first_input(0)
        self._state: FloatArray | None = None
        self._n_in = self._n_out = 0

    def push(self, block: FloatArray) -> NDArray[np.float16]:
        """Return the standardised samples (G, n) that a block (C, T) completes.

        Parameters
        ----------
        block
            Next samples in SI units, NaN where missing; T may be 0.
        """
        if block.ndim != 2 or len(block) != len(self.calibration.sensors):
            raise ValueError(
                f"expected (C, T) with C = {len(self.calibration.sensors)}, got {block.shape}"
            )
        self._take(self._bridge(np.asarray(block[self.calibration.order], np.float64)))
        groups = []
        with one_thread():
            while self._resampler.end_input(self._n_out + GROUP) <= self._n_in:
                groups.append(self._resampled(GROUP))
        # What follows takes sample after sample, so that groups may be taken together.
        return self._standardised(np.concatenate(groups, axis=1)) if groups else self._empty

    def finish(self) -> NDArray[np.float16]:
        """Return the last samples (G, n), as if the signal stayed where it is."""
        if self._n_in == 0:
            return self._empty
        total = self._resampler.n_out(self._n_in)
        missing = self._resampler.end_input(total) - self._n_in
        self._take(np.repeat(self._tape[:, -1:], max(0, missing), axis=1))
        ready = [self._empty]
        with one_thread():
            while self._n_out < total:
                group = self._resampled(min(GROUP, total - self._n_out))
                ready.append(self._standardised(group))
        return np.concatenate(ready, axis=1)

    @property
    def _empty(self) -> NDArray[np.float16]:
        return np.zeros((len(self.calibration.order), 0), np.float16)

    def _bridge(self, x: FloatArray) -> FloatArray:
        """Hold the last value where samples are missing, and continue from it."""
        if x.shape[1] == 0:
            return x
        if self._n_in == 0:
            first = np.where(np.isfinite(x[:, :1]), x[:, :1], 0.0)
            self._held, self._shift = np.zeros_like(first), first
        missing = ~np.isfinite(x)
        out = x - self._shift
        for row in np.flatnonzero(missing.any(axis=1) | self._open):
            gap = np.concatenate([self._open[row : row + 1], missing[row]])
            edges = np.flatnonzero(np.diff(gap, prepend=False, append=False)) - 1
            for start, stop in edges.reshape(-1, 2):
                held = out[row, start - 1] if start > 0 else self._held[row, 0]
                out[row, max(start, 0) : stop] = held
                if stop < x.shape[1]:
                    self._shift[row, 0] = x[row, stop] - held
                    out[row, stop:] = x[row, stop:] - self._shift[row, 0]
        self._held, self._open = out[:, -1:].copy(), missing[:, -1]
        return out

    def _take(self, x: FloatArray) -> None:
        if self._n_in == 0 and x.shape[1]:
            # Before the first sample the signal was where it begins.
            x = np.concatenate([np.repeat(x[:, :1], -self._first, axis=1), x], axis=1)
            self._n_in += self._first
        self._tape = np.concatenate([self._tape, x], axis=1)
        self._n_in += x.shape[1]

    def _resampled(self, n: int) -> FloatArray:
        """Return the next ``n`` samples (G, n) at the new rate."""
        start, stop = self._n_out, self._n_out + n
        first = self._resampler.first_input(start)
        drop = first - self._first
        if drop > 0:
            self._tape, self._first = self._tape[:, drop:], first
        end = self._resampler.end_input(stop) - first
        inputs = np.ascontiguousarray(self._tape[:, :end])
        self._n_out = stop
        return self._resampler.products(inputs, first, start, stop)

    def _standardised(self, x: FloatArray) -> NDArray[np.float16]:
        """Return the samples (G, n) that follow, filtered, re-referenced and scaled."""
        if len(self._sections):
            if self._state is None:
                self._state = sosfilt_zi(self._sections)[:, None, :] * x[None, :, :1]
            x, self._state = sosfilt(self._sections, x, axis=1, zi=self._state)
        calibration = self.calibration
        if calibration.referenced.any():
            x[calibration.referenced] -= x[calibration.referenced].mean(axis=0)
        return to_half(x, calibration.scale, calibration.cfg.clip)
