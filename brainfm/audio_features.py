"""Features of a sound: log-mel bands, or hidden layers of a pretrained model of speech.

A function of the samples that it is given and of nothing else: who wants features that do not know
what comes after a border cuts the sound there first (:mod:`brainfm.speech_segments`).

Shapes: T samples of sound, N frames, F features.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brainfm.audio_file import resample_sound
from brainfm.audio_models import AudioModel, model_files
from brainfm.feature_cache import FeatureCache
from brainfm.log_mel import log_mel
from brainfm.recording_info import content_hash
from brainfm.sensors import FloatArray

SHORTEST_S = 0.1
"""A cut is filled up with silence to this length: models need more than one frame's worth."""


@dataclass(frozen=True, kw_only=True)
class AudioFeatureConfig:
    """Which features.

    Parameters
    ----------
    model
        Folder or hub id of a wav2vec 2.0, HuBERT, WavLM or Whisper model, for example
        ``facebook/wav2vec2-large-xlsr-53``; empty: log-mel bands, which need no weights.
    revision
        Of a hub id: branch, tag or commit; empty: the newest.
    layers
        First and last hidden layer that are averaged, both included; 0 is what goes into the first
        layer.
    mel_bands
        Number of log-mel bands.
    longest_s
        Longest cut in s that a model is given: its memory grows with the square.
    """

    model: str = ""
    revision: str = ""
    layers: tuple[int, int] = (14, 18)
    mel_bands: int = 40
    longest_s: float = 120.0

    def __post_init__(self) -> None:
        if not 0 <= self.layers[0] <= self.layers[1]:
            raise ValueError(f"layers must be (first, last) with 0 <= first <= last: {self.layers}")
        if self.mel_bands < 1:
            raise ValueError(f"mel_bands must be at least 1, got {self.mel_bands}")
        if not self.longest_s > 0:
            raise ValueError(f"longest_s must be above 0 (s), got {self.longest_s}")
        if self.revision and not self.model:
            raise ValueError("revision says which model of the hub, but no model is named")


class AudioFeatures:
    """Compute features, or take them from a cache.

    Parameters
    ----------
    cfg
        Which.
    cache
        Where they are kept.
    """

    def __init__(self, cfg: AudioFeatureConfig, cache: FeatureCache | None = None) -> None:
        self.cfg, self.cache = cfg, cache or FeatureCache(None)

    @cached_property
    def digest(self) -> str:
        """Return a hash of the settings and, by content, of the model; no weight is loaded."""
        if not self.cfg.model:
            return content_hash("log-mel", self.cfg.mel_bands)
        files = model_files(self.cfg.model, self.cfg.revision)
        return content_hash("model", list(self.cfg.layers), files.digest)

    @cached_property
    def _model(self) -> AudioModel:
        return AudioModel(model_files(self.cfg.model, self.cfg.revision), self.cfg.layers)

    def __call__(
        self, samples: NDArray[np.floating], rate: int
    ) -> tuple[NDArray[np.float32], FloatArray]:
        """Return features (N, F) of a sound (T,) and the time of each frame in s (N,).

        Raises
        ------
        ValueError
            The sound is longer than a model can be given, or empty.
        """
        if not len(samples):
            raise ValueError("a cut of a sound without samples has no features")
        seconds = len(samples) / rate
        if self.cfg.model and seconds > self.cfg.longest_s:
            raise ValueError(
                f"a stretch of sound of {seconds:.1f} s is too long for {self.cfg.model} "
                f"(longest_s is {self.cfg.longest_s:g}); give sentences, so that it is cut at "
                "their borders"
            )
        exact = np.ascontiguousarray(samples, dtype=np.float32)
        entry = self.cache.get(
            lambda: self._make(exact, rate), "audio features", self.digest, rate, exact.tobytes()
        )
        return entry["values"], entry["times"]

    def _make(self, samples: NDArray[np.float32], rate: int) -> dict[str, NDArray[np.floating]]:
        missing = round(SHORTEST_S * rate) - len(samples)
        if missing > 0:
            samples = np.pad(samples, (0, missing))
        if not self.cfg.model:
            values, times = log_mel(samples, rate, n_bands=self.cfg.mel_bands)
        else:
            values, times = self._model(resample_sound(samples, rate, self._model.rate))
        return {"values": values.astype(np.float32), "times": times}


def features_at(
    values: NDArray[np.float32], times: FloatArray, wanted: FloatArray
) -> NDArray[np.float32]:
    """Return features (N', F) at other times (N',), by straight lines between frames (N, F).

    Before the first and after the last frame those are repeated.
    """
    if len(times) == 1:
        return np.repeat(values, len(wanted), axis=0)
    right = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    left = right - 1
    share = np.clip((wanted - times[left]) / (times[right] - times[left]), 0, 1)[:, None]
    return np.asarray((1 - share) * values[left] + share * values[right], dtype=np.float32)
