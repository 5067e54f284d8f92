"""Measures of a reconstruction against values derived by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from brainfm.fidelity import Reconstructed
from brainfm.fidelity_measures import MEASURES, WHOLE, recording_sums, value_of, window_sums
from brainfm.fidelity_pool import Members, pooled
from brainfm.frequency_bands import BANDS, band_signal

SFREQ, L = 256.0, 512


def sine(freq: float, n: int, degrees: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * freq * np.arange(n) / SFREQ + np.radians(degrees))


def values(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    sums = window_sums(x.astype(float), y.astype(float), L)
    return {name: float(value_of(name, each.sum(0))) for name, each in sums.items()}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(("shift", "error"), [(30, 30), (-30, 30), (90, 90), (180, 180), (350, 10)])
def test_phase_error_is_the_shift_on_the_circle(shift: float, error: float) -> None:
    x = np.stack([sine(10, 2 * L), sine(10, 2 * L, 45)])
    y = np.stack([sine(10, 2 * L, shift), 3 * sine(10, 2 * L, 45 + shift)])
    assert values(x, y)["phase_deg"] == pytest.approx(error, abs=1e-6)


def test_phase_is_weighted_by_the_magnitude_of_the_original() -> None:
    # A channel of amplitude 3 is right, one of amplitude 1 is 80 degrees off: 80 / 4.
    x = np.stack([3 * sine(10, L), sine(10, L)])
    y = np.stack([sine(10, L), 5 * sine(10, L, 80)])
    assert values(x, y)["phase_deg"] == pytest.approx(20, abs=1e-6)


def test_unrelated_phases_are_at_chance() -> None:
    x, y = (band_signal(noise(20, 8 * L, seed=seed), (8.0, 13.0), SFREQ) for seed in (1, 2))
    assert values(x, y)["phase_deg"] == pytest.approx(90, abs=6)


def test_signal_to_noise_is_that_of_the_noise_added() -> None:
    # Orthogonal sines: amplitude 1 against 0.1 is a hundredth of the power, 20 dB.
    x = sine(10, L)[None]
    found = values(x, x + 0.1 * sine(20, L)[None])
    assert found["snr_db"] == pytest.approx(20, abs=1e-6)
    assert found["correlation"] == pytest.approx(1 / np.sqrt(1.01), abs=1e-5)


def test_topography_follows_the_pattern_and_not_its_strength_or_offset() -> None:
    pattern = np.array([1.0, 0.0, -1.0])[:, None]
    other = np.array([1.0, -2.0, 1.0])[:, None]  # orthogonal to it, both with mean 0
    x = pattern * sine(5, L)
    assert values(x, 0.1 * x + 7)["topography_error"] == pytest.approx(0, abs=1e-9)
    assert values(x, -x)["topography_error"] == pytest.approx(2, abs=1e-9)
    assert values(x, other * sine(5, L))["topography_error"] == pytest.approx(1, abs=1e-9)


def test_topography_is_weighted_by_the_strength_of_the_original() -> None:
    # The first half, three times as strong, is right; the second has the wrong sign: 2 x 1 / 4.
    strength = np.repeat([3.0, 1.0], L // 2)
    pattern = np.array([1.0, 0.0, -1.0])[:, None]
    x = pattern * strength
    y = pattern * np.repeat([1.0, -1.0], L // 2)
    assert values(x, y)["topography_error"] == pytest.approx(0.5, abs=1e-9)


def test_two_channels_have_no_topography() -> None:
    x = noise(2, L)
    assert np.isnan(values(x, x)["topography_error"])


def test_half_and_double_amplitude_are_errors_that_do_not_cancel() -> None:
    x = np.stack([sine(10, L), sine(10, L)])
    found = values(x, np.array([[0.5], [2.0]]) * x)
    assert found["amplitude_error"] == pytest.approx(np.log(2))
    assert found["amplitude_ratio"] == pytest.approx(1)
    assert values(x, 0.5 * x)["amplitude_ratio"] == pytest.approx(0.5)
    assert values(x, 0.5 * x)["error"] == pytest.approx(0.5)


def test_silence_and_perfection_have_the_values_that_the_table_says() -> None:
    x = noise(4, 3 * L)
    silent, perfect = values(x, np.zeros_like(x)), values(x, x)
    assert set(silent) == set(MEASURES)
    for name, measure in MEASURES.items():
        assert silent[name] == pytest.approx(measure.silent, abs=1e-6), name
        assert perfect[name] == pytest.approx(measure.perfect, abs=1e-5), name


def test_a_dead_channel_of_the_original_has_no_amplitude_to_compare() -> None:
    x = np.stack([sine(10, L), np.zeros(L)])
    assert values(x, 2 * x)["amplitude_ratio"] == pytest.approx(2)


@pytest.fixture
def recording(head_sensors: Callable) -> Callable[..., Reconstructed]:
    def make(x: np.ndarray, y: np.ndarray, types: list[str]) -> Reconstructed:
        return Reconstructed(
            sensors=head_sensors(types),
            scale=np.full(len(types), 1e-6),
            sfreq=SFREQ,
            window=L,
            starts=(0,),
            original=(x.astype(np.float32),),
            reconstruction=(y.astype(np.float32),),
        )

    return make


def test_bands_and_types_are_judged_apart_up_to_the_low_pass(recording: Callable) -> None:
    n = 4 * L
    slow, fast = sine(10, n), sine(20, n)
    x = np.stack([slow + fast, slow + fast])
    y = np.stack([slow - fast, slow + fast])  # the EEG channel has its beta inverted
    result = recording(x, y, ["eeg", "mag"])
    sums = recording_sums(result, {"codes": result.reconstruction}, 40.0)
    assert {band for _, band in sums} == {WHOLE, "delta", "theta", "alpha", "beta", "gamma"}

    def value(kind: str, band: str, name: str = "correlation") -> float:
        return float(value_of(name, sums[kind, band]["codes"][name].sum(0)))

    assert value("eeg", "alpha") == pytest.approx(1, abs=0.02)
    assert value("eeg", "beta") == pytest.approx(-1, abs=0.02)
    assert value("eeg", "beta", "phase_deg") == pytest.approx(180, abs=5)
    assert value("mag", "beta") == pytest.approx(1, abs=0.02)
    assert value("eeg", WHOLE) == pytest.approx(0, abs=0.01)
    assert sums["eeg", "alpha"]["codes"]["correlation"].shape == (4, 2)
    # The phase of a signal that is no band means nothing.
    assert "phase_deg" not in sums["eeg", WHOLE]["codes"]


def test_high_gamma_needs_a_recording_that_holds_it(recording: Callable) -> None:
    x = noise(3, L)
    for lowpass, there in ((96.0, True), (70.0, False), (np.nan, True)):
        result = recording(x, x, ["eeg"] * 3)
        sums = recording_sums(result, {"codes": result.reconstruction}, lowpass)
        assert (("eeg", "high gamma") in sums) is there
    assert list(BANDS)[-1] == "high gamma"


def sums_of(*ratios: float) -> np.ndarray:
    return np.array([[ratio, 1.0] for ratio in ratios])


def test_every_subject_counts_alike() -> None:
    # a: mean of .2 and .4; b: .9; the mean of both is .6, that of all recordings .5.
    who = Members(subjects=("a", "a", "b"), windows=(2, 2, 2))
    estimate = pooled("correlation", who, [sums_of(0.2, 0.2), sums_of(0.4, 0.4), sums_of(0.9, 0.9)])
    assert estimate.value == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("subjects", "over"),
    [
        (("a", "b", "c"), "subjects"),
        (("a", "a", "b"), "recordings"),
        (("a", "b"), "windows"),
        (("a",), "windows"),
    ],
)
def test_intervals_are_over_people_where_there_are_some(
    subjects: tuple[str, ...], over: str
) -> None:
    assert Members(subjects=subjects, windows=(4,) * len(subjects)).over == over


def test_the_interval_holds_what_varies_between_units_and_nothing_else() -> None:
    # Windows differ, subjects do not: over three subjects nothing varies, over one its windows do.
    each = sums_of(0.0, 1.0, 0.0, 1.0)
    three = pooled("error", Members(subjects=("a", "b", "c"), windows=(4,) * 3), [each] * 3)
    assert three.interval == pytest.approx((0.5, 0.5))
    one = pooled("error", Members(subjects=("a",), windows=(4,)), [each])
    assert one.value == pytest.approx(0.5)
    assert one.interval is not None
    assert one.interval[0] == pytest.approx(0.0)  # all four draws are zero in 1 of 16 resamples
    assert one.interval[1] == pytest.approx(1.0)
    assert pooled("error", Members(subjects=("a",), windows=(4,)), [each]) == one


def test_nothing_to_measure_is_no_number() -> None:
    who = Members(subjects=("a",), windows=(1,))
    assert pooled("topography_error", who, [np.zeros((1, 2))]) == (None, None)
