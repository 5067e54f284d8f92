"""Windows of codes for training the masked model."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.augmentation import NO_AUGMENTATION, AugmentationConfig
from brainfm.checkpoints import BrainModel, ModelRecord, load_checkpoint
from brainfm.code_loader import CodeBatch, CodeLoader
from brainfm.code_times import seconds_per_frame
from brainfm.codes import CodeCorpus
from brainfm.config_json import to_json
from brainfm.online_codes import OnlineCodes, SignalLoader
from brainfm.signal_frames import SignalBatch
from brainfm.splits import SPLIT_FILE
from brainfm.stage_data import StageData, audited_split, filled, training_summary
from brainfm.token_statistics import code_counts

WINDOWS_PER_BATCH = 8
COUNTED_WINDOWS = 32
"""Windows of context from which the frequency of codes is estimated if none are stored."""


class CodeData(StageData[Any]):
    """Random windows of the training side's codes, a fixed grid of the others.

    Parameters
    ----------
    codes
        Folder that ``brainfm codes`` made; not with ``online``.
    split
        Manifest of ``brainfm corpus split``, made on the corpus of the codes. None is
        ``split.json`` in ``corpus``.
    context_s
        Seconds the model sees at once.
    windows_per_batch
        Most windows in a batch of each rank; 8 if ``global_batch`` is not given either.
    seed
        Of the order and offsets of windows.
    global_batch
        Most windows in a step of the optimizer, of all ranks and accumulated batches together;
        instead of ``windows_per_batch``. A multiple of ranks x accumulated batches.
    online
        Compute codes in training, on its device, from windows of ``corpus``: for augmentation, or
        where none are stored. The windows are the same, and so are their codes.
    corpus
        Folder that ``brainfm prepare`` made; only with ``online``.
    tokenizer
        Checkpoint folder or name (``nano``) of a tokenizer that is not causal; only with
        ``online``.
    augmentation
        How sensor arrays are varied in training; only with ``online``.
    """

    def __init__(
        self,
        codes: str | None = None,
        split: str | None = None,
        context_s: float = 30.0,
        windows_per_batch: int | None = None,
        seed: int = 0,
        global_batch: int | None = None,
        online: bool = False,
        corpus: str | None = None,
        tokenizer: str | None = None,
        augmentation: AugmentationConfig = NO_AUGMENTATION,
    ) -> None:
        super().__init__()
        self.codes: CodeCorpus
        if online:
            self.codes = _online_codes(codes, corpus, tokenizer)
        else:
            if corpus or tokenizer or augmentation != NO_AUGMENTATION:
                raise ValueError(
                    "data.corpus, data.tokenizer and data.augmentation are for codes that are "
                    "computed in training; add --data.online true, or leave them out"
                )
            if codes is None:
                raise ValueError("data.codes is missing: name the folder that 'brainfm codes' made")
            self.codes = CodeCorpus(codes)
        if split is None and corpus is None:
            raise ValueError("data.split is missing: name what 'brainfm corpus split' wrote")
        self.split = audited_split(split or Path(corpus or "") / SPLIT_FILE)
        for name, value in (
            ("windows_per_batch", windows_per_batch),
            ("global_batch", global_batch),
        ):
            if value is not None and value < 1:
                raise ValueError(f"data.{name} must be at least 1, got {value}")
        if windows_per_batch is not None and global_batch is not None:
            raise ValueError(
                f"data.windows_per_batch ({windows_per_batch}) and data.global_batch "
                f"({global_batch}) are two ways to say one thing; set one of them to null"
            )
        self.global_batch = global_batch
        self._windows_per_batch = windows_per_batch or WINDOWS_PER_BATCH
        self.seed = seed
        self.augmentation = augmentation
        cfg = self.codes.tokenizer
        n_windows = max(1, int((context_s * cfg.sfreq - cfg.window) // cfg.stride + 1))
        self.context_frames = n_windows * cfg.frames_per_window
        self._tokenizer: BrainModel | None = None

    @property
    def windows_per_batch(self) -> int:
        """Return the most windows in a batch of each rank.

        Raises
        ------
        ValueError
            ``global_batch`` cannot be divided by the trainer's ranks and accumulated batches.
        """
        if self.global_batch is None:
            return self._windows_per_batch
        assert self.trainer is not None
        ranks, accumulated = self.trainer.world_size, self.trainer.accumulate_grad_batches
        windows, rest = divmod(self.global_batch, ranks * accumulated)
        if rest:
            raise ValueError(
                f"data.global_batch ({self.global_batch}) is no multiple of the number of ranks "
                f"({ranks}) times trainer.accumulate_grad_batches ({accumulated})"
            )
        return windows

    @property
    def codes_digest(self) -> str:
        """Return the hash of all that turns a signal into these codes."""
        return self.codes.codes_digest

    @property
    def seconds_per_frame(self) -> float:
        """Return the seconds of signal that one more frame stands for (overlap counts once)."""
        return seconds_per_frame(self.codes.tokenizer)

    def indices(self, side: str) -> list[int]:
        """Return the positions of a side's recordings among the codes.

        Those that the tokenizer cannot take, and that have no codes therefore, are not among them.
        """
        left_out = self.codes.left_out
        sides = {
            name: tuple(entry for entry in entries if entry.id not in left_out)
            for name, entries in self.split.sides.items()
        }
        return replace(self.split, sides=sides).indices(self.codes.recordings, side)

    def names(self, recordings: Sequence[int]) -> list[str]:
        """Return the ids of the recordings at these positions, each once, sorted."""
        return sorted({self.codes.recordings[i].id for i in recordings})

    @property
    def tokenizer(self) -> BrainModel:
        """Return the tokenizer that made the codes."""
        if self._tokenizer is None:
            if isinstance(self.codes, OnlineCodes):
                self._tokenizer = self.codes.encoder.model
            else:
                # Modules draw weights before they load them: no run may depend on when that is.
                with torch.random.fork_rng():
                    self._tokenizer = load_checkpoint(self.codes.tokenizer_folder)
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
        """Return log probabilities (Q, K) of each code on the training side, one added to each.

        Online they are estimated from a few windows, evenly chosen, as computing all codes would
        take as long as storing them.
        """
        size = self.codes.tokenizer.quantizer.codebook_size
        counts = torch.ones(self.codes.token_shape[1], size, dtype=torch.int64)
        for values in self._counted_codes():
            counts += code_counts(torch.from_numpy(values.astype("int64")), size)
        return (counts.double() / counts.sum(1, keepdim=True)).log().float()

    def _counted_codes(self) -> Iterator[NDArray[np.uint16]]:
        chosen = self.indices("train")
        if not isinstance(self.codes, OnlineCodes):
            yield from (self.codes.read(i) for i in chosen)
            return
        for i in chosen[:: -(-len(chosen) // COUNTED_WINDOWS)]:
            total = int(self.codes.n_frames[i])
            n = min(self.context_frames, total)
            yield self.codes.read(i, (total - n) // 2, n)

    def summary(self) -> dict[str, Any]:
        """Return what a model card says of the training data."""
        chosen = [self.codes.recordings[i] for i in self.indices("train")]
        found = training_summary(chosen, self.codes.digest, self.split)
        varied = self.augmentation != NO_AUGMENTATION
        return found | {"augmentation": to_json(self.augmentation)} if varied else found

    def loader(self, side: str, *, shuffle: bool) -> CodeLoader | SignalLoader:
        """Return a loader of a side's windows for this rank."""
        assert self.trainer is not None
        settings: dict[str, Any] = {
            "context_frames": self.context_frames,
            "windows_per_batch": self.windows_per_batch,
            "rank": self.trainer.global_rank,
            "world_size": self.trainer.world_size,
            "seed": self.seed,
            "shuffle": shuffle,
        }
        if isinstance(self.codes, OnlineCodes):
            varied = self.augmentation if side == "train" else NO_AUGMENTATION
            return SignalLoader(
                self.codes, filled(self.indices(side), side), augmentation=varied, **settings
            )
        return CodeLoader(self.codes, filled(self.indices(side), side), **settings)

    def on_after_batch_transfer(
        self, batch: CodeBatch | SignalBatch, dataloader_idx: int
    ) -> CodeBatch:
        """Return the codes of a batch, computed where it is if it came as signal."""
        if isinstance(batch, CodeBatch):
            return batch
        assert isinstance(self.codes, OnlineCodes)
        return self.codes.encode(batch, self.context_frames)


def _online_codes(codes: str | None, corpus: str | None, tokenizer: str | None) -> OnlineCodes:
    """Open what codes are computed from."""
    if codes is not None:
        raise ValueError(
            f"data.codes ({codes}) holds stored codes and data.online computes them; leave one out"
        )
    if corpus is None or tokenizer is None:
        raise ValueError(
            "data.online needs --data.corpus, which 'brainfm prepare' made, and --data.tokenizer, "
            "a checkpoint folder"
        )
    with torch.random.fork_rng():
        return OnlineCodes(corpus, tokenizer)
