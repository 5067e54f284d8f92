import numpy as np
import pytest

from brainfm.amplitude import (
    amplitude_problem,
    format_amplitude,
    median_amplitude,
    parse_unit,
    robust_spread,
    stretches,
    unit_factors,
)

EEG = np.array(["eeg"] * 4)


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("uV", {"V": 1e-6}),
        ("µV", {"V": 1e-6}),
        ("V", {"V": 1.0}),
        ("V as uV", {"V": 1e6}),
        ("mV as uV", {"V": 1e3}),
        ("fT", {"T": 1e-15}),
        ("uV, fT", {"V": 1e-6, "T": 1e-15}),
        ("fT/cm", {"T/m": 1e-13}),
    ],
)
def test_units_are_factors_onto_what_was_read(text, factors):
    assert parse_unit(text) == pytest.approx(factors)


@pytest.mark.parametrize("text", ["uv", "volts", "", "uV as T", "uV, mV", "uV,"])
def test_other_units_are_refused(text):
    with pytest.raises(ValueError, match="unit"):
        parse_unit(text)


def test_factors_reach_the_sensors_of_their_quantity():
    types = np.array(["eeg", "mag", "planar", "axial", "ieeg"])
    np.testing.assert_allclose(unit_factors("uV, fT", types), [1e-6, 1e-15, 1, 1e-15, 1e-6])
    np.testing.assert_array_equal(unit_factors(None, types), np.ones(5))
    with pytest.raises(ValueError, match="multiple of T"):
        unit_factors("fT", EEG)


def test_spread_is_the_standard_deviation_without_offset_and_drift():
    generator = np.random.default_rng(1)
    noise = generator.normal(scale=20e-6, size=(3, 20_000))
    noise[1] += 0.2 + np.linspace(0, 0.05, 20_000)  # a BioSemi channel: 200 mV and a drift
    noise[2, ::50] = 1.0  # 2 % of the samples are spikes
    np.testing.assert_allclose(robust_spread(noise), 20e-6, rtol=0.1)


def test_spread_passes_over_holes():
    generator = np.random.default_rng(2)
    x = generator.normal(size=(3, 5000)) + np.linspace(0, 100, 5000)
    x[0, 1000:3000] = np.nan
    x[1, ::7] = np.inf
    x[2] = np.nan
    found = robust_spread(x)
    np.testing.assert_allclose(found[:2], 1, rtol=0.05)
    assert np.isnan(found[2])


def test_few_bounded_stretches_are_read():
    read = []

    def signal(start, stop):
        read.append((start, stop))
        return np.zeros((2, stop - start))

    assert len(list(stretches(signal, 10_000_000, 1000.0))) == 8
    assert read[0] == (0, 2000)
    assert read[-1] == (9_998_000, 10_000_000)
    read.clear()
    list(stretches(signal, 10_000_000, 20_000.0))
    assert all(stop - start == 4096 for start, stop in read)
    read.clear()
    list(stretches(signal, 3, 1000.0))
    assert read == [(0, 3)]


def test_flat_channels_and_bad_stretches_do_not_count():
    generator = np.random.default_rng(3)
    parts = [generator.normal(scale=1e-5, size=(4, 1000)) for _ in range(8)]
    for part in parts:
        part[:2] = 0.0
    parts[0][:] *= 1e5
    assert median_amplitude(parts, EEG)["eeg"] == pytest.approx(1e-5, rel=0.1)
    assert median_amplitude([np.zeros((4, 100))], EEG) == {}


@pytest.mark.parametrize("value", [6e-8, 1e-6, 2e-5, 1e-3])
def test_eeg_amplitudes_are_let_pass(value):
    assert amplitude_problem({"eeg": value}, set()) is None


@pytest.mark.parametrize(
    ("kind", "value", "found", "mend"),
    [
        ("eeg", 20.0, "20 V", "unit='uV' (20 uV)"),
        ("eeg", 6e-3, "6 mV", "unit='mV' (6 uV)"),
        ("eeg", 20e-12, "20 pV", "unit='V as uV' (20 uV)"),
        ("mag", 300.0, "300 T", "unit='fT' (300 fT)"),
        ("axial", 2e-28, "fT", "unit='T as fT' (200 fT)"),
        ("planar", 50.0, "50 T/m", "unit='fT/cm' (5 pT/m)"),
        ("ieeg", 80.0, "80 V", "unit='uV' (80 uV)"),
    ],
)
def test_impossible_amplitudes_are_named_with_what_mends_them(kind, value, found, mend):
    problem = amplitude_problem({kind: value}, set()) or ""
    assert found in problem
    assert mend in problem
    unit = parse_unit(mend.split("'")[1])
    assert amplitude_problem({kind: value * next(iter(unit.values()))}, set()) is None


def test_who_states_the_unit_is_believed():
    assert amplitude_problem({"eeg": 5.0}, {"V"}) is None
    assert amplitude_problem({"eeg": 5.0}, {"T"})


def test_amplitudes_are_written_readably():
    assert format_amplitude(6.123e-3, "V") == "6.12 mV"
    assert format_amplitude(2.5e-13, "T") == "250 fT"
    assert format_amplitude(4.0, "T/m") == "4 T/m"
