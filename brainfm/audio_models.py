"""Pretrained models of speech from a folder or the hub: wav2vec 2.0, HuBERT, WavLM, Whisper.

Read through ``transformers`` (extra ``audio-vision``), from its usual files: ``config.json``,
``preprocessor_config.json``, weights.

Shapes: T samples of sound, N frames, F features.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainfm.sensors import FloatArray

WAVEFORM = ("wav2vec2", "hubert", "wavlm")
"""Model types that take the waveform and have wav2vec 2.0's convolutions in front."""
SPECTROGRAM = ("whisper",)
"""Model types that take 30 s of Whisper's log-mel frames; of them, the encoder."""
WEIGHTS = ("*.safetensors", "*.bin")
WHISPER_FRAME_S = 0.02


@dataclass(frozen=True)
class ModelFiles:
    """A model on the disk.

    Attributes
    ----------
    folder
        Where it lies.
    name
        As the user called it.
    digest
        Hash of its settings and weights, byte by byte.
    """

    folder: Path
    name: str
    digest: str


def model_files(name: str, revision: str = "") -> ModelFiles:
    """Return the files of a model, from a folder or else from the hub (or its local cache).

    Raises
    ------
    FileNotFoundError
        It is neither here nor to be had.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _from_hub(name, revision)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{name} is no model: {folder} has no config.json")
    weights = next((found for ending in WEIGHTS if (found := sorted(folder.glob(ending)))), [])
    if not weights:
        raise FileNotFoundError(f"{name} is no model: {folder} has no weights ({WEIGHTS[0]})")
    state = hashlib.sha256()
    settings = folder / "preprocessor_config.json"
    for path in [folder / "config.json", *([settings] if settings.is_file() else []), *weights]:
        with path.open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return ModelFiles(folder, name, state.hexdigest())


def _from_hub(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        for weights in WEIGHTS:
            folder = Path(
                snapshot_download(
                    name, revision=revision or None, allow_patterns=["*.json", weights]
                )
            )
            if any(folder.glob(weights)):
                break
    except Exception as error:
        # The hub has a class of error for every way in which it cannot be reached.
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise FileNotFoundError(
            f"audio model {name} is no folder here and cannot be had from the hub ({reason}); "
            "where there is a network, run 'hf download' for it, copy the folder and name that; "
            "or leave model empty for log-mel features, which need no weights"
        ) from error
    return folder


class AudioModel:
    """The mean of some hidden layers of a model.

    Parameters
    ----------
    files
        The model.
    layers
        First and last of the hidden layers, both included.

    Raises
    ------
    ValueError
        The model is of a kind that is not known here, or has fewer layers.
    """

    def __init__(self, files: ModelFiles, layers: tuple[int, int]) -> None:
        transformers = _transformers()
        settings = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
        self.kind = str(settings.get("model_type", ""))
        if self.kind not in WAVEFORM + SPECTROGRAM:
            known = ", ".join(WAVEFORM + SPECTROGRAM)
            raise ValueError(
                f"audio model {files.name} is of type {self.kind or 'unknown'!r}; known: {known}"
            )
        whole = transformers.AutoModel.from_pretrained(files.folder, local_files_only=True)
        self.model: Any = whole.get_encoder() if self.kind in SPECTROGRAM else whole
        self.model.eval().requires_grad_(False)
        self.config = whole.config
        n_layers = int(
            self.config.encoder_layers
            if self.kind in SPECTROGRAM
            else self.config.num_hidden_layers
        )
        if layers[1] > n_layers:
            raise ValueError(
                f"layers must be at most {n_layers} in audio model {files.name}, got {layers}"
            )
        self.layers = layers
        self.extractor = self._extractor(transformers, files)
        self.rate = int(self.extractor.sampling_rate)

    def _extractor(self, transformers: Any, files: ModelFiles) -> Any:
        if (files.folder / "preprocessor_config.json").is_file():
            return transformers.AutoFeatureExtractor.from_pretrained(
                files.folder, local_files_only=True
            )
        if self.kind in SPECTROGRAM:
            raise FileNotFoundError(f"audio model {files.name} has no preprocessor_config.json")
        # Early checkpoints have none; those whose convolutions have layer norms want unit power.
        return transformers.Wav2Vec2FeatureExtractor(
            do_normalize=getattr(self.config, "feat_extract_norm", "group") == "layer"
        )

    def __call__(self, samples: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return features (N, F) of a sound (T,) at :attr:`rate`, and their times in s (N,)."""
        exact = np.asarray(samples, dtype=np.float32)
        with torch.inference_mode():
            if self.kind in SPECTROGRAM:
                return self._spectrogram(exact)
            return self._waveform(exact)

    def _waveform(self, samples: Any) -> tuple[FloatArray, FloatArray]:
        given = self.extractor(samples, sampling_rate=self.rate, return_tensors="pt")
        out = self.model(given["input_values"], output_hidden_states=True)
        values = self._mean(out)
        step, field = 1, 1
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            field += (kernel - 1) * step
            step *= stride
        # A frame stands for the middle of the samples that its convolutions see.
        return values, (np.arange(len(values)) * step + (field - 1) / 2) / self.rate

    def _spectrogram(self, samples: Any) -> tuple[FloatArray, FloatArray]:
        chunk = int(self.extractor.n_samples)
        parts = []
        for first in range(0, len(samples), chunk):
            part = samples[first : first + chunk]
            given = self.extractor(part, sampling_rate=self.rate, return_tensors="pt")
            out = self.model(given["input_features"], output_hidden_states=True)
            there = max(1, round(len(part) / self.rate / WHISPER_FRAME_S))
            parts.append(self._mean(out)[:there])
        values = np.concatenate(parts)
        return values, np.arange(len(values), dtype=np.float64) * WHISPER_FRAME_S

    def _mean(self, out: Any) -> FloatArray:
        first, last = self.layers
        hidden = torch.stack(list(out.hidden_states[first : last + 1])).float()
        return np.asarray(hidden.mean(0)[0].double().numpy())


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            "features of an audio model need the package transformers: "
            "pip install 'brainfm-toolkit[audio-vision]'; log-mel features (model '') do not"
        ) from error
    transformers.logging.set_verbosity_error()
    return transformers
