"""Windows of different devices in one batch of tensors.

Shapes: B batch, C sensors (of the largest window in a batch), T samples.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.sensors import SensorArray


class Window(NamedTuple):
    """One stretch of one recording.

    ``x`` (C, T) float32; ``sensors``; ``good`` (C,) bool; ``scale`` (C,) float32, the SI value of
    one unit of ``x``; ``lowpass`` Hz (NaN where unknown); ``recording`` and ``start`` say where it
    is from (position in the corpus, sample).
    """

    x: NDArray[np.float32]
    sensors: SensorArray
    good: NDArray[np.bool_]
    scale: NDArray[np.float32]
    lowpass: float
    recording: int
    start: int


class Batch(NamedTuple):
    """Windows of equal length, channels padded to the largest.

    Attributes
    ----------
    x
        (B, C, T) float32, or float16 where that was asked for; zero where ``mask`` is false. In
        memory it lies as the corpus does, (B, T, C): three times as fast to read, and a GPU
        transposes for nothing.
    positions, orientations
        (B, C, 3) float32, metres and unit vectors; zero in padding.
    types
        (B, C) int64 codes of :data:`~brainfm.sensors.SENSOR_TYPES`; zero in padding.
    mask
        (B, C) bool, true for channels that are real and good.
    scale
        (B, C) float32, SI value of one unit of ``x``; one in padding.
    lowpass
        (B,) float32 Hz, NaN where unknown.
    recording, start
        (B,) int64, position in the corpus and first sample.
    """

    x: Tensor
    positions: Tensor
    orientations: Tensor
    types: Tensor
    mask: Tensor
    scale: Tensor
    lowpass: Tensor
    recording: Tensor
    start: Tensor


_PER_CHANNEL: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
    "positions": (torch.float32, (3,)),
    "orientations": (torch.float32, (3,)),
    "types": (torch.int64, ()),
    "mask": (torch.bool, ()),
    "scale": (torch.float32, ()),
}
_PER_WINDOW = {"lowpass": torch.float32, "recording": torch.int64, "start": torch.int64}
_ALIGNMENT = 64


def _layout(
    n_windows: int, n_channels: int, n_times: int, samples: torch.dtype
) -> tuple[list[tuple[int, int, torch.dtype, tuple[int, ...]]], int]:
    """Return first byte, end, type and shape of every field of a batch, and all its bytes."""
    shape = (n_windows, n_channels)
    fields: list[tuple[torch.dtype, tuple[int, ...]]] = [
        (samples, (n_windows, n_times, n_channels))
    ]
    fields += [(dtype, (*shape, *rest)) for dtype, rest in _PER_CHANNEL.values()]
    fields += [(dtype, (n_windows,)) for dtype in _PER_WINDOW.values()]
    places, begin = [], 0
    for dtype, full in fields:
        end = begin + dtype.itemsize * math.prod(full)
        places.append((begin, end, dtype, full))
        begin = -(-end // _ALIGNMENT) * _ALIGNMENT
    return places, begin


def batch_bytes(
    n_windows: int, n_channels: int, n_times: int, *, samples: torch.dtype = torch.float32
) -> int:
    """Return the bytes of memory that a batch of this shape takes; ``samples``: type of ``x``."""
    return _layout(n_windows, n_channels, n_times, samples)[1]


def batch_in(
    memory: Tensor,
    n_windows: int,
    n_channels: int,
    n_times: int,
    *,
    samples: torch.dtype = torch.float32,
) -> Batch:
    """Return a batch that lies in ``memory`` (bytes, uint8), with whatever is there."""
    places, _ = _layout(n_windows, n_channels, n_times, samples)
    x, *rest = (memory[a:b].view(dtype).view(full) for a, b, dtype, full in places)
    return Batch(x.transpose(1, 2), *rest)


def clear(batch: Batch) -> None:
    """Turn everything but ``x`` into padding."""
    for field in (batch.positions, batch.orientations, batch.types, batch.mask):
        field.zero_()
    batch.scale.fill_(1)


def collate(windows: Sequence[Window]) -> Batch:
    """Put windows of one length into a batch."""
    if not windows:
        raise ValueError("a batch needs at least one window")
    lengths = {window.x.shape[1] for window in windows}
    if len(lengths) > 1:
        raise ValueError(f"windows of different lengths in one batch: {sorted(lengths)} samples")
    shape = (len(windows), max(len(window.sensors) for window in windows), lengths.pop())
    batch = batch_in(torch.empty(batch_bytes(*shape), dtype=torch.uint8), *shape)
    clear(batch)
    for b, window in enumerate(windows):
        c = len(window.sensors)
        good = torch.from_numpy(np.array(window.good))
        batch.x[b, :c] = torch.from_numpy(np.array(window.x))
        batch.x[b, :c][~good] = 0
        batch.x[b, c:] = 0
        batch.positions[b, :c] = torch.from_numpy(window.sensors.positions)
        batch.orientations[b, :c] = torch.from_numpy(window.sensors.orientations)
        batch.types[b, :c] = torch.from_numpy(window.sensors.codes)
        batch.mask[b, :c] = good
        batch.scale[b, :c] = torch.from_numpy(np.array(window.scale))
        batch.lowpass[b] = window.lowpass
        batch.recording[b] = window.recording
        batch.start[b] = window.start
    return batch
