"""Pieces of a recording through the codes and back.

Windows that are encoded by themselves are computed where they are wanted. A causal tokenizer hears
everything before: it is run over the recording from its first sample on, as it is when codes are
made, and the pieces are taken from what it gives.

Shapes: C sensors, W windows, L samples a window, T samples of a piece, P frames, N sources,
Q quantizers.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from brainfm.brain_tokenizer import BrainTokenizer, Sensors
from brainfm.corpus import Corpus
from brainfm.encoder import CHANNEL_WINDOWS, Encoder
from brainfm.input_contract import contracted_segment
from brainfm.seanet_layers import Past

Pieces = Sequence[tuple[int, int]]
"""First sample and number of windows of each."""


class RoundTrip(NamedTuple):
    """What the codes of a piece give back, (C, T), and the codes, (N, P, Q)."""

    waveform: NDArray[np.float32]
    codes: NDArray[np.int64]


def round_trips(
    encoder: Encoder,
    corpus: Corpus,
    index: int,
    order: NDArray[np.int64],
    sensors: Sensors,
    pieces: Pieces,
) -> list[RoundTrip]:
    """Send pieces of a recording through the codes and back.

    Parameters
    ----------
    encoder
        Model whose tokenizer is used.
    corpus, index
        Where the recording is.
    order, sensors
        Channels that are looked at, (C,), and their embedding.
    pieces
        Where they are, in any order.
    """
    tokenizer = encoder.model.tokenizer
    at_once = max(1, CHANNEL_WINDOWS // len(order))
    contract = encoder.model.record.input_contract
    chosen, scale = corpus.sensors(index).select(order), corpus.channel_scale(index)[order]

    def windows(start: int, n: int) -> Tensor:
        """Read windows (1, C, W, L); zeros after the end of the recording."""
        length = n * tokenizer.cfg.window
        held = min(length, int(corpus.columns.n_times[index]) - start)
        x = torch.from_numpy(corpus.read(index, start, held)[order]).to(encoder.device)
        # Where the model takes segments, a piece is one.
        x = contracted_segment(x, chosen, scale, contract, tokenizer.cfg)
        return tokenizer.cut(torch.nn.functional.pad(x, (0, length - held)).unsqueeze(0), 0.0)

    with torch.inference_mode():
        if tokenizer.cfg.causal:
            return _carried(tokenizer, windows, sensors, pieces, at_once)
        trips = []
        for start, n in pieces:
            parts = [
                _through(tokenizer, part, sensors)
                for part in windows(start, n).split(at_once, dim=2)
            ]
            trips.append(_joined(parts))
        return trips


def _through(
    tokenizer: BrainTokenizer,
    windows: Tensor,
    sensors: Sensors,
    heard: Past | None = None,
    said: Past | None = None,
) -> RoundTrip:
    """Encode and decode windows (1, C, W, L); ``heard`` and ``said`` are the halves' pasts."""
    quantized = tokenizer.quantizer(tokenizer.encode(windows, sensors, heard))
    waveform = tokenizer.decode(quantized.values, sensors, said)
    return RoundTrip(
        rearrange(waveform, "1 c w l -> c (w l)").float().cpu().numpy(),
        quantized.codes[0].cpu().numpy(),
    )


def _joined(parts: Sequence[RoundTrip]) -> RoundTrip:
    waveforms, codes = zip(*parts, strict=True)
    return RoundTrip(np.concatenate(waveforms, axis=1), np.concatenate(codes, axis=1))


def _carried(
    tokenizer: BrainTokenizer,
    windows: Callable[[int, int], Tensor],
    sensors: Sensors,
    pieces: Pieces,
    at_once: int,
) -> list[RoundTrip]:
    """Run from the first sample to the end of the last piece; memory is that of the pieces."""
    length, hop = tokenizer.cfg.window, tokenizer.cfg.hop
    parts: list[list[RoundTrip]] = [[] for _ in pieces]
    heard: Past = {}
    said: Past = {}
    end = max((start + n * length for start, n in pieces), default=0)
    for at in range(0, end, at_once * length):
        n_windows = min(at_once, -(-(end - at) // length))
        trip = _through(tokenizer, windows(at, n_windows), sensors, heard, said)
        stop = at + n_windows * length
        for found, (start, n) in zip(parts, pieces, strict=True):
            first, last = max(start, at), min(start + n * length, stop)
            if first < last:
                # A frame belongs to the piece that its first sample lies in.
                frames = slice(-((at - first) // hop), -((at - last) // hop))
                found.append(
                    RoundTrip(trip.waveform[:, first - at : last - at], trip.codes[:, frames])
                )
    return [_joined(found) for found in parts]
