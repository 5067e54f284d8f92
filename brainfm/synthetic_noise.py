"""Noise of a head and its sensors, in consecutive blocks that join without a seam.

The background is the field of many random dipoles, so neighbouring sensors share it. Each dipole's
moment is an Ornstein-Uhlenbeck process; their corner frequencies are spread evenly on a logarithmic
axis, and the sum of such processes has a 1/f spectrum between the lowest and the highest. White
sensor noise and the mains are added per sensor; blinks and heartbeats are dipoles.

Shapes: C sensors, T samples, M dipoles.
"""

from types import MappingProxyType

import numpy as np
from scipy import signal

from brainfm.sensors import FloatArray
from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_head import SyntheticHead

BACKGROUND_DIPOLES = 160
BACKGROUND_MOMENT = 13e-9
"""Root mean square in A m; gives EEG of about 10 uV and magnetometers of about 0.3 pT."""
CORNERS = (0.3, 60.0)
"""Hz."""
GROUPS = 16

WHITE = MappingProxyType({"eeg": 40e-9, "mag": 3e-15, "grad": 3e-13})
"""Density of the sensors' own noise: V, T or T/m per root Hz."""
LINE = MappingProxyType({"eeg": 1.5e-6, "mag": 1e-13, "grad": 2e-12})
"""Amplitude of the mains in V, T or T/m; its third harmonic has a third of it."""

BLINK_MOMENT, BLINK_S = 400e-9, 0.35
HEART_MOMENT, QRS_S = 60e-9, 0.1


class NoiseStream:
    """Noise of one recording (C, T), drawn block by block; gains are not included.

    Parameters
    ----------
    cfg
        Rates of artefacts, mains, sampling rate, duration.
    head
        The head.
    generator
        Source of randomness. What is drawn does not depend on where the blocks are cut.
    """

    def __init__(
        self, cfg: SimulationConfig, head: SyntheticHead, *, generator: np.random.Generator
    ) -> None:
        places, self._moments, self._white, artefacts = generator.spawn(4)
        n_channels = len(head.kinds)
        directions = places.standard_normal((BACKGROUND_DIPOLES, 3))
        orientations = places.standard_normal((BACKGROUND_DIPOLES, 3))
        orientations /= np.linalg.norm(orientations, axis=1, keepdims=True)
        depth = places.uniform(0.3, 0.85, BACKGROUND_DIPOLES)
        self._field = head.lead_field(head.places(directions, depth), orientations)
        self._field *= BACKGROUND_MOMENT
        corners = np.geomspace(*CORNERS, GROUPS)
        self._memory = np.repeat(
            np.exp(-2 * np.pi * corners / cfg.sfreq), BACKGROUND_DIPOLES // GROUPS
        )
        self._last = self._moments.standard_normal(BACKGROUND_DIPOLES)
        self._sensor = np.array([WHITE[k] for k in head.kinds]) * np.sqrt(cfg.sfreq / 2)
        self._mains = cfg.line_freq * np.array([1.0, 3.0])
        self._mains = self._mains[(self._mains > 0) & (self._mains < cfg.sfreq / 2)]
        pattern = 1.0 + 0.3 * places.standard_normal((n_channels, len(self._mains)))
        sizes = np.array([LINE[k] for k in head.kinds])[:, None]
        self._line = sizes * pattern / np.array([1.0, 3.0])[: len(self._mains)]
        self._artefacts = artefact_courses(cfg, generator=artefacts)
        self._artefact_field = artefact_field(head)
        self._sfreq, self._at = cfg.sfreq, 0

    def read(self, n_times: int) -> FloatArray:
        """Return the next ``n_times`` samples (C, n_times)."""
        white = self._moments.standard_normal((n_times, BACKGROUND_DIPOLES)).T
        moments = np.empty_like(white)
        size = BACKGROUND_DIPOLES // GROUPS
        for first in range(0, BACKGROUND_DIPOLES, size):
            rows = slice(first, first + size)
            keep = self._memory[first]
            moments[rows], _ = signal.lfilter(
                [np.sqrt(1 - keep**2)],
                [1.0, -keep],
                white[rows],
                zi=keep * self._last[rows, None],
            )
        self._last = moments[:, -1]
        noise = self._field @ moments
        noise += self._sensor[:, None] * self._white.standard_normal((n_times, len(noise))).T
        time = (self._at + np.arange(n_times)) / self._sfreq
        noise += self._line @ np.sin(2 * np.pi * self._mains[:, None] * time)
        noise += self._artefact_field @ self._artefacts[:, self._at : self._at + n_times]
        self._at += n_times
        return np.asarray(noise)


def artefact_field(head: SyntheticHead) -> FloatArray:
    """Return what the sensors measure of the eyes and of the heart, (C, 2) per A m."""
    eyes = head.places(np.array([[0.35, 0.9, -0.2], [-0.35, 0.9, -0.2]]), 0.88)
    heart = head.places(np.array([[-0.2, 0.0, -1.0]]), 0.85)
    directions = np.array([[0.0, 0.5, 0.866], [0.0, 0.5, 0.866], [0.8, 0.6, 0.0]])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    field = head.lead_field(np.concatenate([eyes, heart]), directions)
    return np.column_stack([field[:, :2].sum(axis=1), field[:, 2]])


def artefact_courses(cfg: SimulationConfig, *, generator: np.random.Generator) -> FloatArray:
    """Draw the moments of blinks and heartbeats, (2, T) in A m.

    Blinks come at random, never less than half a second apart; heartbeats come regularly, give or
    take 5 per cent.
    """
    courses = np.zeros((2, cfg.n_times))
    blink = signal.windows.hann(max(3, round(BLINK_S * cfg.sfreq)))
    half = np.linspace(-3, 3, max(3, round(QRS_S * cfg.sfreq)))
    beat = (1 - half**2) * np.exp(-(half**2) / 2)
    for row, (rate, shape, moment) in enumerate(
        ((cfg.blinks, blink, BLINK_MOMENT), (cfg.heart_rate, beat, HEART_MOMENT))
    ):
        at = 0.0
        while rate > 0:
            mean = 60 / rate
            jitter = generator.normal(1.0, 0.05)
            wait = generator.exponential(max(mean - 0.5, 0.0)) + min(0.5, mean)
            at += wait if row == 0 else mean * max(jitter, 0.5)
            start = round(at * cfg.sfreq)
            if start + len(shape) > cfg.n_times:
                break
            courses[row, start : start + len(shape)] += moment * generator.uniform(0.8, 1.2) * shape
    return courses
