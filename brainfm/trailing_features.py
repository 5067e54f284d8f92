"""Features of codes that are still arriving, by the frames before them.

The masked model looks at both sides of a frame within its context. Here every ``step`` frames the
stretch of context that ends there is encoded, and the features of its last ``step`` frames are
given out: with a step as long as the context these are the features of :meth:`Encoder.encode`; with
a shorter one they come sooner and know less of what follows.

Shapes: P frames, N sources, Q quantizers, D width.
"""

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from brainfm.code_times import context_frames
from brainfm.encoder import Encoder, Layer


class TrailingFeatures:
    """Features of one signal, frame after frame; memory does not grow.

    Parameters
    ----------
    encoder
        With a masked model.
    step
        Frames, from 1 to the context; None: a window of the tokenizer.
    layer
        As for :meth:`Encoder.encode`.
    """

    def __init__(self, encoder: Encoder, *, step: int | None = None, layer: Layer = -2) -> None:
        self.encoder, self.layer = encoder, layer
        self.masked = encoder.check_features()
        cfg = encoder.model.tokenizer.cfg
        self.context = context_frames(encoder.model.record.training, cfg.frames_per_window)
        self.step = cfg.frames_per_window if step is None else step
        if not 1 <= self.step <= self.context:
            raise ValueError(f"step must lie in [1, {self.context}] frames, got {self.step}")
        shape = (0, cfg.n_sources, cfg.quantizer.n_quantizers)
        self._codes: NDArray[np.uint16] = np.zeros(shape, np.uint16)
        self._fresh = 0

    def push(self, codes: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Return the features (P', N, D) that codes (P, N, Q) complete; P' may be 0."""
        found = [self._empty]
        while len(codes):
            missing = self.step - self._fresh
            head, codes = codes[:missing], codes[missing:]
            self._codes = np.concatenate([self._codes, head])[-self.context :]
            self._fresh += len(head)
            if self._fresh == self.step:
                found.append(self._last())
        return np.concatenate(found)

    def finish(self) -> NDArray[np.float32]:
        """Return the features (P', N, D) of the frames that were waiting for a whole step."""
        return self._last() if self._fresh else self._empty

    @property
    def _empty(self) -> NDArray[np.float32]:
        return np.zeros((0, self._codes.shape[1], self.masked.cfg.width), np.float32)

    def _last(self) -> NDArray[np.float32]:
        # A step as long as the context shares no frame with the stretch before.
        stretch = self._codes[-self._fresh :] if self.step == self.context else self._codes
        inputs = torch.from_numpy(stretch.astype(np.int64)).to(self.encoder.device)
        with torch.inference_mode():
            values = self.masked.features(rearrange(inputs, "p n q -> 1 n p q"), self.layer)
        features = rearrange(values, "1 n p d -> p n d").float().cpu().numpy()[-self._fresh :]
        self._fresh = 0
        return features
