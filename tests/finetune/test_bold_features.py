"""Band power before a volume: in the right band, at the right lag."""

import numpy as np
import pytest
from brainfm.finetune.bold_features import (
    AlphaTheta,
    LaggedPower,
    Nothing,
    ResponsePower,
    step_power,
)
from brainfm.finetune.bold_head import BANDS

SFREQ, WINDOW = 128.0, (-16.0, 0.0)


def rhythm(frequency, begin, end):
    """Return trials (1, 2, T) whose second channel has a rhythm between two times before 0 s."""
    times = np.arange(round(16 * SFREQ)) / SFREQ - 16
    x = 1e-2 * np.random.default_rng(0).standard_normal((1, 2, len(times)))
    x[0, 1] += np.sin(2 * np.pi * frequency * times) * ((times >= begin) & (times < end))
    return x


def test_power_is_in_its_step_channel_and_band():
    power = step_power(rhythm(10.0, -6.0, -5.0), SFREQ, 1.0, BANDS)
    assert power.shape == (1, 16, 2, 5)
    assert np.unravel_index(power.argmax(), power.shape) == (0, 10, 1, 2)


def test_a_rhythm_counts_most_five_seconds_before_the_volume():
    features = ResponsePower(SFREQ, WINDOW)
    alpha = [
        features.transform(rhythm(10.0, -lag - 0.5, -lag + 0.5)).reshape(2, 5)[1, 2]
        for lag in (1.5, 5.5, 14.5)
    ]
    assert np.argmax(alpha) == 1
    # The undershoot takes away.
    assert np.argmin(alpha) == 2


def test_lags_stay_apart():
    found = LaggedPower(SFREQ, WINDOW).transform(rhythm(20.0, -4.0, -2.0)).reshape(8, 2, 5)
    assert np.unravel_index(found.argmax(), found.shape) == (6, 1, 3)


def test_the_ratio_rises_with_alpha_and_falls_with_theta():
    features = AlphaTheta(SFREQ, WINDOW)
    alpha, theta = (features.transform(rhythm(f, -16.0, 0.0))[0] for f in (10.0, 6.0))
    assert alpha[1] > alpha[0] > theta[1]
    # A gain of the amplifier is the same in both bands.
    x = rhythm(10.0, -16.0, 0.0)
    assert features.transform(5 * x) == pytest.approx(features.transform(x))


def test_nothing_is_nothing():
    assert (
        Nothing().fit(rhythm(10.0, -1.0, 0.0)).transform(np.ones((3, 2, 5))).tolist() == [[0]] * 3
    )
