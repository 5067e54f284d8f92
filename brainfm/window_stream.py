"""Windows of a recording in order, a few at a time, so that memory is bounded.

Shapes: C sensors, W windows, L samples a window.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.code_times import n_windows
from brainfm.sensors import SensorArray


class Standardised(Protocol):
    """A signal ready for the tokenizer; :class:`~brainfm.processing.Processed` is one."""

    @property
    def sensors(self) -> SensorArray:
        """Return the C sensors."""

    @property
    def good(self) -> NDArray[np.bool_]:
        """Return (C,) which of them may be used."""

    @property
    def channel_scale(self) -> NDArray[np.float64]:
        """Return (C,) the SI value (V, T, T/m) of one unit of the signal."""

    @property
    def n_times(self) -> int:
        """Return the number of samples."""

    def blocks(self) -> Iterator[NDArray[np.float16]]:
        """Yield the signal in order, (C, n) blocks."""


def window_batches(
    processed: Standardised, order: NDArray[np.int64], length: int, stride: int, batch: int
) -> Iterator[Tensor]:
    """Yield the windows of a recording as (C, W, L) float32, at most ``batch`` at once.

    The last window is filled up with zeros. Memory is bounded by one block and one batch.
    """
    wanted = n_windows(processed.n_times, length, stride)
    pending = np.zeros((len(order), 0), np.float16)
    emitted = 0
    for block in processed.blocks():
        for first in range(0, block.shape[1], batch * stride):
            piece = block[order, first : first + batch * stride]
            pending = np.concatenate([pending, piece], axis=1)
            if pending.shape[1] >= (batch - 1) * stride + length and emitted + batch <= wanted:
                yield _cut(pending, batch, length, stride)
                pending = pending[:, batch * stride :]
                emitted += batch
    while emitted < wanted:
        n = min(batch, wanted - emitted)
        missing = max(0, (n - 1) * stride + length - pending.shape[1])
        pending = np.pad(pending, ((0, 0), (0, missing)))
        yield _cut(pending, n, length, stride)
        pending = pending[:, n * stride :]
        emitted += n


def _cut(signal: NDArray[np.float16], n: int, length: int, stride: int) -> Tensor:
    x = torch.from_numpy(signal[:, : (n - 1) * stride + length].astype(np.float32))
    return x.unfold(1, length, stride)


def regroup(blocks: Iterator[NDArray[np.uint16]], length: int) -> Iterator[NDArray[np.uint16]]:
    """Yield the rows of ``blocks`` again in blocks of ``length``; the last may be shorter."""
    pending: list[NDArray[np.uint16]] = []
    count = 0
    for block in blocks:
        while count + len(block) >= length:
            head, block = np.split(block, [length - count])
            yield np.concatenate([*pending, head])
            pending, count = [], 0
        if len(block):
            pending.append(block)
            count += len(block)
    if pending:
        yield np.concatenate(pending)
