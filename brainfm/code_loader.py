"""Batches of windows of codes, and what draws the windows of any batches in frames.

Shapes: R recordings, B batch, P frames, N sources, Q quantizers, E stretches.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.code_times import seconds_per_frame
from brainfm.codes import CodeCorpus
from brainfm.epoch_stream import EpochStream
from brainfm.read_ahead import read_ahead
from brainfm.sampling import Ints, WindowPool
from brainfm.schedule import Unit, UnitSequence
from brainfm.stretches import allowed_stretches

BATCHES_AHEAD = 2


class CodeBatch(NamedTuple):
    """Windows of codes.

    ``codes`` (B, N, P, Q) int64; ``recording``, ``start`` (B,) int64: position in the code corpus
    and first frame.
    """

    codes: Tensor
    recording: Tensor
    start: Tensor


class Frames(Protocol):
    """Recordings measured in latent frames, whether their codes are stored or not."""

    @property
    def n_frames(self) -> NDArray[np.int64]:
        """Return the frames of each recording, (R,)."""

    @property
    def tokenizer(self) -> TokenizerConfig:
        """Return the configuration of the tokenizer whose frames they are."""

    def flagged(self, i: int) -> NDArray[np.int64]:
        """Return the stretches (E, 2) of frames of bad quality, first and last + 1."""


FramesT = TypeVar("FramesT", bound=Frames)
BatchT = TypeVar("BatchT")


class FrameStream(EpochStream[BatchT], Generic[FramesT, BatchT]):
    """Windows of frames at random offsets; which ones does not depend on what is read of them.

    Parameters
    ----------
    frames
        The recordings.
    recordings
        Positions of those to use.
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
        frames: FramesT,
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
                frames.flagged(i), int(frames.n_frames[i]), context_frames, 0.0
            )
        ]
        if not rows:
            raise ValueError(
                f"none of {len(recordings)} recordings holds {context_frames} clean frames in a "
                "row; shorten --data.context_s"
            )
        table = np.array(rows, np.int64)
        self.context_frames = context_frames
        self.frames = frames
        self._given = len(recordings)
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

    @abstractmethod
    def batch(self, recordings: Ints, starts: Ints, unit: Unit) -> BatchT:
        """Return the windows that begin at these frames, (B,); called ahead, in a thread."""

    def summary(self) -> str:
        """Return what an epoch uses and leaves out."""
        used, given = len(np.unique(self._recording)), self._given
        seconds = self.context_frames * seconds_per_frame(self.frames.tokenizer)
        text = (
            f"{used} of {given} recordings: {int(self.pool.sizes.sum())} windows of {seconds:g} s "
            f"of codes per epoch in {len(self.schedule())} steps"
        )
        if used < given:
            text += f"; {given - used} recordings hold no window: too short, or flagged throughout"
        return text

    def _read(self, units: UnitSequence) -> Iterator[BatchT]:
        return read_ahead(self._batch_of, units, depth=BATCHES_AHEAD)

    def _batch_of(self, unit: Unit) -> BatchT:
        positions = np.arange(unit.begin, unit.end)
        which, starts = self.pool.windows(unit.epoch, unit.group, positions)
        return self.batch(self._recording[which], starts + self._begins[which], unit)


class CodeLoader(FrameStream[CodeCorpus, CodeBatch]):
    """Windows of stored codes, read from mapped files; parameters as of :class:`FrameStream`."""

    def batch(self, recordings: Ints, starts: Ints, unit: Unit) -> CodeBatch:
        """Read the codes of windows."""
        codes = self.frames.read_windows(recordings, starts, self.context_frames)
        return CodeBatch(
            torch.from_numpy(codes.transpose(0, 2, 1, 3).astype(np.int64, order="C")),
            torch.from_numpy(recordings),
            torch.from_numpy(starts),
        )
