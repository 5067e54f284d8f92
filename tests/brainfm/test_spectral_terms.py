"""Bands and their errors by hand: cosines in one bin, phases turned, magnitudes scaled."""

import math

import pytest
import torch

from brainfm.frequency_bands import BANDS
from brainfm.spectral_terms import (
    FLOOR,
    SOFTNESS,
    angle,
    band_members,
    hann_spectrum,
    log_magnitude_error,
    magnitude,
    phase_error,
    rhythm_error,
)

SFREQ, LENGTH = 256.0, 512
ALL = band_members(torch.tensor([math.nan]), SFREQ, LENGTH)


def spectrum(*entries):
    """Make a spectrum (1, 1, 1, F), zero but for (Hz, value)."""
    values = torch.zeros(LENGTH // 2 + 1, dtype=torch.complex64)
    for freq, value in entries:
        values[round(freq * LENGTH / SFREQ)] = value
    return values.reshape(1, 1, 1, -1)


def test_a_cosine_lies_in_its_bin_and_the_next():
    """Hann: half of the window's weight at the frequency, a quarter on either side."""
    t = torch.arange(LENGTH) / SFREQ
    found = hann_spectrum(torch.cos(2 * math.pi * 10 * t) + 1e3)
    peak = LENGTH / 4 / LENGTH**0.5
    power = found.abs()
    assert power[20].item() == pytest.approx(peak, rel=1e-4)
    assert power[19].item() == pytest.approx(peak / 2, rel=1e-4)
    assert power[25:].max() < 1e-3 * peak  # neither the offset nor the cosine leaks


def test_bands_end_at_the_lowpass():
    members = band_members(torch.tensor([40.0, math.nan, 3.0]), SFREQ, LENGTH)
    freqs = torch.arange(LENGTH // 2 + 1) / 2
    assert (members.sum(1) <= 1).all()
    assert freqs[members[0].sum(0) > 0].max() == 40.0
    assert freqs[members[1].sum(0) > 0].max() == 128.0  # unknown: up to Nyquist
    order = list(BANDS)
    assert members[0].sum(-1)[order.index("alpha")] == 10  # 8, 8.5, ..., 12.5 Hz
    assert members[0].sum(-1)[order.index("high gamma")] == 0
    assert (members[2].sum(-1) > 0).sum() == 1


def test_rhythms_by_hand():
    """Lengths 3 (delta) and 4 (alpha) of which alpha is missing: 4 of 7."""
    target = spectrum((2, 3.0), (10, 4j))
    assert rhythm_error(spectrum((2, 3.0)), target, ALL).item() == pytest.approx(4 / 7, abs=1e-3)
    assert rhythm_error(torch.zeros_like(target), target, ALL).item() == pytest.approx(1, abs=1e-3)
    assert rhythm_error(target, target, ALL).item() == pytest.approx(0, abs=1e-9)


def test_every_rhythm_pulls_with_the_same_force_and_noisy_bands_with_less():
    target = spectrum((2, 30.0), (10, 3.0), (20, 0.3), (40, 0.3))
    estimate = torch.zeros_like(target).requires_grad_()
    rhythm_error(0.5 * target + estimate, target, ALL).sum().backward()
    pulls = [estimate.grad[..., round(2 * f)].abs().item() for f in (2, 10, 20, 40)]
    # Power has a quarter of its weight in gamma, length half of it.
    assert pulls == pytest.approx([pulls[0]] * 3 + [0.5 * pulls[0]], rel=0.01)


def test_log_magnitudes_by_hand():
    """Twice the size in one bin: log 2 times its part of all weights, nothing elsewhere."""
    target = spectrum((10, 3j))
    error = log_magnitude_error(2 * target, target, ALL)
    # Bins of half a hertz: 59 below 30 Hz, 60 of gamma, 137 up to Nyquist.
    assert float(ALL.sum()) == pytest.approx(59 + 60 * 0.25 + 137 * 0.05)
    assert error.item() == pytest.approx(math.log(2) / float(ALL.sum()), rel=1e-3)
    low = band_members(torch.tensor([8.0]), SFREQ, LENGTH)
    assert log_magnitude_error(2 * target, target, low).item() == 0.0  # above the low-pass


def test_phases_by_hand():
    """A quarter turn in a bin of size 1, none in one of size 3: 1 - 3/4."""
    target = spectrum((10, 1.0), (20, 3.0))
    estimate = spectrum((10, 5j), (20, 2.0))
    assert phase_error(estimate, target, ALL).item() == pytest.approx(0.25, abs=1e-6)
    assert phase_error(target, target, ALL).item() == pytest.approx(0.0, abs=1e-6)
    assert phase_error(-target, target, ALL).item() == pytest.approx(2.0, abs=1e-6)
    assert phase_error(torch.zeros_like(target), target, ALL).item() == 1.0
    silent = torch.zeros_like(target)
    assert phase_error(target, silent, ALL).item() == 0.0


def test_there_is_no_wrap_around():
    """Angles of 179 and -179 degrees are 2 apart; the published term makes 358 of it."""
    a, b = (
        torch.polar(torch.tensor(1.0), torch.tensor(math.radians(d))).item() for d in (179, -179)
    )
    x, y = spectrum((10, a)), spectrum((10, b))
    assert phase_error(y, x, ALL).item() == pytest.approx(1 - math.cos(math.radians(2)), abs=1e-5)
    assert (angle(y) - angle(x)).abs().max().item() == pytest.approx(math.radians(358), abs=1e-4)


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e-6, 1e-3, 1.0])
def test_the_slope_of_the_phase_is_bounded(size):
    target = spectrum((10, 2.0), (40, 0.01))
    estimate = (size * spectrum((10, 1j), (40, 1j))).requires_grad_()
    phase_error(estimate, target, ALL).sum().backward()
    total = 2.01
    assert estimate.grad.abs().max() <= 1.01 / SOFTNESS / total
    assert torch.isfinite(torch.view_as_real(estimate.grad)).all()


def test_the_slope_of_the_log_is_bounded():
    target = spectrum((10, 2.0))
    for size in (0.0, 0.1 * FLOOR, FLOOR, 1.0):
        estimate = (size * torch.ones_like(target)).requires_grad_()
        log_magnitude_error(estimate, target, ALL).sum().backward()
        assert estimate.grad.abs().max() * ALL.sum() <= 1.01 / (2 * FLOOR)


def test_nothing_has_neither_size_nor_angle():
    x = torch.zeros(3, dtype=torch.complex64, requires_grad=True)
    (magnitude(x).sum() + angle(x).sum()).backward()
    assert magnitude(x).tolist() == angle(x).tolist() == [0, 0, 0]
    assert x.grad.tolist() == [0, 0, 0]
    y = torch.tensor([3 + 4j, -1j, -2.0])
    torch.testing.assert_close(magnitude(y), torch.tensor([5.0, 1.0, 2.0]))
    expected = torch.tensor([math.atan2(4, 3), -math.pi / 2, math.pi])
    torch.testing.assert_close(angle(y), expected)
