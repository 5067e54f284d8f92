"""What reconstruction losses compare of spectra: rhythms, magnitudes and phases.

Power falls steeply with frequency: a squared or absolute error of the waveform hears the slow waves
only, and terms that let every band count alike hear the fast ones only, which are small, mostly
noise, and would then pull with slopes of one over their size. Here bands count by their amplitude
(not power), so that each pulls with a gradient of about the same length.

Shapes: B batch, C sensors, W windows, L samples a window, F frequencies, K bands. Spectra are
one-sided and orthonormal.
"""

import torch
from torch import Tensor

from brainfm.frequency_bands import BANDS

FLOOR = 0.02
"""Magnitude, in units of the recording's scale, below which differences fade."""

SOFTNESS = 0.5
"""Part of the target's magnitude below which an estimate's phase fades."""

NOISY = {"gamma": 0.25, "high gamma": 0.05}
"""Weight of the power in bands where most of what a scalp sensor records is noise and muscle; it is
1 in all others. With full weight these bands took the codes that keep beta."""

TINY = 1e-12


def hann_spectrum(x: Tensor) -> Tensor:
    """Return the spectrum (..., F) of windows (..., L) without their mean, under a Hann window.

    The window keeps the slow waves, far larger than the rest, from leaking into other bands.
    """
    x = x.float()
    window = torch.hann_window(x.shape[-1], device=x.device)
    return torch.fft.rfft((x - x.mean(-1, keepdim=True)) * window, norm="ortho")


def hamming_spectrum(x: Tensor) -> Tensor:
    """Return the spectrum (..., F) of windows (..., L) under a Hamming window, as published."""
    x = x.float()
    return torch.fft.rfft(x * torch.hamming_window(x.shape[-1], device=x.device), norm="ortho")


def power(spectrum: Tensor) -> Tensor:
    """Return ``|X|^2``."""
    return spectrum.real.square() + spectrum.imag.square()


def magnitude(spectrum: Tensor) -> Tensor:
    """Return ``|X|``; where there is nothing the gradient is 0."""
    squared = power(spectrum)
    empty = squared < TINY**2
    root = torch.where(empty, torch.ones_like(squared), squared).sqrt()
    return torch.where(empty, torch.zeros_like(squared), root)


def angle(spectrum: Tensor) -> Tensor:
    """Return the angle in radians, in [-pi, pi]; where there is nothing it is 0, as its gradient.

    The gradient grows as ``1 / |X|`` (only the published objective asks for this).
    """
    empty = power(spectrum) < TINY**2
    real = torch.where(empty, torch.ones_like(spectrum.real), spectrum.real)
    imag = torch.where(empty, torch.zeros_like(spectrum.imag), spectrum.imag)
    return torch.atan2(imag, real)


def band_members(lowpass: Tensor, sfreq: float, length: int) -> Tensor:
    """Return the weight of every bin in every band of :data:`BANDS`, (B, K, F); 0 outside.

    Parameters
    ----------
    lowpass
        (B,) Hz above which a recording holds nothing; NaN where unknown: then all up to Nyquist.
    sfreq
        Hz.
    length
        L.
    """
    freqs = torch.arange(length // 2 + 1, device=lowpass.device) * (sfreq / length)
    edges = torch.tensor(list(BANDS.values()), device=lowpass.device)
    inside = (freqs >= edges[:, :1]) & (freqs < edges[:, 1:])
    held = freqs <= torch.nan_to_num(lowpass, nan=sfreq / 2)[:, None]
    weights = torch.tensor([NOISY.get(band, 1.0) for band in BANDS], device=lowpass.device)
    return (inside & held[:, None]) * weights[:, None]


def rhythm_error(estimate: Tensor, target: Tensor, bands: Tensor) -> Tensor:
    """Return the error of the bands relative to their size, ``sum_k |Y_k - X_k| / sum_k |X_k|``.

    ``|X_k|`` is the Euclidean length of the spectrum in band k: not squared, so a band pulls at the
    estimate with the same force however small it is (:data:`NOISY` ones with less). 0 equal, 1 for
    an estimate of zero.

    Parameters
    ----------
    estimate, target
        Spectra (B, C, W, F).
    bands
        (B, K, F) from :func:`band_members`.

    Returns
    -------
    Tensor
        (B, C, W).
    """
    error = _lengths(power(estimate - target), bands).sum(-1)
    size = _lengths(power(target), bands).sum(-1)
    return error / size.clamp_min(FLOOR * target.shape[-1] ** 0.5)


def log_magnitude_error(estimate: Tensor, target: Tensor, bands: Tensor) -> Tensor:
    """Return the mean of ``|log(|Y|^2 + FLOOR^2) - log(|X|^2 + FLOOR^2)| / 2``, (B, C, W).

    Over all bins of all bands; its slope in a bin is at most ``1 / (2 FLOOR)``.

    Parameters
    ----------
    estimate, target
        Spectra (B, C, W, F).
    bands
        (B, K, F) from :func:`band_members`.
    """
    logs = [0.5 * (power(spectrum) + FLOOR**2).log() for spectrum in (estimate, target)]
    held = bands.sum(1)
    share = held / held.sum(-1, keepdim=True).clamp_min(1)
    return torch.einsum("bcwf,bf->bcw", (logs[0] - logs[1]).abs(), share)


def phase_error(estimate: Tensor, target: Tensor, bands: Tensor) -> Tensor:
    """Return one minus the agreement of phases, (B, C, W): 0 equal, 1 unrelated, 2 opposite.

    ``sum_f |X_f| cos(angle_f) / sum_f |X_f|``: the cosine has no wrap-around, and bins weigh what
    they hold of the target. ``|X| cos(angle) = Re(Y conj(X)) / |Y|``; where ``|Y|`` is less than
    half of ``|X|``, that half takes its place in the denominator, so the slope in a bin is at most
    2 over the sum, as Y vanishes too.

    Parameters
    ----------
    estimate, target
        Spectra (B, C, W, F).
    bands
        (B, K, F) from :func:`band_members`.
    """
    least = SOFTNESS**2 * power(target) + TINY
    length = torch.maximum(power(estimate), least).sqrt()
    along = (estimate.real * target.real + estimate.imag * target.imag) / length
    held = bands.sum(1)
    size = torch.einsum("bcwf,bf->bcw", magnitude(target), held)
    agreement = torch.einsum("bcwf,bf->bcw", along, held)
    # Windows without any signal agree with everything.
    return torch.where(size > FLOOR, 1 - agreement / size.clamp_min(FLOOR), agreement * 0.0)


def _lengths(squares: Tensor, bands: Tensor) -> Tensor:
    """Return ``sqrt(sum of squares in a band)``, (B, C, W, K), smooth at 0."""
    total = torch.einsum("bcwf,bkf->bcwk", squares, bands)
    return (total + FLOOR**4).sqrt() - FLOOR**2
