"""Responses, lags and their recovery from simulated BOLD."""

import numpy as np
import pytest

from brainfm.hrf import (
    ResponseConfig,
    at_times,
    convolved,
    fit_lags,
    lag_design,
    response_basis,
)

pytest.importorskip("nilearn", reason="pip install 'brainfm-toolkit[fmri]'")


def test_the_canonical_response_peaks_after_five_seconds_and_undershoots():
    basis = response_basis(10.0)
    assert basis.shape == (3, 320)
    assert basis[0].sum() == pytest.approx(1)
    assert basis[0].argmax() / 10 == pytest.approx(5, abs=0.3)
    assert 12 < basis[0].argmin() / 10 < 18
    # The derivative by time is the slope: moving the response by .1 s adds .1 of it.
    moved = np.interp(np.arange(320) / 10 - 0.1, np.arange(320) / 10, basis[0])
    slope = (basis[0] - moved) / 0.1
    assert np.corrcoef(slope, basis[1])[0, 1] > 0.99


def test_boxes_cover_the_length_once():
    basis = response_basis(2.0, ResponseConfig(kind="fir", length=7, width=2))
    assert basis.shape == (4, 14)
    assert ((basis > 0).sum(0) == 1).all()
    np.testing.assert_allclose(basis.sum(1), 1)


def test_convolution_is_causal_and_keeps_features_apart():
    series = np.zeros((20, 2))
    series[5, 1] = 1
    basis = np.array([[1.0, 0.5, 0.25], [0.0, 1.0, 0.0]])
    out = convolved(series, basis)
    assert out.shape == (20, 4)
    np.testing.assert_allclose(out[:, :2], 0, atol=1e-12)
    np.testing.assert_allclose(out[5:8, 2], basis[0], atol=1e-12)
    np.testing.assert_allclose(out[5:8, 3], basis[1], atol=1e-12)
    np.testing.assert_allclose(out[:5], 0, atol=1e-12)


def test_lags_look_back_in_time():
    series = np.arange(50.0)[:, None]  # at 10 Hz: the value is ten times the time
    np.testing.assert_allclose(at_times(series, 10.0, np.array([0.25, 3.0]))[:, 0], [2.5, 30])
    design = lag_design(series, 10.0, np.array([1.0, 4.0]), [0, 0.5, 2])
    np.testing.assert_allclose(design, [[10, 5, 0], [40, 35, 20]])


@pytest.mark.parametrize("seed", range(3))
def test_the_lag_of_simulated_bold_is_recovered_within_half_a_second(seed):
    from brainfm.simulation_config import SimulationConfig
    from brainfm.synthetic_bold import SLOW_RATE, make_bold

    lags = np.array([0.0, 0.6, 1.3, 2.0])
    cfg = SimulationConfig(duration=400.0, sfreq=100.0)
    bold = make_bold(cfg, lags, np.ones(4), generator=np.random.default_rng(seed))
    for region, lag in enumerate(lags):
        drive = bold.drive[region][:, None]
        times = bold.times - bold.drive_start
        fit = fit_lags(drive, SLOW_RATE, bold.series[:, [region]], times)
        assert abs(fit.lag[0] - lag) <= 0.5
        assert fit.ridge.weights[0, 0] > 0


def test_volumes_outside_the_series_and_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"outside a series of 5\.00 s"):
        at_times(np.zeros((50, 1)), 10.0, np.array([1.0, 9.0]))
    with pytest.raises(ValueError, match="lags must be 0 s or more"):
        lag_design(np.zeros((50, 1)), 10.0, np.array([1.0]), [-1.0])
    with pytest.raises(ValueError, match="derivatives must be"):
        ResponseConfig(derivatives=3)
    with pytest.raises(ValueError, match="width must lie in"):
        ResponseConfig(width=40)
