"""The batches of one rank, epoch after epoch, resumable anywhere.

What a rank gets at a step follows from :mod:`brainfm.sampling` and :mod:`brainfm.schedule`; a
subclass only reads it.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from brainfm.sampling import Ints, WindowPool
from brainfm.schedule import EpochSchedule, Progress, UnitSequence

BatchT = TypeVar("BatchT")


class EpochStream(ABC, Generic[BatchT]):
    """Iterable over the batches of one rank; each pass is an epoch, each epoch a new order.

    ``state_dict`` counts the batches handed out, not those read ahead, and is the same on all
    ranks. It can be loaded with another number of ranks, of workers, or other batch sizes: the rest
    of the epoch is then divided anew.

    Parameters
    ----------
    pool
        The windows.
    sizes
        (G,) most windows per batch of each kind.
    rank, world_size
        This process among all that train together.
    """

    def __init__(self, pool: WindowPool, sizes: Ints, *, rank: int, world_size: int) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must lie in 0 .. world_size - 1, got {rank} of {world_size}")
        self.pool = pool
        self.rank, self.world_size = rank, world_size
        self._sizes = sizes
        self._progress = self._begin(0)
        self._resuming = False

    @abstractmethod
    def _read(self, units: UnitSequence) -> Iterator[BatchT]:
        """Yield the batch of every unit, in order."""

    @abstractmethod
    def summary(self) -> object:
        """Return what an epoch uses, leaves out and repeats; to be printed before training."""

    def _begin(self, epoch: int) -> Progress:
        return Progress(
            epoch=epoch,
            step=0,
            world_size=self.world_size,
            sizes=tuple(self._sizes.tolist()),
            used=(0,) * len(self._sizes),
        )

    @property
    def sampler(self) -> "EpochStream[BatchT]":
        """Return the object whose ``set_epoch`` Lightning calls: this one."""
        return self

    @property
    def batch_sampler(self) -> None:
        """Return None; Lightning asks when it looks whether validation is shuffled."""

    @property
    def epoch(self) -> int:
        """Return the number of the epoch that the next pass is, from 0."""
        return self._progress.epoch

    def __len__(self) -> int:
        """Return the batches per rank of this epoch, those before a resumption included.

        After the last batch it is that of the next epoch, which differs if this one was begun on
        another number of ranks.
        """
        n_steps = len(self._progress.schedule(self.pool))
        if self._progress.step >= n_steps:
            return len(self._begin(self._progress.epoch + 1).schedule(self.pool))
        return self._progress.earlier + n_steps

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; does nothing to a resumed one that it continues."""
        if epoch != self._progress.epoch:
            self._progress, self._resuming = self._begin(epoch), False

    def __iter__(self) -> Iterator[BatchT]:
        if not self._resuming:
            self._progress = self._begin(self._progress.epoch)
        self._resuming = False
        start = self._progress
        units = start.schedule(self.pool).units(self.rank, start.step)
        for done, batch in enumerate(self._read(units), start=1):
            self._progress = dataclasses.replace(start, step=start.step + done)
            yield batch
        self._progress = self._begin(start.epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches have been handed out; a few plain numbers."""
        state = dataclasses.asdict(self._progress)
        return {"windows": self.pool.digest, **{k: _plain(v) for k, v in state.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the batch at which :meth:`state_dict` was taken."""
        fields = dict(state)
        if fields.pop("windows", None) != self.pool.digest:
            raise ValueError(
                "the loader's state belongs to other recordings, another split, window, seed or "
                "other weights; resume with those it was saved with, or start a new run from the "
                "weights alone"
            )
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        progress = Progress(**fields)
        if progress.step >= len(progress.schedule(self.pool)):
            progress = self._begin(progress.epoch + 1)
        self._progress = progress.on(self.pool, world_size=self.world_size, sizes=self._sizes)
        self._resuming = True

    def schedule(self) -> EpochSchedule:
        """Return the steps of this epoch, or of what a resumption left of it."""
        return self._progress.schedule(self.pool)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
