"""Windows of a corpus for training the tokenizer."""

from collections.abc import Sequence
from typing import Any

import torch

from brainfm.batches import Batch
from brainfm.corpus import Corpus
from brainfm.loader import WindowLoader
from brainfm.processing import ProcessingConfig
from brainfm.splits import SPLIT_FILE
from brainfm.stage_data import StageData, audited_split, filled, training_summary


class WindowData(StageData[Batch]):
    """Random windows of the training side, a fixed grid of the others.

    Parameters
    ----------
    corpus
        Folder that ``brainfm prepare`` made.
    split
        Manifest of ``brainfm corpus split``; None is ``split.json`` in the corpus.
    window_s
        Seconds a sample lasts; a multiple of the tokenizer's window.
    channel_seconds
        Channels x seconds in a batch of each rank.
    n_workers
        Reading processes of each rank.
    temperature
        Above 1, small data sets are drawn more often than their hours alone would.
    max_bad_share
        Share of a window's seconds that may be flagged as bad.
    seed
        Of the order and offsets of windows.
    """

    def __init__(
        self,
        corpus: str,
        split: str | None = None,
        window_s: float = 2.0,
        channel_seconds: float = 1024.0,
        n_workers: int = 0,
        temperature: float = 1.0,
        max_bad_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.corpus = Corpus(corpus)
        path = split or self.corpus.path / SPLIT_FILE
        self.split = audited_split(path, shared=self.corpus.shared)
        self.window_s = window_s
        self.channel_seconds = channel_seconds
        self.n_workers = n_workers
        self.temperature = temperature
        self.max_bad_share = max_bad_share
        self.seed = seed

    @property
    def processing(self) -> ProcessingConfig:
        """Return how the corpus was prepared."""
        return self.corpus.config

    def indices(self, side: str) -> list[int]:
        """Return the positions of a side's recordings in the corpus."""
        return self.split.indices(self.corpus.recordings, side)

    def names(self, positions: Sequence[int]) -> list[str]:
        """Return the ids of the recordings at these positions in the corpus, each once, sorted."""
        return sorted({self.corpus.recordings[i].id for i in positions})

    def summary(self) -> dict[str, Any]:
        """Return what a model card says of the training data."""
        chosen = [self.corpus.recordings[i] for i in self.indices("train")]
        return training_summary(chosen, self.corpus.digest, self.split)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch; its samples travel as float16 and become float32 where they arrive."""
        moved: Batch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved._replace(x=moved.x.float())

    def loader(self, side: str, *, shuffle: bool) -> WindowLoader:
        """Return a loader of a side's windows for this rank; their samples are float16."""
        assert self.trainer is not None
        return WindowLoader(
            self.corpus,
            filled(self.indices(side), side),
            window_s=self.window_s,
            tokens_per_batch=self.channel_seconds,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            seed=self.seed,
            num_workers=self.n_workers,
            temperature=self.temperature if shuffle else 1.0,
            max_bad_share=self.max_bad_share,
            shuffle=shuffle,
            half=True,
        )
