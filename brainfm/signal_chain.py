"""The linear part of processing, block by block.

Shapes: C channels, T samples, L taps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brainfm.filtering import (
    OUTPUTS_PER_PRODUCT,
    Resampler,
    fir_blocks,
    one_thread,
    resample_blocks,
)
from brainfm.raw_blocks import RawReader, fill_gaps
from brainfm.tape import Block, copied

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

KEEP_VALUES = 2_000_000
"""Largest signal that is kept in memory instead of being computed twice (16 MB)."""

RESAMPLED_VALUES = 250_000
"""Numbers at the new rate that wait for the second filter, which holds what it needs of them."""

REFERENCED_AT_ONCE = 512
"""Samples whose average reference is subtracted together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SignalChain:
    """Everything linear, from raw samples to filtered ones in SI units.

    Parameters
    ----------
    reader
        The recording.
    offset
        (C, 1) constant to subtract first.
    resampler
        Low-pass and change of rate.
    kernel
        High-pass and notches at the new rate, (L,).
    mixing
        (C, C) interpolation of bad channels, None for none.
    reference
        (C,) channels whose mean is the average reference.
    average
        (C,) channels that it is subtracted from.
    block
        Samples of a block at the new rate.
    """

    reader: RawReader
    offset: FloatArray
    resampler: Resampler
    kernel: FloatArray
    mixing: FloatArray | None
    reference: BoolArray
    average: BoolArray
    block: int

    @cached_property
    def n_times(self) -> int:
        """Return the length at the new rate."""
        return self.resampler.n_out(self.reader.n_times)

    @cached_property
    def _kept(self) -> list[Block] | None:
        if self.n_times * self.reader.n_channels > KEEP_VALUES:
            return None
        kept = list(map(copied, self._compute(0, self.n_times)))
        self.reader.forget()
        return kept

    def signal(self, start: int, stop: int) -> Iterator[Block]:
        """Yield consecutive (C, n) float64 blocks in SI units, and where they are missing.

        A block lasts until the next is asked for, and must not be changed.
        """
        if self._kept is None:
            yield from self._compute(start, stop)
            return
        at = 0
        for x, missing in self._kept:
            a, b = max(0, start - at), min(x.shape[1], stop - at)
            if a < b:
                yield x[:, a:b], None if missing is None else missing[:, a:b]
            at += x.shape[1]

    def _compute(self, start: int, stop: int) -> Iterator[Block]:
        half = len(self.kernel) // 2
        low, high = max(0, start - half), min(self.n_times, stop + half)
        first = max(0, self.resampler.first_input(low))
        until = min(self.reader.n_times, self.resampler.end_input(high))
        raw = fill_gaps(self.reader.blocks(first, until), self.offset)
        per_block = min(
            self.block,
            int(self.reader.block / self.resampler.step),
            RESAMPLED_VALUES // self.reader.n_channels,
        )
        per_block = max(1, per_block // OUTPUTS_PER_PRODUCT) * OUTPUTS_PER_PRODUCT
        slow = resample_blocks(
            raw,
            self.resampler,
            n_in=self.reader.n_times,
            start=low,
            stop=high,
            block=per_block,
        )
        blocks = fir_blocks(
            slow, self.kernel, n_total=self.n_times, start=start, stop=stop, block=self.block
        )
        for x, missing in blocks:
            if self.mixing is not None:
                with one_thread():
                    x = self.mixing @ x
            if self.average.any():
                for part in np.array_split(x, max(1, x.shape[1] // REFERENCED_AT_ONCE), axis=1):
                    part[self.average] -= part[self.reference].mean(axis=0)
            yield x, missing
