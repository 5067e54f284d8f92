"""Recordings of synthetic people: the SNR asked for, and a response that can be found again."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import signal

from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_images import Pictures
from brainfm.synthetic_person import SyntheticPerson, make_person
from brainfm.synthetic_session import BandPower, Session, Stimuli, make_session, record
from brainfm.synthetic_speech import FRAME_RATE, Sound


def sounds(n: int = 4, seconds: float = 4.0) -> tuple[Sound, ...]:
    """Speech-like envelopes: positive, changing up to 10 Hz."""
    rng = np.random.default_rng(0)
    low = signal.butter(2, 10, "lowpass", fs=FRAME_RATE, output="sos")
    made = []
    for k in range(n):
        wave = np.abs(signal.sosfilt(low, rng.standard_normal((1, int(seconds * FRAME_RATE) + 1))))
        wave /= np.sqrt(np.mean(wave**2))
        made.append(Sound(name=f"{k}.wav", content_id=str(k), duration=seconds, features=wave))
    return tuple(made)


def made(
    stimuli: Stimuli, seed: int = 1, **values: Any
) -> tuple[SimulationConfig, SyntheticPerson, Session, np.ndarray, float, dict[str, float]]:
    settings = {"montage": "biosemi16", "duration": 60.0, "sfreq": 100.0, "gap": 0.5, **values}
    cfg = SimulationConfig(**settings)
    person = make_person(cfg, stimuli.components(cfg), generator=np.random.default_rng([seed, 0]))
    session = make_session(cfg, person, stimuli, generator=np.random.default_rng([seed, 1]))
    sensors = np.empty((len(person.head.kinds), cfg.n_times))
    noise = np.random.default_rng([seed, 2])
    moment, snr = record(cfg, person, session, sensors, generator=noise)
    return cfg, person, session.planted(moment), sensors, moment, snr


def fitted_response(drive: np.ndarray, sensors: np.ndarray, n_lags: int) -> np.ndarray:
    """Ridge regression of sensors (C, T) on a lagged drive (T,): (n_lags, C)."""
    lagged = np.stack([np.roll(drive, lag) for lag in range(n_lags)], axis=1)
    lagged[:n_lags] = 0
    lagged -= lagged.mean(axis=0)
    gram = lagged.T @ lagged
    ridge = 1e-3 * np.trace(gram) / n_lags * np.eye(n_lags)
    centred = sensors - sensors.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.solve(gram + ridge, lagged.T @ centred.T))


def decoded(drive: np.ndarray, sensors: np.ndarray, n_lags: int = 30) -> float:
    """Correlation of the drive with its reconstruction from later sensors, on the second half."""
    band = signal.butter(2, (1, 15), "bandpass", fs=100.0, output="sos")
    x = signal.sosfiltfilt(band, sensors, axis=1)
    x /= x.std(axis=1, keepdims=True)
    rows = np.concatenate([np.roll(x, -lag, axis=1) for lag in range(0, n_lags, 2)])[:, :-n_lags]
    y = signal.sosfiltfilt(band, drive)[:-n_lags]
    half = rows.shape[1] // 2
    train, test = rows[:, :half], rows[:, half:]
    gram = train @ train.T + 0.1 * half * np.eye(len(rows))
    guess = np.linalg.solve(gram, train @ y[:half]) @ test
    return float(np.corrcoef(guess, y[half:])[0, 1])


@pytest.mark.parametrize("snr", [-15.0, 0.0, 10.0])
def test_the_snr_asked_for_is_made(snr: float) -> None:
    cfg, person, session, sensors, _, told = made(Stimuli(sounds=sounds()), snr=snr)
    planted = person.lead_field @ session.courses
    freqs, of_signal = signal.welch(planted, cfg.sfreq, nperseg=400)
    _, of_noise = signal.welch(sensors - planted, cfg.sfreq, nperseg=400)
    band = (freqs >= cfg.snr_low) & (freqs <= cfg.snr_high)
    measured = 10 * np.log10(of_signal[:, band].sum() / of_noise[:, band].sum())
    assert told["eeg"] == pytest.approx(snr)
    assert measured == pytest.approx(snr, abs=0.5)


def test_eeg_and_meg_share_their_sources_and_the_reference_has_the_snr() -> None:
    stimuli = Stimuli(sounds=sounds())
    cfg, person, session, sensors, _, told = made(
        stimuli, meg="neuromag", snr_sensors="mag", snr=30.0, duration=20.0
    )
    assert told["mag"] == pytest.approx(30.0)
    assert told["eeg"] != pytest.approx(30.0, abs=0.01)
    kinds = np.array(person.head.kinds)
    band = signal.butter(2, (2, 20), "bandpass", fs=cfg.sfreq, output="sos")
    course = signal.sosfiltfilt(band, session.courses[0])
    for kind in ("eeg", "mag", "grad"):
        field = person.lead_field[kinds == kind, 0]
        seen = field @ signal.sosfiltfilt(band, sensors[kinds == kind], axis=1) / (field @ field)
        assert np.corrcoef(seen, course)[0, 1] > 0.99
        assert seen.std() == pytest.approx(course.std(), rel=0.1)


def test_a_gain_multiplies_noise_and_response_alike() -> None:
    cfg, person, session, sensors, moment, _ = made(Stimuli(sounds=sounds()), duration=10.0)
    louder = replace(
        person,
        head=replace(person.head, gains=2 * person.head.gains),
        lead_field=2 * person.lead_field,
    )
    doubled, noise = np.empty_like(sensors), np.random.default_rng([1, 2])
    unit = session.planted(1 / moment)
    assert record(cfg, louder, unit, doubled, generator=noise)[0] == pytest.approx(moment)
    np.testing.assert_allclose(doubled, 2 * sensors, rtol=1e-6, atol=1e-12)


def test_a_fitted_response_has_the_latency_that_was_planted() -> None:
    _, person, session, sensors, _, _ = made(Stimuli(sounds=sounds()), snr=15.0, latency=0.15)
    response = fitted_response(session.drives[0], sensors, n_lags=40)
    strongest = np.argmax(np.abs(person.lead_field[:, 0]))
    found = np.argmax(np.abs(response[:, strongest])) / 100
    assert found == pytest.approx(person.latencies[0], abs=0.011)
    assert found == np.argmax(np.abs(session.kernels[0])) / 100


def test_the_null_differs_from_the_recording_by_the_response_alone() -> None:
    stimuli = Stimuli(sounds=sounds())
    _, person, session, sensors, _, _ = made(stimuli, snr=0.0)
    _, _, nothing, noise, moment, told = made(stimuli, snr=0.0, null=True)
    assert moment == 0
    assert told == {"eeg": -np.inf}
    assert nothing.presentations == session.presentations
    np.testing.assert_array_equal(nothing.drives, session.drives)
    planted = person.lead_field @ session.courses
    np.testing.assert_allclose(sensors - noise, planted, atol=1e-9 * np.abs(planted).max())


def test_the_envelope_is_decoded_from_what_was_planted_and_not_from_the_null() -> None:
    stimuli = Stimuli(sounds=sounds(8))
    _, _, session, sensors, _, _ = made(stimuli, snr=0.0, duration=80.0)
    assert decoded(session.drives[0], sensors) > 0.4
    nulls = []
    for seed in range(8):
        _, _, session, sensors, _, _ = made(stimuli, seed=seed, null=True, duration=80.0)
        nulls.append(decoded(session.drives[0], sensors))
    assert abs(np.mean(nulls)) < 3 * np.std(nulls) / np.sqrt(len(nulls)) + 0.02
    assert np.abs(nulls).max() < 0.3


def test_responses_to_pictures_grow_with_their_weights() -> None:
    weights = np.column_stack([np.ones(6), np.linspace(-1.5, 1.5, 6)])
    pictures = Pictures(weights=weights, content_ids=tuple("abcdef"))
    _, person, session, sensors, _, _ = made(Stimuli(pictures=pictures), snr=10.0, duration=120.0)
    peak = round(person.latencies[1] * 100)
    seen = np.linalg.pinv(person.lead_field) @ sensors
    onsets = [round(p.onset * 100) for p in session.presentations]
    shown = [p.stimulus for p in session.presentations]
    answers = [seen[1, at + peak] - seen[1, at - 2 : at + 2].mean() for at in onsets]
    assert np.corrcoef(answers, -weights[shown, 1])[0, 1] > 0.8


def test_blocks_of_any_length_have_the_power_of_the_whole() -> None:
    cfg = SimulationConfig(sfreq=100.0)
    x = np.random.default_rng(0).standard_normal((3, 2000))
    cut, whole = BandPower.of(cfg), BandPower.of(cfg)
    whole.add(x)
    for part in np.split(x, [1, 700, 701], axis=1):
        cut.add(part)
    np.testing.assert_allclose(cut.mean, whole.mean)
    assert whole.mean.mean() == pytest.approx((30 - 1) / 50, rel=0.1)


def test_a_recording_too_short_for_a_stimulus_says_so() -> None:
    with pytest.raises(ValueError, match="holds no sound after a gap of 3 s"):
        made(Stimuli(sounds=sounds(1)), duration=2.5, gap=3.0)
    pictures = Pictures(weights=np.ones((2, 1)), content_ids=("a", "b"))
    with pytest.raises(ValueError, match="holds no picture"):
        made(Stimuli(pictures=pictures), duration=2.5, soa=2.0)


def test_a_recording_of_the_silence_before_a_sound_is_refused() -> None:
    wave = np.zeros((1, 2000))
    wave[0, 1500:] = 1.0
    late = Sound(name="late.wav", content_id="late", duration=10.0, features=wave)
    with pytest.raises(ValueError, match="drives nothing"):
        made(Stimuli(sounds=(late,)), duration=4.0)


def test_a_band_without_response_is_refused() -> None:
    cfg, person, session, sensors, _, _ = made(Stimuli(sounds=sounds(1)), duration=10.0)
    flat = replace(session, courses=np.zeros_like(session.courses))
    with pytest.raises(ValueError, match="between 1 and 30 Hz"):
        record(cfg, person, flat, sensors, generator=np.random.default_rng(0))
