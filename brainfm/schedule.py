"""Who gets which windows at which step.

At every step all ranks draw batches of the same kind and, to one window, of the same size, so none
waits for another. Step t of a kind with S steps on W ranks has W *units*; unit ``j = t W + rank``
takes the positions ``floor(j M / (S W))`` to ``floor((j + 1) M / (S W))`` of the kind's shuffled
order, where M windows are left: every window once, whatever W is. What the first t steps have used
is a prefix of that order; therefore a run can go on with another number of ranks: the new schedule
divides what is left. Only a kind with fewer windows left than ranks repeats some (and so does the
end of a kind whose batches hold a single window): every rank must get one.

Shapes: G kinds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.permutation import combine, key_of
from brainfm.sampling import Ints, WindowPool

_ORDER = 4


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The windows of one batch: positions ``begin`` to ``end`` of a kind's order in an epoch."""

    epoch: int
    group: int
    begin: int
    end: int


def batch_sizes(pool: WindowPool, budget: int) -> Ints:
    """Return the most windows a batch of each kind holds, (G,).

    ``budget`` is in the unit of the pool's costs: channels x windows.
    """
    costs = pool.group_costs
    if costs.max(initial=0) > budget:
        raise ValueError(
            f"a batch may hold {budget} channels x windows, but one window of the largest kind has "
            f"{costs.max()} channels; raise the budget or shorten the window"
        )
    return np.asarray(budget // np.maximum(costs, 1), np.int64)


class EpochSchedule:
    """The steps of one epoch, or of what is left of it.

    Parameters
    ----------
    pool
        The windows.
    sizes
        (G,) most windows per batch of each kind (:func:`batch_sizes`).
    epoch
        Number of the epoch, from 0.
    world_size
        Ranks.
    used
        (G,) windows of each kind that were used up before this schedule; None: none.
    """

    def __init__(
        self,
        pool: WindowPool,
        *,
        sizes: Ints,
        epoch: int,
        world_size: int,
        used: Ints | None = None,
    ) -> None:
        self.pool, self.sizes, self.epoch, self.world_size = pool, sizes, epoch, world_size
        self.used = np.zeros(len(sizes), np.int64) if used is None else np.asarray(used, np.int64)
        self.left = pool.sizes - self.used
        assert (self.left >= 0).all()
        self.steps_of = -(-self.left // np.maximum(sizes * world_size, 1))
        self._groups: NDArray[np.uint16] | None = None

    def __len__(self) -> int:
        return int(self.steps_of.sum())

    @property
    def repeated(self) -> int:
        """Return how many windows are handed out twice because ranks outnumber them."""
        return int(np.maximum(self.steps_of * self.world_size - self.left, 0).sum())

    @property
    def groups(self) -> NDArray[np.uint16]:
        """Return the kind of every step, (steps,): two bytes per step, windows stay unlisted."""
        if self._groups is None:
            labels = np.repeat(np.arange(len(self.sizes), dtype=np.uint16), self.steps_of)
            if self.pool.shuffle:
                key = key_of(self.pool.seed, self.epoch, _ORDER, int(self.used.sum()))
                labels = labels[np.argsort(combine(key, np.arange(len(labels))), kind="stable")]
            self._groups = labels
        return self._groups

    def used_after(self, step: int) -> Ints:
        """Return the windows of each kind that are used up after ``step`` steps, (G,)."""
        done = np.bincount(self.groups[:step], minlength=len(self.sizes))
        return self.used + done * self.left // np.maximum(self.steps_of, 1)

    def units(self, rank: int, step: int = 0) -> "UnitSequence":
        """Return the batches of a rank from a step on."""
        return UnitSequence(self, rank, step)


class UnitSequence:
    """The batches of one rank, computed as they are asked for."""

    def __init__(self, schedule: EpochSchedule, rank: int, step: int) -> None:
        self._schedule, self._rank, self._step = schedule, rank, step

    def __len__(self) -> int:
        return len(self._schedule) - self._step

    def __iter__(self) -> Any:
        plan, world = self._schedule, self._schedule.world_size
        done = np.bincount(plan.groups[: self._step], minlength=len(plan.sizes)).tolist()
        used, left, steps = plan.used.tolist(), plan.left.tolist(), plan.steps_of.tolist()
        for group in plan.groups[self._step :].tolist():
            unit, units = done[group] * world + self._rank, steps[group] * world
            begin = unit * left[group] // units
            end = max((unit + 1) * left[group] // units, begin + 1)
            done[group] += 1
            offset = used[group]
            yield Unit(epoch=plan.epoch, group=group, begin=offset + begin, end=offset + end)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an epoch has gone; small, the same on all ranks, and enough to go on exactly.

    Parameters
    ----------
    epoch
        Number of the epoch, from 0.
    step
        Batches per rank that training has used of the schedule described by the rest.
    world_size, sizes, used
        Of that schedule; ``used`` is not zero if the epoch began on another number of ranks.
    earlier
        Batches per rank of this epoch before that schedule.
    """

    epoch: int
    step: int
    world_size: int
    sizes: tuple[int, ...]
    used: tuple[int, ...]
    earlier: int = 0

    def schedule(self, pool: WindowPool) -> EpochSchedule:
        """Return the schedule the progress was made in."""
        return EpochSchedule(
            pool,
            sizes=np.array(self.sizes, np.int64),
            epoch=self.epoch,
            world_size=self.world_size,
            used=np.array(self.used, np.int64),
        )

    def on(self, pool: WindowPool, *, world_size: int, sizes: Ints) -> "Progress":
        """Return the same progress for another number of ranks or other batch sizes."""
        if world_size == self.world_size and tuple(sizes.tolist()) == self.sizes:
            return self
        return Progress(
            epoch=self.epoch,
            step=0,
            world_size=world_size,
            sizes=tuple(sizes.tolist()),
            used=tuple(self.schedule(pool).used_after(self.step).tolist()),
            earlier=self.earlier + self.step,
        )
