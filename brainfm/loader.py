"""Batches of windows from a corpus, for any number of ranks and workers, resumable anywhere.

What a rank gets at a step follows from :mod:`brainfm.sampling` and :mod:`brainfm.schedule`; workers
only read. Shapes: B batch, C sensors, T samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from brainfm.batch_slots import BatchSlots
from brainfm.batches import Batch, batch_bytes
from brainfm.corpus import Corpus
from brainfm.epoch_stream import EpochStream
from brainfm.loader_summary import LoaderSummary, summarise
from brainfm.sampling import Ints, WindowPool, tempered_weights
from brainfm.schedule import Unit, UnitSequence, batch_sizes
from brainfm.stretches import Stretches, find_stretches, kinds_of
from brainfm.windows import BatchReader, Request

LOOKED_UP = 32
"""Batches whose windows are looked up at once: a look-up costs hardly more for many windows."""


class _Requests:
    """What a DataLoader asks its workers for in one pass; set before each."""

    def __init__(self, slots: BatchSlots, pool: WindowPool, stretches: Stretches) -> None:
        self._slots, self._pool, self._stretches = slots, pool, stretches
        self.units: UnitSequence | None = None

    def __iter__(self) -> Iterator[Request]:
        # Runs when the workers have nothing to do any more, also after a pass that was broken off.
        self._slots.recall()
        assert self.units is not None
        units = iter(self.units)
        while some := list(islice(units, LOOKED_UP)):
            for recordings, starts in self._look_up(some):
                yield Request(recordings, starts, self._slots.take())

    def __len__(self) -> int:
        return 0 if self.units is None else len(self.units)

    def _look_up(self, units: list[Unit]) -> list[tuple[list[int], list[int]]]:
        """Return recordings and first samples of the windows of each batch."""
        found: dict[Unit, tuple[list[int], list[int]]] = {}
        for epoch, group in {(unit.epoch, unit.group) for unit in units}:
            same = [unit for unit in units if (unit.epoch, unit.group) == (epoch, group)]
            positions = np.concatenate([np.arange(unit.begin, unit.end) for unit in same])
            which, starts = self._pool.windows(epoch, group, positions)
            recordings = self._stretches.recording[which].tolist()
            starts = (starts + self._stretches.begin[which]).tolist()
            at = 0
            for unit in same:
                end = at + unit.end - unit.begin
                found[unit] = recordings[at:end], starts[at:end]
                at = end
        return [found[unit] for unit in units]


class WindowLoader(EpochStream[Batch]):
    """Iterable over the batches of one rank; each pass is an epoch, each epoch a new order.

    Parameters
    ----------
    corpus
        Where to read.
    recordings
        Positions in the corpus of the recordings to use; None: all.
    window_s
        Seconds per window.
    tokens_per_batch
        Most channels x seconds in a batch of a rank, padding included.
    rank, world_size
        This process among all that train together.
    seed
        Of order and offsets.
    num_workers
        Reading processes; 0 reads in this one. The batches are the same.
    max_bad_share
        Share of flagged seconds a window may hold, 0 .. 1.
    temperature
        1 draws data sets in proportion to their hours; larger values make them more equal.
    weights
        Further factor per data set (by name; 1 where not named; 0 leaves it out).
    shuffle
        False: a fixed grid from the first sample on, kind by kind, the same in every epoch.
    half
        Hand ``x`` out as float16, as it is stored: nearly twice as fast, in half the memory.
        Whoever computes with it makes it float32 on the device; nothing is lost by that.
    prefetch
        Batches read ahead per worker.
    pin_memory
        Put batches into page-locked memory, for copies to a GPU.
    start_method
        How workers start: "fork", "spawn", "forkserver"; None: the platform's way.

    Notes
    -----
    ``state_dict`` counts the batches handed out, not those read ahead, and is the same on all
    ranks. It can be loaded with another number of ranks, of workers, or another
    ``tokens_per_batch``: the rest of the epoch is then divided anew.
    """

    def __init__(
        self,
        corpus: Corpus,
        recordings: Sequence[int] | None = None,
        *,
        window_s: float,
        tokens_per_batch: float,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        num_workers: int = 0,
        max_bad_share: float = 0.0,
        temperature: float = 1.0,
        weights: Mapping[str, float] | None = None,
        shuffle: bool = True,
        half: bool = False,
        prefetch: int = 2,
        pin_memory: bool = False,
        start_method: str | None = None,
    ) -> None:
        chosen = np.arange(len(corpus)) if recordings is None else np.asarray(recordings, np.int64)
        if len(chosen) == 0:
            raise ValueError("no recordings to load windows from; check the split")
        self.window = _window_samples(corpus, chosen, window_s)
        self._corpus, self._chosen = corpus, chosen
        self._stretches = find_stretches(corpus, chosen.tolist(), self.window, max_bad_share)
        pool = self._make_pool(seed, temperature, weights, shuffle)
        if pool.sizes.sum() == 0:
            raise ValueError(
                f"none of {len(chosen)} recordings holds a window of {window_s} s that is clean "
                f"enough (max_bad_share={max_bad_share}); shorten window_s or allow more"
            )
        sizes = batch_sizes(pool, int(tokens_per_batch / window_s + 1e-9))
        super().__init__(pool, sizes, rank=rank, world_size=world_size)
        samples = torch.float16 if half else torch.float32
        # Those read ahead, the one in use, the one being fetched meanwhile, and one to spare.
        self._slots = BatchSlots(
            max(num_workers, 1) * prefetch + 3,
            max(
                batch_bytes(size, channels, self.window, samples=samples)
                for size, channels in zip(
                    self._sizes.tolist(), self.pool.group_costs.tolist(), strict=True
                )
            ),
            shared=num_workers > 0,
            samples=samples,
        )
        self._requests = _Requests(self._slots, self.pool, self._stretches)
        self._pin_memory = pin_memory
        self._loader: DataLoader = DataLoader(
            BatchReader(corpus, self.window, self._slots.memory, half=half),
            sampler=self._requests,
            batch_size=None,
            num_workers=num_workers,
            prefetch_factor=prefetch if num_workers else None,
            persistent_workers=num_workers > 0,
            collate_fn=_unchanged,
            multiprocessing_context=start_method if num_workers else None,
            # Without its own generator every pass would draw from the global one.
            generator=torch.Generator(),
        )

    def _make_pool(
        self,
        seed: int,
        temperature: float,
        weights: Mapping[str, float] | None,
        shuffle: bool,
    ) -> WindowPool:
        columns = self._corpus.columns
        where = self._stretches.recording
        names = columns.datasets
        unknown = sorted(set(weights or {}) - set(names))
        if unknown:
            raise ValueError(f"weights for unknown data sets {unknown}; the corpus has {names}")
        counts = self._stretches.length // self.window
        amounts = np.bincount(columns.dataset[where], weights=counts, minlength=len(names))
        factors = tempered_weights(amounts, temperature) if amounts.any() else np.ones(len(names))
        factors = factors * np.array([(weights or {}).get(name, 1.0) for name in names])
        kinds = np.zeros(len(self._corpus), np.int64)
        kinds[self._chosen] = kinds_of(columns.type_counts[self._chosen])
        return WindowPool(
            lengths=self._stretches.length,
            costs=columns.type_counts[where].sum(axis=1),
            groups=kinds[where],
            datasets=columns.dataset[where].astype(np.int64),
            window=self.window,
            factors=factors,
            seed=seed,
            shuffle=shuffle,
        )

    def _read(self, units: UnitSequence) -> Iterator[Batch]:
        self._requests.units = units
        for answer in self._loader:
            if isinstance(answer, Exception):
                raise answer
            batch = answer if isinstance(answer, Batch) else self._slots.deliver(*answer)
            if self._pin_memory:
                batch = Batch(*(field.pin_memory() for field in batch))
            yield batch
            # Else its memory could not be used again before the next one is here.
            del batch

    def summary(self) -> LoaderSummary:
        """Return what an epoch uses, leaves out and repeats; to be printed before training."""
        return summarise(self._corpus, self._chosen, self._stretches, self.schedule())


def _unchanged(answer: Any) -> Any:
    """Return a worker's answer as it is: PyTorch's default would search it for arrays."""
    return answer


def _window_samples(corpus: Corpus, chosen: Ints, window_s: float) -> int:
    rates = np.unique(corpus.columns.sfreq[chosen])
    if len(rates) > 1:
        raise ValueError(f"recordings of different rates in one loader: {rates.tolist()} Hz")
    window = round(window_s * float(rates[0]))
    if window < 1:
        raise ValueError(f"window_s must be at least one sample ({1 / rates[0]} s), got {window_s}")
    return window


def evaluation_windows(
    corpus: Corpus,
    recordings: Sequence[int] | None = None,
    *,
    window_s: float,
    tokens_per_batch: float,
    max_bad_share: float = 0.0,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int = 0,
) -> WindowLoader:
    """Return a loader over a fixed grid of windows: nothing random, the same every time.

    On more than one rank, a kind with fewer windows than ranks repeats some; ``recording`` and
    ``start`` of a batch tell.
    """
    return WindowLoader(
        corpus,
        recordings,
        window_s=window_s,
        tokens_per_batch=tokens_per_batch,
        max_bad_share=max_bad_share,
        rank=rank,
        world_size=world_size,
        num_workers=num_workers,
        shuffle=False,
    )
