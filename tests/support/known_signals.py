"""Recordings of known noise and tones, and what processing makes of them before scaling."""

import numpy as np

from brainfm.processing import ProcessingConfig, process
from brainfm.recordings import Recording
from brainfm.sensors import SensorArray
from brainfm.tape import copied

UNORIENTED = ("eeg", "ieeg")


def make_sensors(types):
    rng = np.random.default_rng(3)
    places = rng.standard_normal((len(types), 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    oriented = np.array([kind not in UNORIENTED for kind in types])[:, None]
    return SensorArray(
        positions=places * 0.1,
        orientations=np.where(oriented, places, 0.0),
        types=np.array(types),
        names=tuple(f"{kind}{i}" for i, kind in enumerate(types)),
    )


def make_recording(x, sfreq=500.0, types=None, **more):
    sensors = make_sensors(types or ["eeg"] * len(x))
    given = {"bads": np.zeros(len(x), bool), "line_freq": None} | more
    return Recording(
        source="test",
        sensors=sensors,
        sfreq=sfreq,
        n_times=x.shape[1],
        signal=lambda start, stop: np.array(x[:, start:stop]),
        **given,
    )


def noise(n_channels, seconds, sfreq=500.0, seed=0, size=1e-5):
    """Noise with a falling spectrum, like a brain's, in volts."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((n_channels, int(seconds * sfreq)))
    slow = np.cumsum(white, axis=1)
    slow -= slow.mean(axis=1, keepdims=True)
    return size * (0.05 * slow + white)


def filtered(recording, **settings):
    """The float64 signal before scaling, in SI units."""
    chain = process(recording, ProcessingConfig(**settings)).chain
    return np.concatenate([x for x, _ in map(copied, chain.signal(0, chain.n_times))], axis=1)


def tone(hz, seconds, sfreq):
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * sfreq)) / sfreq)


def amplitude(x, hz, sfreq=256.0):
    """Amplitude of a tone in the middle of x, by projection."""
    inner = x[len(x) // 4 : 3 * len(x) // 4]
    wave = np.exp(2j * np.pi * hz * np.arange(len(inner)) / sfreq)
    window = np.hanning(len(inner))
    return 2 * abs((inner * window) @ wave) / window.sum()
