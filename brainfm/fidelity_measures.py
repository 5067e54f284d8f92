r"""Measures of a reconstruction in one band of frequency, kept as sums that can be pooled.

Original x and reconstruction y of the sensors of one type, band-passed alike; a measure is a
function of the ratio of two sums over channels and samples of a window:

- correlation: mean of Pearson's r over time, of each channel and window;
- error: :math:`\sum |x - y| / \sum |x|`;
- signal-to-noise: :math:`10 \log_{10} (\sum x^2 / \sum (x - y)^2)`, dB;
- phase: :math:`\sum |x_a| \, |\angle(y_a \bar x_a)| / \sum |x_a|`, degrees, with analytic signals
  (Hilbert) :math:`x_a, y_a`; where y is silent it counts as chance, 90;
- topography: :math:`1 - \sum_t g_t r_t / \sum_t g_t`, r the correlation over channels at one time
  and g the root of the sum of squares of x over channels, both after taking away their mean;
- amplitude error: mean of :math:`|\ln(s_y / s_x)|` with the standard deviations of each channel and
  window; amplitude ratio: :math:`\exp` of the mean of the logarithm without the bars.

Shapes: C sensors of one type, W windows, L samples a window, T = W L samples of a piece.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from brainfm.fidelity import Reconstructed
from brainfm.frequency_bands import BANDS, band_signal, limited_band
from brainfm.objective import correlation

Array = NDArray[np.float64]
Sums = dict[str, Array]
"""Numerator and denominator of every measure in every window, (W, 2)."""

WHOLE = "all"
"""What stands for a band where a signal is taken as it is."""

MAX_RATIO = 100.0
MAX_DB = 60.0
MIN_CHANNELS = 3


def _decibel(ratio: Array) -> Array:
    return 10 * np.log10(np.clip(ratio, 10 ** (-MAX_DB / 10), 10 ** (MAX_DB / 10)))


def _same(ratio: Array) -> Array:
    return ratio


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a pair of sums means.

    Parameters
    ----------
    label
        What a reader calls it, with its unit.
    silent
        Its value if zero is predicted.
    perfect
        Its value without any error.
    finish
        From the ratio of the sums to the value.
    """

    label: str
    silent: float
    perfect: float
    finish: Callable[[Array], Array] = _same


MEASURES = MappingProxyType(
    {
        "correlation": Measure(label="correlation", silent=0.0, perfect=1.0),
        "error": Measure(label="relative error", silent=1.0, perfect=0.0),
        "snr_db": Measure(
            label="signal-to-noise (dB)", silent=0.0, perfect=MAX_DB, finish=_decibel
        ),
        "phase_deg": Measure(label="phase error (degrees)", silent=90.0, perfect=0.0),
        "topography_error": Measure(label="topography error", silent=1.0, perfect=0.0),
        "amplitude_error": Measure(
            label="amplitude error |ln ratio|", silent=float(np.log(MAX_RATIO)), perfect=0.0
        ),
        "amplitude_ratio": Measure(
            label="amplitude ratio", silent=1 / MAX_RATIO, perfect=1.0, finish=np.exp
        ),
    }
)
"""Every measure, in the order in which it is shown."""


def value_of(name: str, sums: Array) -> Array:
    """Return the values (...) of a measure from sums (..., 2); NaN where there is nothing."""
    total = sums[..., 1]
    ratio = np.divide(sums[..., 0], total, out=np.full(total.shape, np.nan), where=total > 0)
    return MEASURES[name].finish(ratio)


def window_sums(x: Array, y: Array, length: int, *, phase: bool = True) -> Sums:
    """Return the sums of all measures.

    Parameters
    ----------
    x, y
        Original and reconstruction of a piece, (C, T), band-passed where a band is judged.
    length
        L.
    phase
        False for a signal that is no band: its phase means nothing.
    """

    def cut(values: NDArray) -> NDArray:
        return rearrange(values, "c (w l) -> c w l", l=length)

    xw, yw = cut(x), cut(y)
    r = correlation(torch.from_numpy(yw), torch.from_numpy(xw)).numpy().astype(np.float64)
    sums = {
        "correlation": _pair(r.sum(0), np.full(r.shape[1], len(r))),
        "error": _pair(np.abs(xw - yw).sum((0, 2)), np.abs(xw).sum((0, 2))),
        # Without any error this is a large number and not infinite: see MAX_DB.
        "snr_db": _pair(
            (xw**2).sum((0, 2)),
            np.maximum(((xw - yw) ** 2).sum((0, 2)), 1e-12 * (xw**2).sum((0, 2))),
        ),
        "topography_error": _topography(xw, yw),
        **_amplitude(xw, yw),
    }
    if phase:
        sums["phase_deg"] = _phase(x, y, length)
    return sums


def _pair(numerator: NDArray, denominator: NDArray) -> Array:
    return np.stack([numerator, denominator], axis=-1).astype(np.float64)


def _phase(x: Array, y: Array, length: int) -> Array:
    from scipy.signal import hilbert

    x_a, y_a = hilbert(x, axis=-1), hilbert(y, axis=-1)
    weight = np.abs(x_a)
    difference = np.degrees(np.abs(np.angle(y_a * x_a.conj())))
    # Rounding alone gives a silent reconstruction a phase.
    silent = np.abs(y_a) < 1e-9 * weight.max(initial=0)
    wrong = weight * np.where(silent, 90.0, difference)
    over = [rearrange(v, "c (w l) -> w (c l)", l=length).sum(1) for v in (wrong, weight)]
    return _pair(*over)


def _topography(x: Array, y: Array) -> Array:
    """Return weighted disagreement and weights; no weight with too few channels for a pattern."""
    if len(x) < MIN_CHANNELS:
        return np.zeros((x.shape[1], 2))
    x, y = x - x.mean(0), y - y.mean(0)
    strength, other = np.linalg.norm(x, axis=0), np.linalg.norm(y, axis=0)
    product = strength * other
    r = np.divide((x * y).sum(0), product, out=np.zeros_like(product), where=product > 1e-12)
    return _pair((strength * (1 - r)).sum(-1), strength.sum(-1))


def _amplitude(x: Array, y: Array) -> Sums:
    s_x, s_y = x.std(-1), y.std(-1)
    alive = s_x > 0
    ratio = np.divide(s_y, s_x, out=np.ones_like(s_x), where=alive)
    log = np.log(np.clip(ratio, 1 / MAX_RATIO, MAX_RATIO))
    count = alive.sum(0)
    return {
        "amplitude_error": _pair(np.abs(log).sum(0), count),
        "amplitude_ratio": _pair(log.sum(0), count),
    }


def recording_sums(
    result: Reconstructed,
    estimates: Mapping[str, tuple[NDArray[np.float32], ...]],
    lowpass: float,
) -> dict[tuple[str, str], dict[str, Sums]]:
    """Measure one recording.

    Parameters
    ----------
    result
        Original pieces; not empty.
    estimates
        By name, what stands for them: pieces (C, T) each.
    lowpass
        Hz above which the recording holds nothing; NaN where unknown.

    Returns
    -------
    dict
        By (sensor type, band) and name of the estimate; bands that the recording does not hold
        are left out. Windows are in the order of the pieces.
    """
    found: dict[tuple[str, str], dict[str, Sums]] = {}
    for band, edges in {WHOLE: None, **BANDS}.items():
        limits = edges and limited_band(*edges, sfreq=result.sfreq, lowpass=lowpass)
        if edges and limits is None:
            continue

        def passed(
            piece: NDArray[np.float32], limits: tuple[float, float] | None = limits
        ) -> Array:
            return band_signal(piece, limits, result.sfreq) if limits else piece.astype(np.float64)

        originals = [passed(piece) for piece in result.original]
        for name, pieces in estimates.items():
            others = [passed(piece) for piece in pieces]
            for kind in result.types():
                of_kind = result.sensors.types == kind
                each = [
                    window_sums(x[of_kind], y[of_kind], result.window, phase=limits is not None)
                    for x, y in zip(originals, others, strict=True)
                ]
                joined = {key: np.concatenate([sums[key] for sums in each]) for key in each[0]}
                found.setdefault((kind, band), {})[name] = joined
    return found
