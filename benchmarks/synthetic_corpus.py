"""Noise as a corpus, a tokenizer that has learned nothing, and its codes: for benchmarks alone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.checkpoints import BrainModel, ModelRecord, save_checkpoint
from brainfm.codes import CodeCorpus, begin_codes, finish_codes, write_codes
from brainfm.corpus import Corpus, create_corpus
from brainfm.corpus_file import n_seconds, write_recording
from brainfm.corpus_index import write_index
from brainfm.encoder import Encoder
from brainfm.processing import ProcessingConfig
from brainfm.recording_info import RecordingInfo
from brainfm.sensors import SensorArray

SFREQ = 256


def make_corpus(folder: Path, n_channels: int, n_recordings: int, recording_s: float) -> None:
    """Write recordings of noise: EEG up to 128 channels, magnetometers above."""
    kind = "mag" if n_channels > 128 else "eeg"
    rng = np.random.default_rng(n_channels)
    normals = rng.standard_normal((n_channels, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    create_corpus(folder, ProcessingConfig().settings())
    n_times = int(recording_s * SFREQ)
    for k in range(n_recordings):
        write_recording(
            folder,
            RecordingInfo(id=f"synthetic{k}", dataset="synthetic", subject=str(k), sfreq=SFREQ),
            sensors=SensorArray(
                positions=0.1 * normals,
                orientations=normals * (kind == "mag"),
                types=np.array([kind] * n_channels),
                names=tuple(f"{kind}{c}" for c in range(n_channels)),
            ),
            good=np.ones(n_channels, bool),
            scale={kind: 1e-6},
            quality=np.zeros(n_seconds(n_times, SFREQ), np.uint8),
            n_times=n_times,
            blocks=[rng.standard_normal((n_channels, n_times)).astype(np.float16)],
        )
    write_index(folder)


def make_tokenizer(folder: Path, **settings: Any) -> TokenizerConfig:
    """Write a checkpoint with random weights; return its configuration."""
    torch.manual_seed(0)
    cfg = TokenizerConfig(**settings)
    model = BrainModel(
        ModelRecord(tokenizer=cfg, masked_model=None, processing=ProcessingConfig())
    ).eval()
    latents = F.normalize(torch.randn(8 * cfg.quantizer.codebook_size, cfg.width), dim=-1)
    model.tokenizer.quantizer.initialise(latents)
    save_checkpoint(model, folder)
    return cfg


def make_codes(corpus_folder: Path, checkpoint: Path, folder: Path) -> CodeCorpus:
    """Store the codes of a corpus."""
    corpus, encoder = Corpus(corpus_folder), Encoder.from_pretrained(checkpoint)
    begin_codes(folder, checkpoint)
    for i in range(len(corpus)):
        write_codes(encoder, corpus, i, folder)
    finish_codes(folder, corpus)
    return CodeCorpus(folder)
