"""Noise that looks like a head's: spectrum, coherence in space, artefacts, no seams."""

import numpy as np
import pytest
from scipy import signal

from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_head import SyntheticHead, make_head
from brainfm.synthetic_noise import NoiseStream, artefact_courses

QUIET = {"line_freq": 0.0, "blinks": 0.0, "heart_rate": 0.0}


def config(**values: object) -> SimulationConfig:
    settings = {"montage": "biosemi32", "duration": 40.0, "sfreq": 128.0, **values}
    return SimulationConfig(**settings)  # type: ignore[arg-type]


def head_for(cfg: SimulationConfig) -> SyntheticHead:
    return make_head(cfg, (), generator=np.random.default_rng(0))


def noise_of(cfg: SimulationConfig, blocks: tuple[int, ...] = (), seed: int = 1) -> np.ndarray:
    stream = NoiseStream(cfg, head_for(cfg), generator=np.random.default_rng(seed))
    return np.concatenate([stream.read(n) for n in blocks or (cfg.n_times,)], axis=1)


def test_blocks_join_without_a_seam_wherever_they_are_cut() -> None:
    cfg = config(duration=5.0)
    cut = noise_of(cfg, (1, 100, 300, 239))
    np.testing.assert_allclose(cut, noise_of(cfg), rtol=1e-9, atol=1e-15)
    assert not np.allclose(cut, noise_of(cfg, seed=2))


def test_the_background_falls_as_one_over_f_and_has_the_size_of_eeg() -> None:
    x = noise_of(config(**QUIET))
    freqs, power = signal.welch(x, 128.0, nperseg=512)
    band = (freqs > 1) & (freqs < 30)
    slope = np.polyfit(np.log(freqs[band]), np.log(power.mean(axis=0)[band]), 1)[0]
    assert -1.4 < slope < -0.7
    assert 3e-6 < np.median(x.std(axis=1)) < 3e-5


def test_neighbours_share_the_background_and_far_sensors_do_not() -> None:
    cfg = config(**QUIET)
    places = np.array([ch["loc"][:3] for ch in head_for(cfg).info["chs"]])
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    alike = np.abs(np.corrcoef(noise_of(cfg)))
    near = alike[(apart > 0) & (apart < 0.045)].mean()
    assert near > 0.6
    assert near > alike[apart > 0.12].mean() + 0.2


def test_the_mains_stand_at_their_frequency_and_only_when_asked_for() -> None:
    def height(line_freq: float) -> float:
        x = noise_of(config(**(QUIET | {"line_freq": line_freq})))
        freqs, power = signal.welch(x, 128.0, nperseg=1024)
        at = np.argmin(np.abs(freqs - 50))
        beside = (np.abs(freqs - 50) > 1) & (np.abs(freqs - 50) < 5)
        return float(np.median(power[:, at] / power[:, beside].mean(axis=1)))

    assert height(50.0) > 20
    assert height(0.0) < 3


def test_blinks_are_frontal_and_of_the_size_of_blinks() -> None:
    cfg = config(**(QUIET | {"blinks": 20.0}))
    blinks = noise_of(cfg) - noise_of(config(**QUIET))
    size = dict(zip(head_for(cfg).info["ch_names"], np.ptp(blinks, axis=1), strict=True))
    assert 3e-5 < size["Fp1"] < 5e-4
    assert size["Fp1"] > 4 * max(size["O1"], size["Pz"])


@pytest.mark.parametrize(("row", "name", "rate"), [(0, "blinks", 15.0), (1, "heart_rate", 60.0)])
def test_artefacts_come_as_often_as_asked_for(row: int, name: str, rate: float) -> None:
    cfg = config(**(QUIET | {name: rate, "duration": 1200.0}))
    courses = artefact_courses(cfg, generator=np.random.default_rng(0))
    peaks, _ = signal.find_peaks(courses[row], height=courses[row].max() / 2, distance=30)
    assert len(peaks) == pytest.approx(rate * 20, rel=0.2)
    assert not courses[1 - row].any()
