"""BOLD that follows the power of brain rhythms, as fMRI follows EEG.

In every region a 10 Hz rhythm waxes and wanes over ten seconds and more. Its power is the neural
drive; the drive convolved with the canonical double-gamma response (Friston et al. 1998), delayed
by the region's own lag and multiplied by its coupling is the BOLD signal, in percent of its mean.

Shapes: R regions, T samples, G samples of the slow axis, V volumes.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal
from scipy.stats import gamma

from brainfm.sensors import FloatArray
from brainfm.simulation_config import SimulationConfig

SLOW_RATE = 10.0
"""Samples of the drive per second."""
SLOWEST = 0.1
"""Hz above which the power does not fluctuate."""
RHYTHM = 10.0
"""Hz."""
HISTORY_S = 60.0
"""What went before the first sample and still shows in the first volumes."""
RESPONSE_S = 32.0
LAGS = (0.0, 2.0)
COUPLINGS = (0.5, 1.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Bold:
    """The rhythms of one recording and the BOLD signal that follows them.

    Parameters
    ----------
    rhythms
        (R, T) with a mean square of about one.
    drive
        (R, G) power of the rhythms, mean 0 and standard deviation 1, at :data:`SLOW_RATE` from
        ``drive_start`` (s, before the first sample).
    lags
        (R,) s by which a region's BOLD is later than the canonical response makes it.
    couplings
        (R,) percent BOLD per standard deviation of the convolved drive; may be negative.
    series
        (V, R) percent of the mean, with noise.
    times
        (V,) s.
    """

    rhythms: FloatArray
    drive: FloatArray
    drive_start: float
    lags: FloatArray
    couplings: FloatArray
    series: FloatArray
    times: FloatArray


def hemodynamic_response(rate: float) -> FloatArray:
    """Return the canonical double-gamma response to an impulse, 32 s at ``rate``, sum one.

    Gamma densities of shape 6 and 16 (peaks at 5 and 15 s), the second divided by 6.
    """
    time = np.arange(0, RESPONSE_S, 1 / rate)
    response = gamma.pdf(time, 6) - gamma.pdf(time, 16) / 6
    return np.asarray(response / response.sum())


def draw_coupling(n_rois: int, *, generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw a person's lags (R,) in s and couplings (R,) in percent, about half of them negative."""
    lags = generator.uniform(*LAGS, n_rois)
    return lags, generator.uniform(*COUPLINGS, n_rois) * generator.choice([-1, 1], n_rois)


def make_bold(
    cfg: SimulationConfig,
    lags: FloatArray,
    couplings: FloatArray,
    *,
    generator: np.random.Generator,
) -> Bold:
    """Draw the rhythms of one recording and compute what BOLD makes of them."""
    slow, phases, noise = generator.spawn(3)
    n_slow = int(np.ceil((HISTORY_S + cfg.n_times / cfg.sfreq) * SLOW_RATE)) + 2
    low = signal.butter(4, SLOWEST, "lowpass", fs=SLOW_RATE, output="sos")
    wandering = signal.sosfilt(low, slow.standard_normal((len(lags), n_slow)), axis=1)
    wandering /= wandering.std(axis=1, keepdims=True)
    amplitude = np.exp(0.5 * wandering)
    power = amplitude**2
    drive = (power - power.mean(axis=1, keepdims=True)) / power.std(axis=1, keepdims=True)

    time = np.arange(cfg.n_times) / cfg.sfreq
    slow_time = np.arange(n_slow) / SLOW_RATE - HISTORY_S
    rhythms = np.empty((len(lags), cfg.n_times))
    for row in range(len(lags)):
        steps = phases.normal(0.0, np.sqrt(1.0 / cfg.sfreq), cfg.n_times)
        phase = 2 * np.pi * (RHYTHM * time + phases.random()) + np.cumsum(steps)
        rhythms[row] = np.interp(time, slow_time, amplitude[row]) * np.sqrt(2) * np.cos(phase)
    rhythms /= np.sqrt(np.mean(power))

    response = hemodynamic_response(SLOW_RATE)
    followed = signal.oaconvolve(drive, response[None], axes=1)[:, :n_slow]
    times = np.arange(0.0, cfg.n_times / cfg.sfreq, cfg.tr)
    clean = np.stack(
        [np.interp(times - lag, slow_time, row) for lag, row in zip(lags, followed, strict=True)]
    )
    clean -= clean.mean(axis=1, keepdims=True)
    clean *= (couplings / clean.std(axis=1))[:, None]
    disturbed = signal.lfilter(
        [1.0], [1.0, -0.5], noise.standard_normal((len(lags), len(times))), axis=1
    )
    disturbed -= disturbed.mean(axis=1, keepdims=True)
    size = np.abs(couplings) / disturbed.std(axis=1) * 10 ** (-cfg.bold_snr / 20)
    series = clean + disturbed * size[:, None]
    return Bold(
        rhythms=rhythms,
        drive=drive,
        drive_start=-HISTORY_S,
        lags=lags,
        couplings=couplings,
        series=series.T,
        times=times,
    )
