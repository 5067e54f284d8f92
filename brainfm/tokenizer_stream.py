"""Codes of a signal that is still arriving.

A causal tokenizer gives the codes of a frame as soon as its last sample is there; one that encodes
windows by themselves, those of a window. Frames (causal) or windows are always computed one by one,
so that codes do not depend, to the last bit, on how the samples were cut into blocks.

Shapes: C sensors, P latent frames, N sources, Q quantizers.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from brainfm.brain_tokenizer import BrainTokenizer, Sensors
from brainfm.code_times import n_frames
from brainfm.input_contract import SEGMENT_S
from brainfm.seanet_layers import Past
from brainfm.sensors import SensorArray

if TYPE_CHECKING:
    from brainfm.encoder import Encoder


def open_stream(encoder: "Encoder", sensors: SensorArray) -> "TokenizerStream":
    """Begin a stream of codes of a loaded model.

    Parameters
    ----------
    encoder
        The model.
    sensors
        The recording's; all of them are used.

    Raises
    ------
    ValueError
        Sensors that the model does not take; a model that has to hear 30 s before it can say what
        one unit of the signal is.
    """
    record = encoder.model.record
    if record.input_contract != "brainfm":
        raise ValueError(
            f"this model was published with input that is standardised {SEGMENT_S:g} s at a time, "
            "which a stream has not heard yet; encode finished recordings with it, or stream with "
            "a tokenizer that brainfm trained"
        )
    encoder.check_types(sensors)
    return TokenizerStream(encoder.model.tokenizer, encoder.embed(sensors))


class TokenizerStream:
    """One recording, block by block; its memory does not grow.

    Parameters
    ----------
    tokenizer
        In eval mode.
    sensors
        The recording's, batch axis of one (:meth:`BrainTokenizer.embed_sensors`).
    """

    def __init__(self, tokenizer: BrainTokenizer, sensors: Sensors) -> None:
        if tokenizer.training:
            raise ValueError("the tokenizer is in training mode; call its eval() first")
        if sensors.embedding.shape[0] != 1:
            raise ValueError(
                f"a stream is one recording, got the sensors of {sensors.embedding.shape[0]}"
            )
        self.tokenizer = tokenizer
        self.cfg = tokenizer.cfg
        self.sensors = sensors
        self._past: Past | None = {} if self.cfg.causal else None
        self._pending = sensors.embedding.new_zeros(sensors.embedding.shape[1], 0)
        self._n_times = self._n_done = 0
        self._finished = False

    @property
    def latency(self) -> int:
        """Return the samples from the first of a frame to its code: a frame, or a window."""
        return self.cfg.hop if self.cfg.causal else self.cfg.window

    def push(self, block: NDArray[np.floating] | Tensor) -> NDArray[np.uint16]:
        """Return the codes (P, N, Q) that a block of samples completes; P may be 0.

        Parameters
        ----------
        block
            (C, n) next samples, standardised like the training data; n may be 0.
        """
        self._check_open()
        if block.ndim != 2 or block.shape[0] != len(self._pending):
            raise ValueError(
                f"expected (C, n) with C = {len(self._pending)}, got {tuple(block.shape)}"
            )
        samples = torch.as_tensor(block).to(self._pending)
        self._n_times += samples.shape[1]
        self._pending = torch.cat([self._pending, samples], dim=1)
        return self._encode_complete()

    def finish(self) -> NDArray[np.uint16]:
        """Return the codes (P, N, Q) of the last samples, filled up with zeros; none can follow."""
        self._check_open()
        total = n_frames(self._n_times, self.cfg)
        done, blocks = self._n_done, [self._codes()]
        while self._n_done < total:
            missing = self.latency - self._pending.shape[1]
            self._pending = torch.nn.functional.pad(self._pending, (0, missing))
            blocks.append(self._encode_complete())
        self._finished = True
        return np.concatenate(blocks)[: total - done]

    def _check_open(self) -> None:
        if self._finished:
            raise ValueError("the stream is finished; start another one")

    def _encode_complete(self) -> NDArray[np.uint16]:
        """Encode and drop every complete frame (causal) or window of the pending samples."""
        length = self.latency
        stride = length if self.cfg.causal else self.cfg.stride
        n_steps = max(0, (self._pending.shape[1] - length) // stride + 1)
        blocks = [self._codes()]
        with torch.inference_mode():
            for begin in range(0, n_steps * stride, stride):
                blocks.append(self._codes(self._pending[:, begin : begin + length]))
        # A copy, so that a long block is not held by its last samples.
        self._pending = self._pending[:, n_steps * stride :].clone()
        values = np.concatenate(blocks)
        self._n_done += len(values)
        return values

    def _codes(self, samples: Tensor | None = None) -> NDArray[np.uint16]:
        if samples is None:
            return np.zeros((0, self.cfg.n_sources, self.cfg.quantizer.n_quantizers), np.uint16)
        windows = rearrange(samples, "c l -> 1 c 1 l")
        z = self.tokenizer.encode(windows, self.sensors, self._past)
        codes = self.tokenizer.quantizer(z).codes
        return rearrange(codes, "1 n p q -> p n q").cpu().numpy().astype(np.uint16)
