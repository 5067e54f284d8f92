"""Band, notch and rate of a recording of any length, in blocks that leave no trace.

Every filter is designed by MNE (linear phase, Hamming ``firwin``, MNE's automatic transition bands)
and applied with its full reach on both sides of a block, so a result does not depend on where the
blocks begin. Two stages: a low-pass that also changes the rate (polyphase), then, at the low rate
where it is cheap, the high-pass and the notches as one kernel. Linear filters commute, so this is
what MNE computes on the whole recording when it notches, filters and resamples in turn. Both ends
of a recording are extended by odd reflection, as MNE's are; so a recording shorter than the
high-pass kernel (33 s for 0.1 Hz) still works, and its slow drift is then only partly removed.

Shapes: C channels, T samples, P phases, L taps. Units: Hz, seconds.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import numpy as np
from mne.filter import create_filter
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from brainfm.tape import Block, Tape

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MAX_PHASES = 8192
"""Most rows of a kernel table. Rates whose exact ratio needs more take the nearest row: no drift,
and a jitter below 1/16384 of an input sample."""

OUTPUTS_PER_PRODUCT = 32
"""Output samples computed by one matrix product."""

CACHED_PRODUCTS = 64
"""Matrices kept for use again; common rates need a few, odd rates a new one every time."""

TRANSITION = 0.25
"""Transition band as a share of the low-pass frequency, MNE's choice above 8 Hz."""

CHANNELS_PER_FFT = 8


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """Keep matrix products on one core, so that their last bits do not depend on the machine."""
    return _blas().limit(limits=1, user_api="blas")


def usable_lowpass(h_freq: float, sfreq_in: float, sfreq_out: float) -> float:
    """Return the low-pass in Hz: ``h_freq``, or less where either rate cannot carry it.

    The stop band begins at 1.25 times the result, which must not pass either Nyquist frequency.
    """
    return min(h_freq, min(sfreq_in, sfreq_out) / 2 / (1 + TRANSITION))


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampler:
    """Low-pass and change of rate; output sample ``n`` lies at ``n / sfreq_out`` exactly.

    Parameters
    ----------
    step
        Input samples per output sample, exact.
    table
        (P + 1, 2 * reach + 2) kernels; row ``p`` serves an output ``p / P`` input samples behind
        an input sample.
    reach
        Input samples used on each side.
    """

    step: Fraction
    table: FloatArray
    reach: int
    _cached: dict[tuple[int, int], FloatArray] = field(default_factory=dict)

    def n_out(self, n_in: int) -> int:
        """Return how many output samples ``n_in`` input samples give."""
        return -int(-n_in // self.step)

    def first_input(self, n: int) -> int:
        """Return the first input sample that output ``n`` uses (may be negative)."""
        return int(n * self.step // 1) - self.reach

    def end_input(self, stop: int) -> int:
        """Return the end of the inputs that outputs before ``stop`` use (may pass the end)."""
        return int((stop - 1) * self.step // 1) + self.reach + 2

    def weights(self, start: int, stop: int) -> FloatArray:
        """Return (K, stop - start): inputs from ``first_input(start)`` to those outputs."""
        numerator, denominator = self.step.numerator, self.step.denominator
        places = [divmod(n * numerator, denominator) for n in range(start, stop)]
        n_phases = len(self.table) - 1
        offsets = np.array([whole for whole, _ in places]) - places[0][0]
        rows = np.array(
            [(2 * rest * n_phases + denominator) // (2 * denominator) for _, rest in places]
        )
        width = self.table.shape[1]
        out = np.zeros((offsets[-1] + width, stop - start))
        out[offsets + np.arange(width)[:, None], np.arange(stop - start)] = self.table[rows].T
        return out

    def apply(self, x: FloatArray, first: int, start: int, stop: int) -> FloatArray:
        """Return outputs ``start`` to ``stop`` (C, n); ``x`` (C, T) begins at input ``first``."""
        with one_thread():
            return self.products(x, first, start, stop)

    def products(self, x: FloatArray, first: int, start: int, stop: int) -> FloatArray:
        """Return what :meth:`apply` does, for callers within :func:`one_thread`, which is slow."""
        out = np.empty((len(x), stop - start))
        for a in range(start, stop, OUTPUTS_PER_PRODUCT):
            b = min(a + OUTPUTS_PER_PRODUCT, stop)
            key = (a * self.step.numerator % self.step.denominator, b - a)
            w = self._cached[key] if key in self._cached else self.weights(a, b)
            if len(self._cached) < CACHED_PRODUCTS:
                self._cached[key] = w
            at = self.first_input(a) - first
            np.matmul(x[:, at : at + len(w)], w, out=out[:, a - start : b - start])
        return out

    def apply_mask(
        self, missing: BoolArray | None, first: int, start: int, stop: int
    ) -> BoolArray | None:
        """Return which outputs lie beside a missing input (C, stop - start)."""
        if missing is None:
            return None
        left = np.array([int(n * self.step // 1) for n in range(start, stop)]) - first
        out = missing[:, left].copy()
        for shift in range(1, int(-(-self.step // 1)) + 1):
            out |= missing[:, np.minimum(left + shift, missing.shape[1] - 1)]
        return out if out.any() else None


@lru_cache(maxsize=8)
def make_resampler(sfreq_in: float, sfreq_out: float, h_freq: float) -> Resampler:
    """Design the low-pass at ``h_freq`` that takes ``sfreq_in`` to ``sfreq_out``."""
    step = Fraction(sfreq_in) / Fraction(sfreq_out)
    n_phases = min(step.denominator, MAX_PHASES)
    transition = TRANSITION * h_freq
    taps = create_filter(
        None,
        sfreq_in * n_phases,
        None,
        h_freq,
        h_trans_bandwidth=transition,
        fir_design="firwin",
        verbose="error",
    )
    half = len(taps) // 2
    reach = -(-half // n_phases)
    # An output u phases behind input 0 takes input k with tap h[u - k P]; row u lists every k
    places = np.arange(n_phases + 1)[:, None] - n_phases * np.arange(-reach, reach + 2)[None]
    padded = np.where(np.abs(places) <= half, taps[np.clip(places + half, 0, 2 * half)], 0.0)
    return Resampler(step=step, table=padded * n_phases, reach=reach)


@lru_cache(maxsize=32)
def make_kernel(
    sfreq: float, l_freq: float | None, notches: tuple[float, ...], notch_width: float = 1 / 200
) -> FloatArray:
    """Return the high-pass and all notches as one symmetric kernel (L,), L odd.

    Parameters
    ----------
    sfreq
        Rate in Hz of the signal it will be applied to.
    l_freq
        High-pass in Hz; None leaves slow signals alone.
    notches
        Frequencies in Hz to remove, as ``mne.filter.notch_filter`` does: 1-Hz transition bands.
    notch_width
        Width of each notch as a share of its frequency.
    """
    kernel = np.ones(1)
    if l_freq:
        kernel = create_filter(None, sfreq, l_freq, None, fir_design="firwin", verbose="error")
    if notches:
        centre = np.array(notches)
        half = centre * notch_width / 2 + 0.5
        bandstop = create_filter(
            None,
            sfreq,
            centre + half,
            centre - half,
            l_trans_bandwidth=0.5,
            h_trans_bandwidth=0.5,
            fir_design="firwin",
            verbose="error",
        )
        kernel = np.convolve(kernel, bandstop)
    kernel.setflags(write=False)
    return kernel


def convolve_valid(x: FloatArray, kernel: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Return ``x`` (C, T) filtered where the kernel (L,) fits: (C, T - L + 1).

    ``out`` takes the result; it may be the beginning of ``x``.
    """
    if out is None:
        out = np.empty((len(x), x.shape[1] - len(kernel) + 1))
    if len(kernel) == 1:
        return np.multiply(x, kernel[0], out=out)
    n_fft = next_fast_len(x.shape[1], real=True)
    spectrum = rfft(kernel, n_fft)
    for a in range(0, len(x), CHANNELS_PER_FFT):
        part = rfft(x[a : a + CHANNELS_PER_FFT], n_fft)
        part *= spectrum
        out[a : a + CHANNELS_PER_FFT] = irfft(part, n_fft)[:, len(kernel) - 1 : x.shape[1]]
    return out


def resample_blocks(
    raw: Iterator[Block], resampler: Resampler, *, n_in: int, start: int, stop: int, block: int
) -> Iterator[Block]:
    """Yield outputs ``start`` to ``stop`` in blocks of ``block`` samples.

    ``raw`` brings blocks without NaN from input ``max(0, resampler.first_input(start))`` on;
    ``n_in`` is the length of the whole recording in input samples.
    """
    tape = Tape(raw, first=max(0, resampler.first_input(start)), n_total=n_in)
    for at in range(start, stop, block):
        until = min(at + block, stop)
        first = resampler.first_input(at)
        x, missing = tape.take(first, resampler.end_input(until))
        yield resampler.apply(x, first, at, until), resampler.apply_mask(missing, first, at, until)


def fir_blocks(
    signal: Iterator[Block],
    kernel: FloatArray,
    *,
    n_total: int,
    start: int,
    stop: int,
    block: int,
) -> Iterator[Block]:
    """Yield ``start`` to ``stop`` of a signal filtered by a symmetric kernel (L,), L odd.

    ``signal`` brings blocks from sample ``max(0, start - L // 2)`` on; ``n_total`` is the length of
    the whole signal. A block may be written over and lasts until the next is asked for.
    """
    half = len(kernel) // 2
    tape = Tape(signal, first=max(0, start - half), n_total=n_total)
    for at in range(start, stop, block):
        until = min(at + block, stop)
        x, missing = tape.take(at - half, until + half)
        inner = None if missing is None else missing[:, half : half + until - at]
        # in place of samples that no later window reaches, not even to be reflected at the end
        yield convolve_valid(x, kernel, out=x[:, : until - at]), inner
