"""Signal under windows of latent frames, and the codes of those frames.

Shapes: B batch, R some rows of it, C sensors, T samples, W windows of the tokenizer, F frames of
one, P frames, N sources, Q quantizers, D width.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from brainfm.batches import Batch
from brainfm.brain_tokenizer import BrainTokenizer, Sensors, TokenizerConfig
from brainfm.code_loader import CodeBatch
from brainfm.window_codes import window_codes


class SignalBatch(NamedTuple):
    """Signal under windows of frames.

    Attributes
    ----------
    signal
        ``x`` (B, C, T): usable channels of each window in their canonical order, then padding. It
        begins with the window of the tokenizer that the first frame lies in; zeros after the end
        of the recording.
    n_channels
        (B,) int64, channels before padding, those that augmentation has dropped included.
    recording, start
        (B,) int64, position among the codes and first frame.
    """

    signal: Batch
    n_channels: Tensor
    recording: Tensor
    start: Tensor


_BITS = {torch.float16: torch.int16, torch.float32: torch.int32}


def as_bits(batch: SignalBatch) -> SignalBatch:
    """Return the batch with integers of the same bits for its numbers.

    Engines of short precision round every floating-point tensor of a batch before they hand it on;
    codes of rounded signals and positions would be others than those that are stored.
    """
    return _viewed(batch, _BITS)


def from_bits(batch: SignalBatch) -> SignalBatch:
    """Undo :func:`as_bits`; what is a floating-point number already stays."""
    return _viewed(batch, {bits: number for number, bits in _BITS.items()})


def _viewed(batch: SignalBatch, kinds: Mapping[torch.dtype, torch.dtype]) -> SignalBatch:
    fields = [field.view(kinds.get(field.dtype, field.dtype)) for field in batch.signal]
    return batch._replace(signal=Batch._make(fields))


def windows_under(n: int, cfg: TokenizerConfig) -> int:
    """Return the most windows of the tokenizer that ``n`` frames in a row lie in."""
    return (cfg.frames_per_window + n - 2) // cfg.frames_per_window + 1


def encode_signals(tokenizer: BrainTokenizer, batch: SignalBatch, n: int) -> CodeBatch:
    """Compute the codes of ``n`` frames of every window.

    Parameters
    ----------
    tokenizer
        In eval mode, not causal, on the device of the batch.
    batch
        As it was read, or varied (:func:`brainfm.augmentation.augment`).
    n
        P.
    """
    cfg = tokenizer.cfg
    device = batch.start.device
    first = batch.start % cfg.frames_per_window
    window = torch.arange(windows_under(n, cfg), device=device)
    needed = window * cfg.frames_per_window < (first + n)[:, None]
    sizes = cfg.n_sources, cfg.frames_per_window, cfg.quantizer.n_quantizers
    codes = torch.zeros(*needed.shape, *sizes, dtype=torch.int64, device=device)
    for n_channels in batch.n_channels.unique().tolist():
        # Padding would change how sums over sensors are rounded: every number goes by itself.
        rows = (batch.n_channels == n_channels).nonzero().squeeze(1)
        r, w = needed[rows].nonzero(as_tuple=True)
        windows = tokenizer.cut(batch.signal.x[rows, :n_channels].float())
        sensors = _embed_rows(tokenizer, batch.signal, rows, n_channels)
        of_windows = Sensors(sensors.embedding[r], sensors.mask[r])
        codes[rows[r], w] = window_codes(tokenizer, windows[r, :, w], of_windows)
    frames = rearrange(codes, "b w n f q -> b n (w f) q")
    chosen = torch.stack([f[:, s : s + n] for f, s in zip(frames, first.tolist(), strict=True)])
    return CodeBatch(chosen, batch.recording, batch.start)


@torch.no_grad()
def _embed_rows(tokenizer: BrainTokenizer, signal: Batch, rows: Tensor, n_channels: int) -> Sensors:
    """Embed the first sensors of some rows, (R, C, D), one by one as a recording's are."""
    arrays = (signal.positions, signal.orientations, signal.types, signal.mask)
    found = [
        tokenizer.embed_sensors(*(values[b : b + 1, :n_channels] for values in arrays))
        for b in rows.tolist()
    ]
    return Sensors(*(torch.cat(fields) for fields in zip(*found, strict=True)))
