"""Uninterrupted samples of a stream to codes and features; what offline encoding is compared with.

Shapes: C sensors, G of them good, T samples, P latent frames, N sources, Q quantizers, D width.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.causal_signal import Calibration, CausalSignal
from brainfm.encoder import Encoder, Layer
from brainfm.tokenizer_stream import open_stream
from brainfm.trailing_features import TrailingFeatures


class Completed(NamedTuple):
    """Prepared signal (G, T), codes (P, N, Q), features (P', N, D) or None if not wanted."""

    signal: NDArray[np.float16]
    codes: NDArray[np.uint16]
    features: NDArray[np.float32] | None


class StreamSegment:
    """Preparation, tokenizer and masked model of one stretch of signal; memory does not grow.

    Parameters
    ----------
    encoder
        The model.
    calibration
        Of the signal.
    layer
        Of the masked model; None for codes alone.
    step
        Frames between two calls of it.
    """

    def __init__(
        self,
        encoder: Encoder,
        calibration: Calibration,
        *,
        layer: Layer | None = -2,
        step: int | None = None,
    ) -> None:
        self.n_times = self.n_frames = self.n_features = 0
        self._signal = CausalSignal(calibration)
        self._codes = open_stream(encoder, calibration.used)
        self._features = (
            None if layer is None else TrailingFeatures(encoder, step=step, layer=layer)
        )

    def push(self, block: NDArray[np.float64]) -> Completed:
        """Return what a block (C, T) in SI units completes."""
        self.n_times += block.shape[1]
        signal = self._signal.push(block)
        return self._completed(signal, self._codes.push(signal))

    def finish(self) -> Completed:
        """Return what is left, the last frame filled up with zeros."""
        signal = self._signal.finish()
        codes = self._codes.push(signal)
        if self.n_times:
            codes = np.concatenate([codes, self._codes.finish()])
        done = self._completed(signal, codes)
        if self._features is None or done.features is None:
            return done
        last = self._features.finish()
        self.n_features += len(last)
        return done._replace(features=np.concatenate([done.features, last]))

    def _completed(self, signal: NDArray[np.float16], codes: NDArray[np.uint16]) -> Completed:
        self.n_frames += len(codes)
        if self._features is None:
            return Completed(signal, codes, None)
        features = self._features.push(codes)
        self.n_features += len(features)
        return Completed(signal, codes, features)


class CausallyPrepared:
    """A finished recording as a stream prepares it; :meth:`Encoder.code_blocks` takes it.

    Parameters
    ----------
    values
        (C, T) in SI units.
    calibration
        Of the signal.
    """

    def __init__(self, values: NDArray[np.float64], calibration: Calibration) -> None:
        self.sensors = calibration.used
        self.good = np.ones(len(self.sensors), dtype=bool)
        self.channel_scale = calibration.scale
        signal = CausalSignal(calibration)
        self._x = np.concatenate([signal.push(values), signal.finish()], axis=1)

    @property
    def n_times(self) -> int:
        """Return the number of samples."""
        return self._x.shape[1]

    def blocks(self) -> "list[NDArray[np.float16]]":
        """Return the signal as one block."""
        return [self._x]
