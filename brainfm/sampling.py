"""Which windows an epoch has and where they start: arithmetic on lengths, no file is touched.

A *stretch* is an uninterrupted piece of a recording (samples of a corpus, frames of a code corpus).
Every epoch cuts ``floor(length / window)`` windows from each stretch, back to back from a random
offset that changes with the epoch; where that offset leaves no room for the last one it is moved
inwards, so at most one window per stretch and epoch overlaps its neighbour, by at most half.

Stretches of one *kind* (set of sensor types, number of channels) are shuffled together. Shuffling
and offsets are functions of (seed, epoch, number of the window) that can be evaluated anywhere, so
the windows are never listed and the memory is that of the stretches.

Shapes: I stretches, G kinds, D data sets, N windows of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainfm.permutation import combine, key_of, permute
from brainfm.recording_info import content_hash

Ints = NDArray[np.int64]

_OFFSETS, _SHUFFLE, _WITHIN = 1, 2, 3


def tempered_weights(amounts: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Return factors (D,) on data sets of these sizes that leave the total unchanged.

    The share of a data set becomes proportional to ``amount ** (1 / temperature)``: 1 keeps the
    shares, large values make them equal (Conneau & Lample 2019, section 3.1).
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive (1 keeps the shares), got {temperature}")
    amount = np.asarray(amounts, np.float64)
    with np.errstate(divide="ignore"):
        log_share = np.log(amount) / temperature
    share = np.exp(log_share - log_share.max())
    share /= share.sum()
    return np.divide(share * amount.sum(), amount, out=np.zeros_like(share), where=amount > 0)


@dataclass(frozen=True, eq=False)
class _Kind:
    """The stretches of one kind, ordered by data set.

    ``order`` (I_g,) positions of the stretches; ``first`` (I_g + 1,) windows before each;
    ``natural`` and ``drawn`` (D_g + 1,) windows before each data set, as cut and as drawn.
    """

    order: Ints
    first: Ints
    natural: Ints
    drawn: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowPool:
    """All windows of every epoch.

    Parameters
    ----------
    lengths
        (I,) samples or frames of each stretch.
    costs
        (I,) channels of each stretch: what a window of it costs in a batch.
    groups
        (I,) kind of each stretch; batches never mix kinds. 0 .. G - 1.
    datasets
        (I,) data set of each stretch, 0 .. D - 1.
    window
        Samples or frames per window.
    factors
        (D,) how often an epoch draws each window of a data set: 1 once; 2.5 all windows twice at
        different offsets and half of them once more; 0.1 another random tenth in every epoch.
    seed
        Of all randomness.
    shuffle
        False: offset 0, order as given, the same in every epoch (evaluation).
    """

    lengths: Ints
    costs: Ints
    groups: Ints
    datasets: Ints
    window: int
    factors: Sequence[float] | NDArray[np.float64] | None = None
    seed: int = 0
    shuffle: bool = True
    counts: Ints = field(init=False)
    kinds: tuple[_Kind, ...] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("lengths", "costs", "groups", "datasets"):
            values = np.asarray(getattr(self, name), np.int64)
            if values.ndim != 1 or len(values) != len(self.lengths) or (values < 0).any():
                raise ValueError(f"{name} must be ({len(self.lengths)},) and not negative")
            object.__setattr__(self, name, values)
        if self.window < 1:
            raise ValueError(f"window must be at least 1 sample, got {self.window}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        n_datasets = int(self.datasets.max(initial=-1)) + 1
        factors = np.ones(n_datasets) if self.factors is None else np.asarray(self.factors, float)
        if len(factors) < n_datasets or not (np.isfinite(factors) & (factors >= 0)).all():
            raise ValueError(f"factors must be ({n_datasets},), finite and not negative")
        object.__setattr__(self, "factors", factors)
        object.__setattr__(self, "counts", self.lengths // self.window)
        n_groups = int(self.groups.max(initial=-1)) + 1
        object.__setattr__(self, "kinds", tuple(self._kind(g) for g in range(n_groups)))

    def _kind(self, group: int) -> _Kind:
        members = np.flatnonzero((self.groups == group) & (self.counts > 0))
        order = members[np.argsort(self.datasets[members], kind="stable")]
        datasets, starts = np.unique(self.datasets[order], return_index=True)
        first = np.concatenate([[0], np.cumsum(self.counts[order])])
        natural = np.concatenate([first[starts], first[-1:]])
        factors = np.asarray(self.factors)[datasets]
        wanted = np.rint(np.diff(natural) * factors).astype(np.int64)
        wanted = np.maximum(wanted, (factors > 0).astype(np.int64))
        return _Kind(order, first, natural, np.concatenate([[0], np.cumsum(wanted)]))

    @property
    def sizes(self) -> Ints:
        """Return the windows per epoch of every kind, (G,); the same in every epoch."""
        return np.array([kind.drawn[-1] for kind in self.kinds], np.int64)

    @property
    def group_costs(self) -> Ints:
        """Return what one window of each kind costs, (G,): its largest stretch, since it pads."""
        return np.array(
            [self.costs[kind.order].max(initial=0) for kind in self.kinds], dtype=np.int64
        )

    @property
    def digest(self) -> str:
        """Return a hash of everything that decides which window has which number."""
        arrays = (self.lengths, self.groups, self.datasets, np.asarray(self.factors, "<f8"))
        return content_hash(
            [self.window, self.seed, self.shuffle], *(values.tobytes() for values in arrays)
        )

    def windows(self, epoch: int, group: int, positions: Ints) -> tuple[Ints, Ints]:
        """Return the windows that stand at these positions of a kind's order in an epoch.

        Parameters
        ----------
        epoch
            Number of the epoch, from 0.
        group
            Kind.
        positions
            (N,) in 0 .. sizes[group] - 1.

        Returns
        -------
        stretches, starts
            (N,) and (N,): position of the stretch, first sample within it.
        """
        kind = self.kinds[group]
        draw = positions
        if self.shuffle:
            shuffle = key_of(self.seed, epoch, _SHUFFLE, group)
            draw = permute(positions, int(kind.drawn[-1]), np.asarray(shuffle))
        block = np.searchsorted(kind.drawn, draw, side="right") - 1
        available = np.diff(kind.natural)[block]
        turn, number = np.divmod(draw - kind.drawn[block], available)
        if self.shuffle:
            within = combine(combine(key_of(self.seed, epoch, _WITHIN, group), block), turn)
            number = permute(number, available, within)
        number = number + kind.natural[block]
        row = np.searchsorted(kind.first, number, side="right") - 1
        stretches = kind.order[row]
        return stretches, self._starts(epoch, stretches, turn, number - kind.first[row])

    def _starts(self, epoch: int, stretches: Ints, turn: Ints, number: Ints) -> Ints:
        """Return the first sample of the ``number``-th window of each stretch."""
        room = self.lengths[stretches] - self.counts[stretches] * self.window
        offset = np.zeros_like(room)
        if self.shuffle:
            # Offsets below zero and above the room: the window at that end moves inwards.
            beyond = np.where(self.counts[stretches] > 1, (self.window - room) // 2, 0)
            key = combine(combine(key_of(self.seed, epoch, _OFFSETS), stretches), turn)
            span = (room + 2 * beyond + 1).astype(np.uint64)
            offset = (key % span).astype(np.int64) - beyond
        last = self.lengths[stretches] - self.window
        return np.clip(offset + number * self.window, 0, last)
