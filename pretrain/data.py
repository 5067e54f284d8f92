"""Windows of codes for training the masked model."""

from typing import Any

import torch
from torch import Tensor

from brainfm.checkpoints import BrainModel, ModelRecord, load_checkpoint
from brainfm.code_loader import CodeBatch, CodeLoader
from brainfm.codes import TOKENIZER, CodeCorpus
from brainfm.splits import Split
from brainfm.stage_data import StageData
from brainfm.token_statistics import code_counts


class CodeData(StageData[CodeBatch]):
    """Random windows of the training side's codes, a fixed grid of the others.

    Parameters
    ----------
    codes
        Folder that ``brainfm codes`` made.
    split
        Manifest of ``brainfm corpus split``, made on the corpus of the codes.
    context_s
        Seconds the model sees at once.
    windows_per_batch
        Windows in a batch of each rank.
    seed
        Of the order and offsets of windows.
    """

    def __init__(
        self,
        codes: str,
        split: str,
        context_s: float = 30.0,
        windows_per_batch: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.codes = CodeCorpus(codes)
        self.split = Split.load(split)
        self.windows_per_batch = windows_per_batch
        self.seed = seed
        cfg = self.codes.tokenizer
        n_windows = max(1, int((context_s * cfg.sfreq - cfg.window) // cfg.stride + 1))
        self.context_frames = n_windows * cfg.frames_per_window
        self._tokenizer: BrainModel | None = None

    def indices(self, side: str) -> list[int]:
        """Return the positions of a side's recordings among the codes."""
        return self.split.indices(self.codes.recordings, side)

    @property
    def tokenizer(self) -> BrainModel:
        """Return the tokenizer that made the codes."""
        if self._tokenizer is None:
            self._tokenizer = load_checkpoint(self.codes.path / TOKENIZER)
        return self._tokenizer

    @property
    def tokenizer_record(self) -> ModelRecord:
        """Return what is known of the tokenizer."""
        return self.tokenizer.record

    def code_vectors(self) -> tuple[Tensor, Tensor]:
        """Return codebooks (Q, K, E) and source vectors (N, E)."""
        tokenizer = self.tokenizer.tokenizer
        return tokenizer.quantizer.codebooks, tokenizer.gather.queries.detach()

    def unigram(self) -> Tensor:
        """Return log probabilities (Q, K) of each code on the training side, one added to each."""
        size = self.codes.tokenizer.quantizer.codebook_size
        counts = torch.ones(self.codes.token_shape[1], size, dtype=torch.int64)
        for i in self.indices("train"):
            counts += code_counts(torch.from_numpy(self.codes.read(i).astype("int64")), size)
        return (counts.double() / counts.sum(1, keepdim=True)).log().float()

    def summary(self) -> dict[str, Any]:
        """Return what a model card says of the training data."""
        chosen = [self.codes.recordings[i] for i in self.indices("train")]
        return {
            "corpus_digest": self.codes.digest,
            "split_digest": self.split.digest,
            "recordings": len(chosen),
            "hours": round(sum(info.duration for info in chosen) / 3600, 4),
        }

    def loader(self, side: str, *, shuffle: bool) -> CodeLoader:
        """Return a loader of a side's windows for this rank."""
        assert self.trainer is not None
        return CodeLoader(
            self.codes,
            self.indices(side),
            context_frames=self.context_frames,
            windows_per_batch=self.windows_per_batch,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            seed=self.seed,
            shuffle=shuffle,
        )
