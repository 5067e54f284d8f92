"""What a model expects of its input beyond the processing that every recording goes through.

``brainfm``: the standardised signal as it is, positions in metres. ``brainomni``: what published
BrainOmni models were trained on (:mod:`brainfm.published_input`), segment by segment of 30 s.

Shapes: B batch, C sensors, T samples, W windows, L samples a window.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from brainfm.code_times import n_windows
from brainfm.published_input import published_kinds, published_positions, published_signal
from brainfm.window_stream import Standardised, window_batches

if TYPE_CHECKING:
    from brainfm.brain_tokenizer import TokenizerConfig
    from brainfm.sensors import SensorArray

InputContract = Literal["brainfm", "brainomni"]
SEGMENT_S = 30.0
"""Seconds that the published preprocessing standardises at once."""


class Contracted(NamedTuple):
    """Signals (B, C, T) and positions (B, C, 3) as the tokenizer expects them."""

    x: Tensor
    positions: Tensor


def contracted_positions(
    positions: Tensor, types: Tensor, mask: Tensor, contract: InputContract, cfg: "TokenizerConfig"
) -> Tensor:
    """Return positions (B, C, 3) as the tokenizer expects them.

    Parameters
    ----------
    positions, types, mask
        As of :class:`brainfm.batches.Batch`.
    contract
        Of the model.
    cfg
        Of its tokenizer.
    """
    if contract == "brainfm":
        return positions
    return published_positions(positions, published_kinds(types, cfg.types), mask)


def contracted_input(
    x: Tensor,
    positions: Tensor,
    types: Tensor,
    mask: Tensor,
    scale: Tensor,
    contract: InputContract,
    cfg: "TokenizerConfig",
) -> Contracted:
    """Return a batch of trials or segments as the tokenizer expects them.

    Parameters
    ----------
    x, positions, types, mask, scale
        As of :class:`brainfm.batches.Batch`; every sample of the batch is a segment of its own.
    contract
        Of the model.
    cfg
        Of its tokenizer.
    """
    if contract == "brainfm":
        return Contracted(x, positions)
    kinds = published_kinds(types, cfg.types)
    return Contracted(
        published_signal(x, kinds, mask, scale), published_positions(positions, kinds, mask)
    )


def contracted_segment(
    x: Tensor,
    sensors: "SensorArray",
    scale: NDArray[np.float64],
    contract: InputContract,
    cfg: "TokenizerConfig",
) -> Tensor:
    """Return a segment (C, T) of one recording as the tokenizer expects it.

    Parameters
    ----------
    x
        (C, T) on any device.
    sensors, scale
        Of the C channels; ``scale`` (C,) is the SI value of one unit of ``x``.
    contract
        Of the model.
    cfg
        Of its tokenizer.
    """
    if contract == "brainfm":
        return x
    kinds = published_kinds(torch.from_numpy(sensors.codes).long().to(x.device), cfg.types)[None]
    scales = torch.from_numpy(np.asarray(scale)).to(x.device)[None]
    return published_signal(x[None], kinds, torch.ones_like(kinds, dtype=torch.bool), scales)[0]


def segment_windows(cfg: "TokenizerConfig") -> int:
    """Return the windows that cover a published segment."""
    return n_windows(round(SEGMENT_S * cfg.sfreq), cfg.window, cfg.stride)


def contracted_windows(
    signal: Standardised,
    order: NDArray[np.int64],
    contract: InputContract,
    cfg: "TokenizerConfig",
    batch: int,
) -> Iterator[Tensor]:
    """Yield the windows of a recording in order, (C, W, L) float32, at most ``batch`` at once.

    Under the published contract the recording is cut into segments of as many whole strides as
    cover 30 s (30 s exactly, with the published sizes). No window sees beyond its segment: it is
    filled up with zeros, as at the end of a recording. The last segment is what is left; less than
    would have a window of its own belongs to the segment before.
    """
    if contract == "brainfm":
        yield from window_batches(signal, order, cfg.window, cfg.stride, batch)
        return
    sensors, scale = signal.sensors.select(order), np.asarray(signal.channel_scale)[order]
    left = n_windows(signal.n_times, cfg.window, cfg.stride)
    for segment in _segments(signal, order, segment_windows(cfg) * cfg.stride, left * cfg.stride):
        standard = contracted_segment(torch.from_numpy(segment), sensors, scale, contract, cfg)
        n = min(left, segment_windows(cfg))
        left -= n
        missing = (n - 1) * cfg.stride + cfg.window - standard.shape[1]
        windows = F.pad(standard, (0, max(0, missing))).unfold(1, cfg.window, cfg.stride)
        yield from windows[:, :n].split(batch, dim=1)


def _segments(
    signal: Standardised, order: NDArray[np.int64], length: int, until: int
) -> Iterator[NDArray[np.float32]]:
    """Yield segments (C, T) of ``length`` samples; those from ``until`` on belong to the last.

    Parameters
    ----------
    until
        Sample at which a window of its own would begin, were there one more.
    """
    pending, begin = np.zeros((len(order), 0), np.float32), 0
    for block in signal.blocks():
        pending = np.concatenate([pending, block[order].astype(np.float32)], axis=1)
        while pending.shape[1] >= length and begin + length < until:
            yield pending[:, :length]
            pending, begin = pending[:, length:], begin + length
    yield pending
