"""Features of trials that need no training of a network, as scikit-learn transformers.

Shapes: N trials, C channels, T samples, B bands, F features.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from brainfm.quantile_tokenizer import QuantileConfig, QuantileTokenizer

Array = NDArray[np.float64]
Bands = tuple[tuple[float, float], ...]

RHYTHMS: Bands = ((1, 4), (4, 8), (8, 12), (12, 16), (16, 20), (20, 24), (24, 30), (30, 45))
"""Bands whose power is taken, Hz."""
FILTER_BANK: Bands = ((4, 8), (8, 12), (12, 16), (16, 24), (24, 40))
MOTOR: Bands = ((8, 30),)
"""Rhythms over the sensorimotor cortex."""
EVOKED = (0.5, 30.0)
BIN_S = 0.05
"""Length of the stretches whose mean is a feature of an evoked response."""
HARMONICS = 2
COMPONENTS = 40
"""Principal components that covariances of large arrays are limited to."""


class Stateless(TransformerMixin, BaseEstimator):
    """Features that are the same function of every trial."""

    def fit(self, x: Array, y: NDArray[np.int64] | None = None) -> "Stateless":
        """Learn nothing."""
        return self

    def transform(self, x: Array) -> Array:
        """Return the input as it is."""
        return x


class Means(Stateless):
    """Mean of every channel over the trial, (N, C): the pattern of voxels."""

    def transform(self, x: Array) -> Array:
        """Return the features of trials (N, C, T)."""
        return np.asarray(x.mean(axis=-1))


def band_pass(x: Array, sfreq: float, low: float, high: float) -> Array:
    """Return trials (N, C, T) limited to a band, Hz, without delay."""
    from scipy.signal import butter, sosfiltfilt

    if high >= sfreq / 2:
        raise ValueError(f"a band up to {high:g} Hz needs more than {sfreq:g} samples a second")
    sos = butter(4, (low, high), "bandpass", fs=sfreq, output="sos")
    # Short trials are mirrored at their ends as far as they reach.
    return np.asarray(sosfiltfilt(sos, x, axis=-1, padlen=min(3 * 9, x.shape[-1] - 1)))


class BandPass(Stateless):
    """Trials limited to a band, Hz, (N, C, T)."""

    def __init__(self, sfreq: float, band: tuple[float, float]) -> None:
        self.sfreq, self.band = sfreq, band

    def transform(self, x: Array) -> Array:
        """Return trials (N, C, T) of trials."""
        return band_pass(x, self.sfreq, *self.band)


class BandPower(Stateless):
    """Logarithm of the power of every channel in every band, (N, C x B)."""

    def __init__(self, sfreq: float, bands: Bands = RHYTHMS) -> None:
        self.sfreq, self.bands = sfreq, bands

    def transform(self, x: Array) -> Array:
        """Return the features of trials (N, C, T); bands without a frequency are left out."""
        from scipy.signal import welch

        frequency, power = welch(x, self.sfreq, nperseg=min(round(self.sfreq), x.shape[-1]))
        inside = [(frequency >= low) & (frequency < high) for low, high in self.bands]
        means = [power[..., chosen].mean(-1) for chosen in inside if chosen.any()]
        floor = 1e-6 * max(float(power.mean()), 1e-30)
        return np.log(np.stack(means, axis=-1) + floor).reshape(len(x), -1)


class TimeWindows(Stateless):
    """Means of every channel over stretches of :data:`BIN_S`, (N, C x stretches)."""

    def __init__(self, sfreq: float) -> None:
        self.sfreq = sfreq

    def transform(self, x: Array) -> Array:
        """Return the features of trials (N, C, T)."""
        n_bins = max(1, round(x.shape[-1] / self.sfreq / BIN_S))
        stretches = np.array_split(x, n_bins, axis=-1)
        return np.stack([part.mean(-1) for part in stretches], axis=-1).reshape(len(x), -1)


class CanonicalCorrelations(Stateless):
    """Correlation of trials with sinusoids of known frequencies and their harmonics.

    The largest that a weighted sum of the channels can have with a weighted sum of sines and
    cosines (Lin et al. 2006, TBME 53:2610), (N, frequencies).
    """

    def __init__(self, sfreq: float, frequencies: tuple[float, ...]) -> None:
        self.sfreq, self.frequencies = sfreq, frequencies

    def transform(self, x: Array) -> Array:
        """Return the features of trials (N, C, T)."""
        x = band_pass(x, self.sfreq, 5.0, min(45.0, 0.45 * self.sfreq))
        angle = 2 * np.pi * np.arange(x.shape[-1]) / self.sfreq
        times = range(1, HARMONICS + 1)
        waves = [
            _row_space(
                np.concatenate([[np.sin(k * f * angle), np.cos(k * f * angle)] for k in times])
            )
            for f in self.frequencies
        ]
        spaces = [_row_space(trial) for trial in x]
        return np.array([[_cosine(space, wave) for wave in waves] for space in spaces])


def _row_space(rows: Array) -> Array:
    """Return an orthonormal basis of what the centred rows span."""
    _, size, basis = np.linalg.svd(rows - rows.mean(1, keepdims=True), full_matrices=False)
    return np.asarray(basis[size > 1e-9 * max(float(size[0]), 1e-30)])


def _cosine(one: Array, other: Array) -> float:
    """Return the cosine of the smallest angle between two spaces; 0 where one is empty."""
    if not (len(one) and len(other)):
        return 0.0
    return float(np.linalg.svd(one @ other.T, compute_uv=False)[0])


def frequencies_of(labels: Sequence[str]) -> tuple[float, ...]:
    """Return the frequencies in Hz that labels such as "13 Hz" name; others are rest.

    Raises
    ------
    ValueError
        No label names one.
    """
    found = [re.fullmatch(r"(\d+(?:\.\d+)?)\s*Hz", label, re.IGNORECASE) for label in labels]
    frequencies = tuple(sorted(float(match[1]) for match in found if match))
    if not frequencies:
        raise ValueError(
            "cca needs classes that are called by their frequency, such as '13 Hz'; these are "
            f"{', '.join(labels[:5])}"
        )
    return frequencies


class TangentSpaces(TransformerMixin, BaseEstimator):
    """Covariances in every band as tangent vectors at their mean (Barachant et al. 2012)."""

    def __init__(self, sfreq: float, bands: Bands = MOTOR) -> None:
        self.sfreq, self.bands = sfreq, bands

    def fit(self, x: Array, y: NDArray[np.int64] | None = None) -> "TangentSpaces":
        """Find the principal components of large arrays, and the mean of every band."""
        from pyriemann.tangentspace import TangentSpace

        spread = np.einsum("nct,ndt->cd", x, x) / (len(x) * x.shape[-1])
        values, vectors = np.linalg.eigh(spread)
        rank = int((values > 1e-9 * values[-1]).sum())
        self.components_ = vectors[:, -min(rank, COMPONENTS) :].T
        self.spaces_ = [TangentSpace().fit(self._covariances(x, *band)) for band in self.bands]
        return self

    def transform(self, x: Array) -> Array:
        """Return the features of trials (N, C, T)."""
        parts = zip(self.spaces_, self.bands, strict=True)
        return np.hstack([space.transform(self._covariances(x, *band)) for space, band in parts])

    def _covariances(self, x: Array, low: float, high: float) -> Array:
        from pyriemann.estimation import Covariances

        inside = band_pass(self.components_ @ x, self.sfreq, low, high)
        return np.asarray(Covariances("oas").transform(inside))


class QuantileTokens(TransformerMixin, BaseEstimator):
    """What a code of fixed quantiles keeps of every channel, and how often it uses each level.

    Parameters
    ----------
    sfreq
        Hz.
    bits_per_second
        Of all channels together.
    """

    def __init__(self, sfreq: float, bits_per_second: float) -> None:
        self.sfreq, self.bits_per_second = sfreq, bits_per_second

    def fit(self, x: Array, y: NDArray[np.int64] | None = None) -> "QuantileTokens":
        """Take the quantiles of each channel."""
        cfg = QuantileConfig(bits_per_second=self.bits_per_second / x.shape[1])
        self.tokenizer_ = QuantileTokenizer.of(list(x.astype(np.float32)), self.sfreq, cfg)
        return self

    def transform(self, x: Array) -> Array:
        """Return the features of trials (N, C, T)."""
        codes = np.stack([self.tokenizer_.encode(trial) for trial in x.astype(np.float32)])
        levels = np.arange(self.tokenizer_.cfg.levels)
        share = (codes[..., None] == levels).mean(axis=2)
        return np.hstack([codes.reshape(len(x), -1), share.reshape(len(x), -1)]).astype(np.float64)
