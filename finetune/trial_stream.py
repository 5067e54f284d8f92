"""Batches of trials, epoch after epoch: the same on any number of ranks, resumable anywhere.

The batch of a step belongs to all ranks together; each takes its part of it. So what a step learns
from, and what a contrastive loss compares, does not depend on how many processes there are.

Shapes: M trials of a side, N trials of a batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainfm.recording_info import content_hash

from .trial_batch import TrialBatch

Ints = NDArray[np.int64]


def global_batches(units: Sequence[Ints], size: int) -> list[list[Ints]]:
    """Divide units in their order into batches of at most about ``size`` trials.

    The batches are nearly equal, so that none is left over at the end; no unit is cut. A unit goes
    where its middle lies.

    Parameters
    ----------
    units
        Trials that stay together, (n,) each.
    size
        Trials in a batch; single trials never exceed it, longer units may.
    """
    lengths = np.array([len(unit) for unit in units], dtype=np.int64)
    total = int(lengths.sum())
    n_batches = -(-total // size)
    middle = np.cumsum(lengths) - lengths / 2
    place = np.minimum(middle * n_batches // max(total, 1), n_batches - 1).astype(np.int64)
    batches: list[list[Ints]] = [[] for _ in range(n_batches)]
    for unit, k in zip(units, place.tolist(), strict=True):
        batches[k].append(unit)
    return [batch for batch in batches if batch]


def part_of(batch: Sequence[Ints], rank: int, world_size: int) -> Ints:
    """Return the trials of a batch that a rank takes; units go to the rank with fewest trials."""
    loads = np.zeros(world_size, dtype=np.int64)
    mine = []
    for unit in sorted(batch, key=len, reverse=True):
        lightest = int(loads.argmin())
        loads[lightest] += len(unit)
        if lightest == rank:
            mine.append(unit)
    if not loads.all():
        raise ValueError(
            f"a batch of {len(batch)} trials (or passages) cannot be divided among {world_size} "
            "ranks; use fewer ranks or a larger data.batch_size"
        )
    return np.sort(np.concatenate(mine))


class TrialStream:
    """Iterable over the batches of one rank; each pass is an epoch.

    Parameters
    ----------
    read
        From trials to a batch.
    trials
        (M,) places in the table, rising.
    batch_size
        Trials in the batch of all ranks.
    passage
        (M,) numbers of passages that no batch divides; None: every trial by itself.
    kind
        (M,) what trials are of that no batch mixes; None: any may lie together.
    rank, world_size
        This process among all that work together.
    seed
        Of the order.
    shuffle
        A new order in every epoch; else that of the table.
    n_workers
        Reading processes.
    """

    def __init__(
        self,
        read: Callable[[Ints], TrialBatch],
        trials: Ints,
        *,
        batch_size: int,
        passage: Ints | None = None,
        kind: NDArray[Any] | None = None,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        shuffle: bool = False,
        n_workers: int = 0,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must lie in 0 .. world_size - 1, got {rank} of {world_size}")
        self.read, self.trials, self.batch_size = read, trials, batch_size
        self.rank, self.world_size = rank, world_size
        self.seed, self.shuffle, self.n_workers = seed, shuffle, n_workers
        if passage is None:
            self.units = [trials[k : k + 1] for k in range(len(trials))]
        else:
            cuts = np.flatnonzero(np.diff(passage)) + 1
            self.units = np.split(trials, cuts) if len(trials) else []
        # A passage is of one recording, and so of one kind.
        self._kinds = (
            None if kind is None else dict(zip(trials.tolist(), kind.tolist(), strict=True))
        )
        self._order: tuple[int, list[list[Ints]]] = -1, []
        self._epoch = self._step = 0
        self._resuming = False

    @cached_property
    def digest(self) -> str:
        """Return a hash of all that decides which trials are in which batch."""
        settings = [self.batch_size, self.seed, self.shuffle]
        kinds = [] if self._kinds is None else [sorted(self._kinds.items())]
        return content_hash(settings, [unit.tolist() for unit in self.units], *kinds)

    @property
    def sampler(self) -> "TrialStream":
        """Return the object whose ``set_epoch`` Lightning calls: this one."""
        return self

    @property
    def batch_sampler(self) -> None:
        """Return None; Lightning asks when it looks whether validation is shuffled."""

    @property
    def epoch(self) -> int:
        """Return the number of the epoch that the next pass is, from 0."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; does nothing to a resumed one that it continues."""
        if epoch != self._epoch:
            self._epoch, self._step, self._resuming = epoch, 0, False

    def batches(self, epoch: int) -> list[list[Ints]]:
        """Return the batches of all ranks in an epoch; kept until another is asked for."""
        if self._order[0] != epoch:
            units = self.units
            if self.shuffle:
                order = np.random.default_rng([self.seed, epoch]).permutation(len(units))
                units = [units[k] for k in order]
            self._order = epoch, self._divided(units, epoch)
        return self._order[1]

    def _divided(self, units: list[Ints], epoch: int) -> list[list[Ints]]:
        if self._kinds is None:
            return global_batches(units, self.batch_size)
        by_kind: dict[Any, list[Ints]] = {}
        for unit in units:
            by_kind.setdefault(self._kinds[int(unit[0])], []).append(unit)
        found = [
            batch
            for kind in sorted(by_kind)
            for batch in global_batches(by_kind[kind], self.batch_size)
        ]
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch, 1]).permutation(len(found))
            found = [found[k] for k in order]
        return found

    def __len__(self) -> int:
        """Return the batches of the coming epoch, or of this one."""
        return len(self.batches(self._epoch))

    def __iter__(self) -> Iterator[TrialBatch]:
        if not self._resuming:
            self._step = 0
        self._resuming = False
        epoch, first = self._epoch, self._step
        parts = [part_of(b, self.rank, self.world_size) for b in self.batches(epoch)[first:]]
        for done, batch in enumerate(self._read(parts), start=first + 1):
            self._step = done
            yield batch
        self._epoch, self._step = epoch + 1, 0

    def _read(self, parts: list[Ints]) -> Iterator[TrialBatch]:
        if not self.n_workers:
            return map(self.read, parts)
        loader = torch.utils.data.DataLoader(
            _Reader(self.read),
            sampler=parts,
            batch_size=None,
            num_workers=self.n_workers,
            # Its seed for workers would be drawn from the generator of the training otherwise.
            generator=torch.Generator(),
        )
        return iter(loader)

    def summary(self) -> str:
        """Return in words what an epoch uses."""
        batches = len(self)
        return f"{len(self.trials)} trials in {batches} batch{'es' if batches > 1 else ''}"

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches have been handed out; the same on all ranks."""
        return {"trials": self.digest, "epoch": self._epoch, "step": self._step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the batch at which :meth:`state_dict` was taken."""
        if state.get("trials") != self.digest:
            raise ValueError(
                "the state of the data belongs to other trials, another split, batch size or seed; "
                "resume with those it was saved with, or start a new run"
            )
        self._epoch, self._step = int(state["epoch"]), int(state["step"])
        if self._step >= len(self):
            self._epoch, self._step = self._epoch + 1, 0
        self._resuming = True


class _Reader(torch.utils.data.Dataset[TrialBatch]):
    """What worker processes run."""

    def __init__(self, read: Callable[[Ints], TrialBatch]) -> None:
        self.read = read

    def __getitem__(self, trials: Ints) -> TrialBatch:
        return self.read(trials)
