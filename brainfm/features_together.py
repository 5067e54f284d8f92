"""Features of many recordings, of any devices, whose windows and stretches share calls.

Recordings that follow each other with as many usable sensors share calls of the tokenizer;
stretches of equal length share calls of the masked model, whatever they were recorded with.

Shapes: P latent frames, N sources, Q quantizers, D width.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from brainfm.code_times import context_frames, frame_times
from brainfm.encoder import Encoder, Features, Layer
from brainfm.given_recordings import each_together
from brainfm.recordings import ReadOptions
from brainfm.recordings_together import Failure, codes_together
from brainfm.window_codes import CHANNEL_WINDOWS
from brainfm.window_stream import Standardised

FRAMES_AT_ONCE = 512
"""Frames that go through the masked model at once: bounds memory, not the result."""

WAITING_FRAMES = 8 * FRAMES_AT_ONCE
"""Frames that may wait for others of their length."""


def features_together(
    encoder: Encoder,
    signals: Iterable[tuple[int, Standardised]],
    *,
    layer: Layer = -2,
    channel_windows: int = CHANNEL_WINDOWS,
    frames: int = FRAMES_AT_ONCE,
) -> Iterator[tuple[int, Features | Failure]]:
    """Yield the features of recordings, each once all of its stretches are done.

    They are those of :meth:`Encoder.encode` up to the rounding of sums (1e-5).

    Parameters
    ----------
    encoder
        Holds the model.
    signals
        Key and signal of each recording, keys unique.
    layer
        As for :meth:`Encoder.encode`.
    channel_windows, frames
        Channels x windows of the tokenizer and frames of the masked model at once.

    Yields
    ------
    tuple
        Key, and features or what prevented them; in any order.

    Raises
    ------
    ValueError
        A checkpoint without masked model; no such layer.
    """
    encoder.check_features()
    if encoder.model.record.input_contract == "brainomni":
        # Published models hear the zeros after the end, which stored codes have not.
        for key, signal in signals:
            try:
                yield key, joined(block for block, _ in encoder.feature_blocks(signal, layer=layer))
            except (ValueError, OSError, MemoryError) as error:
                yield key, error
        return
    shelf = _Shelf(encoder, layer, frames)
    for key, found in codes_together(encoder, signals, channel_windows=channel_windows):
        if isinstance(found, np.ndarray):
            yield from shelf.put(key, found)
        else:
            yield key, found
    yield from shelf.clear()


def encode_together(
    encoder: Encoder,
    given: Sequence[Any],
    options: ReadOptions | None = None,
    *,
    layer: Layer = -2,
) -> list[Features | list[Features]]:
    """Return the features of recordings of any devices and lengths, in their order.

    This is :meth:`Encoder.encode` of a list; see there.
    """
    together = partial(features_together, encoder, layer=layer)
    return each_together(given, options, encoder.process, together)


def joined(blocks: Iterable[Features]) -> Features:
    """Return consecutive features as one."""
    held = list(blocks)
    return Features(
        np.concatenate([block.values for block in held]),
        np.concatenate([block.times for block in held]),
    )


class _Shelf:
    """Stretches of codes that wait for others of their length."""

    def __init__(self, encoder: Encoder, layer: Layer, frames: int) -> None:
        self.encoder, self.layer, self.frames = encoder, layer, frames
        self.cfg = encoder.model.tokenizer.cfg
        self.context = context_frames(encoder.model.record.training, self.cfg.frames_per_window)
        self._waiting: dict[int, list[tuple[int, int, NDArray[np.uint16]]]] = {}
        self._parts: dict[int, list[NDArray[np.float32] | None]] = {}

    def put(self, key: int, codes: NDArray[np.uint16]) -> Iterator[tuple[int, Features]]:
        """Take the codes (P, N, Q) of a recording; yield the recordings that are complete."""
        stretches = np.split(codes, range(self.context, len(codes), self.context))
        self._parts[key] = [None] * len(stretches)
        for part, stretch in enumerate(stretches):
            length = len(stretch)
            line = self._waiting.setdefault(length, [])
            line.append((key, part, stretch))
            if len(line) * length >= self.frames:
                yield from self._encode(length)
        if sum(length * len(line) for length, line in self._waiting.items()) >= WAITING_FRAMES:
            yield from self.clear()

    def clear(self) -> Iterator[tuple[int, Features]]:
        """Encode all that wait."""
        for length in list(self._waiting):
            yield from self._encode(length)

    def _encode(self, length: int) -> Iterator[tuple[int, Features]]:
        line = self._waiting.pop(length)
        masked = self.encoder.check_features()
        at_once = max(1, self.frames // length)
        for begin in range(0, len(line), at_once):
            some = line[begin : begin + at_once]
            codes = np.stack([stretch for _, _, stretch in some]).astype(np.int64)
            inputs = rearrange(torch.from_numpy(codes), "b p n q -> b n p q")
            with torch.inference_mode():
                values = masked.features(inputs.to(self.encoder.device), self.layer)
            features = rearrange(values, "b n p d -> b p n d").float().cpu().numpy()
            for (key, part, _), value in zip(some, features, strict=True):
                self._parts[key][part] = value
                if all(piece is not None for piece in self._parts[key]):
                    pieces = [p for p in self._parts.pop(key) if p is not None]
                    whole = np.concatenate(pieces)
                    yield key, Features(whole, frame_times(0, len(whole), self.cfg))
