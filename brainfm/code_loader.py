"""Batches of windows of codes.

Shapes: B batch, P frames, N sources, Q quantizers.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from brainfm.codes import CodeCorpus
from brainfm.epoch_stream import EpochStream
from brainfm.sampling import WindowPool
from brainfm.schedule import UnitSequence
from brainfm.stretches import allowed_stretches


class CodeBatch(NamedTuple):
    """Windows of codes.

    ``codes`` (B, N, P, Q) int64; ``recording``, ``start`` (B,) int64: position in the code corpus
    and first frame.
    """

    codes: Tensor
    recording: Tensor
    start: Tensor


class CodeLoader(EpochStream[CodeBatch]):
    """Windows of codes at random offsets; reads in this process, from mapped files.

    Parameters
    ----------
    codes
        Where to read.
    recordings
        Positions of the recordings to use.
    context_frames
        Frames of a window; recordings that are shorter are left out.
    windows_per_batch
        Most windows in a batch of a rank.
    rank, world_size
        This process among all that train together.
    seed
        Of order and offsets.
    shuffle
        False: a fixed grid, the same in every epoch.
    """

    def __init__(
        self,
        codes: CodeCorpus,
        recordings: Sequence[int],
        *,
        context_frames: int,
        windows_per_batch: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        rows = [
            (i, begin, length)
            for i in recordings
            for begin, length in allowed_stretches(
                codes.flagged(i), int(codes.n_frames[i]), context_frames, 0.0
            )
        ]
        if not rows:
            raise ValueError(
                f"none of {len(recordings)} recordings holds {context_frames} clean frames in a "
                "row; shorten --data.context_s"
            )
        table = np.array(rows, np.int64)
        self.codes = codes
        self._given = len(recordings)
        self.context_frames = context_frames
        self._recording, self._begins = table[:, 0], table[:, 1]
        zeros = np.zeros(len(table), np.int64)
        pool = WindowPool(
            lengths=table[:, 2],
            costs=zeros + 1,
            groups=zeros,
            datasets=zeros,
            window=context_frames,
            seed=seed,
            shuffle=shuffle,
        )
        sizes = np.array([windows_per_batch], np.int64)
        super().__init__(pool, sizes, rank=rank, world_size=world_size)

    def summary(self) -> str:
        """Return what an epoch uses and leaves out."""
        used, given = len(np.unique(self._recording)), self._given
        seconds = self.context_frames * self.codes.tokenizer.hop / self.codes.tokenizer.sfreq
        text = (
            f"{used} of {given} recordings: {int(self.pool.sizes.sum())} windows of {seconds:g} s "
            f"of codes per epoch in {len(self.schedule())} steps"
        )
        if used < given:
            text += f"; {given - used} recordings hold no window: too short, or flagged throughout"
        return text

    def _read(self, units: UnitSequence) -> Iterator[CodeBatch]:
        for unit in units:
            positions = np.arange(unit.begin, unit.end)
            which, starts = self.pool.windows(unit.epoch, unit.group, positions)
            recordings, starts = self._recording[which], starts + self._begins[which]
            windows = [
                self.codes.read(i, start, self.context_frames)
                for i, start in zip(recordings.tolist(), starts.tolist(), strict=True)
            ]
            codes = torch.from_numpy(np.stack(windows).astype(np.int64))
            yield CodeBatch(
                rearrange(codes, "b p n q -> b n p q"),
                torch.from_numpy(recordings),
                torch.from_numpy(starts),
            )
