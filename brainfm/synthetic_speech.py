"""Sounds that drive synthetic brains: envelope or mel bands of WAV files.

Shapes: F features, T samples, N frames of 5 ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from brainfm.audio_file import SHORTEST_S, read_wav
from brainfm.log_mel import mel_bank
from brainfm.sensors import FloatArray
from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_events import Presentation
from brainfm.synthetic_words import TimedWord, words_beside
from brainfm.trial_events import content_id

FRAME_RATE = 200.0
"""Frames of the features per second; each looks at 25 ms about its time."""
WINDOW_S = 0.025


@dataclass(frozen=True, kw_only=True, eq=False)
class Sound:
    """One sound and what of it drives the brain.

    Parameters
    ----------
    name
        File name.
    content_id
        Of the bytes of the file (:func:`brainfm.trial_events.content_id`).
    duration
        Seconds.
    features
        (F, N) from time 0 at :data:`FRAME_RATE`; zero in silence.
    words
        What is said in it, where a table beside it tells.
    """

    name: str
    content_id: str
    duration: float
    features: FloatArray
    words: tuple[TimedWord, ...] = ()


def read_sounds(paths: Sequence[str | Path], cfg: SimulationConfig) -> list[Sound]:
    """Read WAV files; every feature has a root mean square of one over all of them.

    Raises
    ------
    ValueError, FileNotFoundError
        A file is missing, no WAV file, empty, shorter than 0.1 s or silent, two files of different
        content have the same name, or a table of words does not fit its sound.
    """
    sounds: list[Sound] = []
    for path in map(Path, paths):
        samples, rate = read_wav(path)
        bands = 1 if cfg.speech == "envelope" else cfg.mel_bands
        features = sound_features(samples, rate, n_bands=bands)
        duration = len(samples) / rate
        sounds.append(
            Sound(
                name=path.name,
                content_id=content_id(path.read_bytes()),
                duration=duration,
                features=features,
                words=words_beside(path, duration),
            )
        )
    contents = {sound.name: sound.content_id for sound in sounds}
    for sound in sounds:
        if contents[sound.name] != sound.content_id:
            raise ValueError(f"two different sounds are named {sound.name}: rename one")
    if not sounds:
        return []
    size = np.sqrt(np.mean(np.concatenate([s.features for s in sounds], axis=1) ** 2, axis=1))
    size = np.maximum(size, 1e-12)[:, None]
    return [replace(s, features=s.features / size) for s in sounds]


def sound_features(samples: NDArray[np.floating], rate: int, *, n_bands: int) -> FloatArray:
    """Return features (F, N) of a sound (T,), none of them negative and all zero in silence.

    Parameters
    ----------
    samples
        Sound between -1 and 1.
    rate
        Its samples per second.
    n_bands
        1: the envelope, the root of the power in the window, to the power 0.6 as loudness grows.
        More: that many triangular bands, even on the mel axis from 80 Hz up, in the logarithm of
        one plus the power over a thousandth of the sound's mean.
    """
    length = round(WINDOW_S * rate)
    n_frames = int(np.floor(len(samples) / rate * FRAME_RATE)) + 1
    centres = np.round(np.arange(n_frames) / FRAME_RATE * rate).astype(int)
    window = signal.windows.hann(length)
    bank = None if n_bands == 1 else mel_bank(rate, length, n_bands)
    features = np.empty((n_bands, n_frames))
    for first in range(0, n_frames, 4096):  # an hour's frames at once would be gigabytes
        chosen = centres[first : first + 4096, None] + np.arange(length) - length // 2
        inside = (chosen >= 0) & (chosen < len(samples))
        frames = samples[np.clip(chosen, 0, len(samples) - 1)] * inside * window
        if bank is None:
            features[0, first : first + 4096] = np.mean(frames**2, axis=1) ** 0.3
        else:
            power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
            features[:, first : first + 4096] = bank @ power.T
    if bank is not None:
        features = np.log1p(features / (1e-3 * features.mean()))
    return features


def present_sounds(
    sounds: Sequence[Sound], cfg: SimulationConfig, *, generator: np.random.Generator
) -> list[Presentation]:
    """Play all sounds in a random order with silence before each, again and again to the end.

    Silence is ``gap``; with ``jitter`` it is what makes the times from onset to onset independent
    of the sounds. The last one ends with the recording; a rest shorter than 0.1 s stays silent.
    """
    played: list[Presentation] = []
    end = cfg.n_times / cfg.sfreq
    longest = max((sound.duration for sound in sounds), default=0.0)
    at = cfg.gap
    while sounds and at < end - SHORTEST_S:
        for index in generator.permutation(len(sounds)).tolist():
            sound = sounds[index]
            if at >= end - SHORTEST_S:
                break
            onset = round(at * cfg.sfreq) / cfg.sfreq
            played.append(
                Presentation(
                    onset=onset,
                    duration=min(sound.duration, end - onset),
                    kind="speech",
                    stimulus=index,
                    name=sound.name,
                    content_id=sound.content_id,
                )
            )
            lasts = sound.duration
            if cfg.jitter:
                lasts = longest + generator.uniform(0, cfg.jitter)
            at = onset + lasts + cfg.gap
    return played


def speech_drive(
    sounds: Sequence[Sound], played: Sequence[Presentation], cfg: SimulationConfig
) -> FloatArray:
    """Return the features of what is heard on the recording's time axis, (F, T)."""
    drive = np.zeros((len(sounds[0].features), cfg.n_times))
    for shown in played:
        sound = sounds[shown.stimulus]
        first = round(shown.onset * cfg.sfreq)
        n = min(int(shown.duration * cfg.sfreq), cfg.n_times - first)
        frames = np.arange(n) / cfg.sfreq * FRAME_RATE
        known = np.arange(sound.features.shape[1])
        for row, feature in enumerate(sound.features):
            drive[row, first : first + n] = np.interp(frames, known, feature)
    return drive
