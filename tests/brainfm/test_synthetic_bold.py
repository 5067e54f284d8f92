"""BOLD that follows the power of rhythms: lag and coupling can be found again."""

import numpy as np
import pytest
from scipy import signal

from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_bold import (
    SLOW_RATE,
    Bold,
    draw_coupling,
    hemodynamic_response,
    make_bold,
)


def bold_of(snr: float, **values: object) -> tuple[SimulationConfig, Bold]:
    cfg = SimulationConfig(duration=400.0, sfreq=64.0, bold_rois=3, tr=1.0, bold_snr=snr, **values)  # type: ignore[arg-type]
    lags, couplings = np.array([0.0, 0.7, 1.9]), np.array([1.0, -0.8, 0.5])
    return cfg, make_bold(cfg, lags, couplings, generator=np.random.default_rng(4))


def test_the_response_peaks_at_five_seconds_and_undershoots_at_fifteen() -> None:
    response = hemodynamic_response(100.0)
    assert np.argmax(response) / 100 == pytest.approx(5.0, abs=0.05)
    assert 13 < np.argmin(response) / 100 < 17
    assert response.sum() == pytest.approx(1.0)


def test_lag_and_coupling_are_recovered_by_cross_correlation() -> None:
    _, bold = bold_of(snr=20.0)
    slow_time = bold.drive_start + np.arange(bold.drive.shape[1]) / SLOW_RATE
    response = hemodynamic_response(SLOW_RATE)
    for k in range(3):
        expected = signal.convolve(bold.drive[k], response)[: len(slow_time)]
        shifted = {
            lag: np.interp(bold.times - lag, slow_time, expected) for lag in np.arange(-1, 4, 0.1)
        }
        scores = {lag: np.corrcoef(s, bold.series[:, k])[0, 1] for lag, s in shifted.items()}
        found = max(scores, key=lambda lag: abs(scores[lag]))
        assert found == pytest.approx(bold.lags[k], abs=0.25)
        slope = np.polyfit(shifted[found] / shifted[found].std(), bold.series[:, k], 1)[0]
        assert slope == pytest.approx(bold.couplings[k], rel=0.1)


def test_the_drive_is_the_power_of_the_rhythm() -> None:
    cfg, bold = bold_of(snr=0.0)
    slow_time = bold.drive_start + np.arange(bold.drive.shape[1]) / SLOW_RATE
    time = np.arange(cfg.n_times) / cfg.sfreq
    assert np.mean(bold.rhythms**2) == pytest.approx(1.0, rel=0.2)
    freqs, power = signal.welch(bold.rhythms, cfg.sfreq, nperseg=512)
    assert freqs[np.argmax(power.mean(axis=0))] == pytest.approx(10.0, abs=0.5)
    window = np.ones(128) / 128
    for rhythm, drive in zip(bold.rhythms, bold.drive, strict=True):
        measured = np.convolve(rhythm**2, window, mode="same")[64:-64]
        wanted = np.interp(time, slow_time, drive)[64:-64]
        assert np.corrcoef(measured, wanted)[0, 1] > 0.95


def test_the_noise_has_the_size_asked_for() -> None:
    (_, clean), (_, noisy) = bold_of(snr=200.0), bold_of(snr=6.0)
    ratio = clean.series.var(axis=0) / (noisy.series - clean.series).var(axis=0)
    np.testing.assert_allclose(10 * np.log10(ratio), 6.0, atol=1e-6)


def test_volumes_are_a_repetition_time_apart_and_couplings_have_both_signs() -> None:
    _, bold = bold_of(snr=0.0)
    np.testing.assert_array_equal(bold.times, np.arange(400.0))
    assert bold.series.shape == (400, 3)
    lags, couplings = draw_coupling(50, generator=np.random.default_rng(0))
    assert {-1.0, 1.0} == set(np.sign(couplings).tolist())
    assert 0 <= lags.min() < lags.max() <= 2
