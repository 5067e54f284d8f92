"""Codes of many recordings whose windows go through the tokenizer together.

Short recordings then fill a device as well as long ones do.

Shapes: C sensors, M windows, P latent frames, N sources, Q quantizers.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from brainfm.brain_tokenizer import Sensors
from brainfm.code_times import frame_times, n_frames
from brainfm.encoder import Codes, Encoder
from brainfm.given_recordings import each_together
from brainfm.input_contract import contracted_windows
from brainfm.recordings import ReadOptions
from brainfm.window_codes import CHANNEL_WINDOWS, as_frames, repeated, window_codes
from brainfm.window_stream import Standardised

Failure = ValueError | OSError | MemoryError


def codes_together(
    encoder: Encoder,
    signals: Iterable[tuple[int, Standardised]],
    *,
    channel_windows: int = CHANNEL_WINDOWS,
) -> Iterator[tuple[int, NDArray[np.uint16] | Failure]]:
    """Yield the codes of recordings, each once all of its windows went through the tokenizer.

    Windows of recordings that follow each other and have as many usable sensors share a call.
    A causal tokenizer hears a recording from its first sample to its last: such recordings are
    encoded one after another.

    Parameters
    ----------
    encoder
        Holds the tokenizer.
    signals
        Key and signal of each recording, keys unique.
    channel_windows
        Channels x windows at once: bounds memory, not the result.

    Yields
    ------
    tuple
        Key, and codes (P, N, Q) or what prevented them; in any order.
    """
    if not encoder.model.tokenizer.cfg.causal:
        yield from _Together(encoder, channel_windows).codes(signals)
        return
    for key, signal in signals:
        try:
            yield key, np.concatenate(list(encoder.code_blocks(signal)))
        except (ValueError, OSError, MemoryError) as error:
            yield key, error


def tokenize_together(
    encoder: Encoder, given: Sequence[Any], options: ReadOptions | None = None
) -> list[Codes | list[Codes]]:
    """Return the codes of recordings of any devices and lengths, in their order.

    This is :meth:`Encoder.tokenize` of a list; see there.
    """
    cfg = encoder.model.tokenizer.cfg

    def timed(
        signals: Iterator[tuple[int, Standardised]],
    ) -> Iterator[tuple[int, Codes | Failure]]:
        for key, found in codes_together(encoder, signals):
            if isinstance(found, np.ndarray):
                yield key, Codes(found, frame_times(0, len(found), cfg))
            else:
                yield key, found

    return each_together(given, options, encoder.process, timed)


class _Unfinished:
    """Codes of a recording that come piece by piece."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self.pieces: list[NDArray[np.uint16]] = []

    def add(self, frames: NDArray[np.uint16]) -> bool:
        """Take the next frames (P, N, Q); tell whether all are there."""
        frames = frames[: self._total - self._done]
        self._done += len(frames)
        self.pieces.append(frames)
        return self._done == self._total


class _Together:
    """Windows that wait for company, and the codes of recordings that are not complete yet."""

    def __init__(self, encoder: Encoder, channel_windows: int) -> None:
        self.encoder, self.channel_windows = encoder, channel_windows
        self.cfg = encoder.model.tokenizer.cfg
        self._n_channels = self._n_waiting = 0
        self._waiting: list[tuple[int, Tensor, Sensors]] = []
        self._unfinished: dict[int, _Unfinished] = {}

    def codes(
        self, signals: Iterable[tuple[int, Standardised]]
    ) -> Iterator[tuple[int, NDArray[np.uint16] | Failure]]:
        """Yield key and codes of every recording; see :func:`codes_together`."""
        for key, signal in signals:
            try:
                yield from self._take(key, signal)
            except (ValueError, OSError, MemoryError) as error:
                self._forget(key)
                yield key, error
        yield from self._encode()

    def _take(self, key: int, signal: Standardised) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        """Read a recording; yield those that its windows help to complete."""
        order, sensors = self.encoder.usable(signal)
        if len(order) != self._n_channels:
            yield from self._encode()
            self._n_channels = len(order)
        at_once = max(1, self.channel_windows // len(order))
        self._unfinished[key] = _Unfinished(n_frames(signal.n_times, self.cfg))
        contract = self.encoder.model.record.input_contract
        for x in contracted_windows(signal, order, contract, self.cfg, at_once):
            windows = rearrange(x, "c m l -> m c l")
            while len(windows):
                room = at_once - self._n_waiting
                head, windows = windows[:room], windows[room:]
                self._waiting.append((key, head, repeated(sensors, len(head))))
                self._n_waiting += len(head)
                if self._n_waiting == at_once:
                    yield from self._encode()

    def _forget(self, key: int) -> None:
        """Drop what there is of a recording that could not be read to its end."""
        self._unfinished.pop(key, None)
        self._waiting = [item for item in self._waiting if item[0] != key]
        self._n_waiting = sum(len(windows) for _, windows, _ in self._waiting)

    def _encode(self) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        """Encode all that wait; yield the recordings that are complete."""
        if not self._waiting:
            return
        keys, windows, sensors = zip(*self._waiting, strict=True)
        self._waiting, self._n_waiting = [], 0
        codes = window_codes(
            self.encoder.model.tokenizer,
            torch.cat(windows).to(self.encoder.device),
            Sensors(*(torch.cat(fields) for fields in zip(*sensors, strict=True))),
            channel_windows=self.channel_windows,
        )
        for key, part in zip(keys, codes.split([len(w) for w in windows]), strict=True):
            if self._unfinished[key].add(as_frames(part)):
                yield key, np.concatenate(self._unfinished.pop(key).pieces)
