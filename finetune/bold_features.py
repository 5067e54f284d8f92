"""Classical features of the EEG or MEG before a volume, as scikit-learn transformers.

Shapes: N trials, C channels, T samples, S steps, B bands, F features.
"""

import numpy as np

from brainfm.hrf import ResponseConfig

from .bold_head import BANDS
from .classical_features import Array, Bands, Stateless
from .lag_layers import Window, basis_in_frames

STEP_S, LAG_S = 1.0, 2.0
"""Lengths of the stretches whose power is taken, where a response sums them up and where it is not
known."""
THETA, ALPHA = (4.0, 8.0), (8.0, 13.0)


class Nothing(Stateless):
    """No feature: a readout can only say the mean of training."""

    def transform(self, x: Array) -> Array:
        """Return zeros (N, 1)."""
        return np.zeros((len(x), 1))


def step_power(x: Array, sfreq: float, step: float, bands: Bands) -> Array:
    """Return the logarithm of power in bands (N, S, C, B) of trials (N, C, T), step by step.

    Steps have about ``step`` s; what does not fill one is left out at the begin. Bands (Hz) without
    a frequency below half of ``sfreq`` are left out.
    """
    n_steps = max(1, round(x.shape[-1] / sfreq / step))
    n_times = x.shape[-1] // n_steps
    pieces = x[..., x.shape[-1] - n_steps * n_times :].reshape(*x.shape[:2], n_steps, n_times)
    spectrum = np.abs(np.fft.rfft(pieces * np.hanning(n_times + 1)[:-1], axis=-1)) ** 2
    frequency = np.fft.rfftfreq(n_times, 1 / sfreq)
    inside = [(frequency >= low) & (frequency < high) for low, high in bands]
    power = [spectrum[..., chosen].mean(-1) for chosen in inside if chosen.any()]
    floor = 1e-6 * max(float(spectrum.mean()), 1e-30)
    return np.log(np.stack(power, axis=-1) + floor).transpose(0, 2, 1, 3)


class ResponsePower(Stateless):
    """Band power through the canonical haemodynamic response, (N, C x B).

    Parameters
    ----------
    sfreq
        Hz.
    window
        Begin and end of a trial, seconds from its volume.
    """

    bands: Bands = BANDS

    def __init__(self, sfreq: float, window: Window) -> None:
        self.sfreq, self.window = sfreq, window

    def transform(self, x: Array) -> Array:
        """Return the features of trials (N, C, T)."""
        steps = self.drive(x)
        response = basis_in_frames(ResponseConfig(derivatives=0), self.window, steps.shape[1])[0]
        return np.asarray(np.einsum("nsf,s->nf", steps, response))

    def drive(self, x: Array) -> Array:
        """Return what the response is to, (N, S, F)."""
        power = step_power(x, self.sfreq, STEP_S, self.bands)
        return power.reshape(*power.shape[:2], -1)


class AlphaTheta(ResponsePower):
    """Logarithm of alpha over theta power through the response, (N, C)."""

    bands = (ALPHA, THETA)

    def drive(self, x: Array) -> Array:
        """Return the ratio (N, S, C)."""
        power = step_power(x, self.sfreq, STEP_S, self.bands)
        return np.asarray(power[..., 0] - power[..., 1])


class LaggedPower(ResponsePower):
    """Band power at every lag, (N, S x C x B): distributed lags, the response is learned."""

    def transform(self, x: Array) -> Array:
        """Return the features of trials (N, C, T)."""
        return step_power(x, self.sfreq, LAG_S, self.bands).reshape(len(x), -1)
