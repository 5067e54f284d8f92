"""Texts without times: connectionist temporal classification (Graves et al. 2006, ICML).

Shapes: B trials, P frames, U upsampling, T = P U frames of symbols, A symbols (0 is the blank), L
symbols of a text, K training trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from .backbone import FeatureShape
from .ctc_decoding import (
    BLANK,
    TextDecoder,
    TextDecodingConfig,
    symbols_of,
    texts_of,
)
from .head import Head, known_training, mean_of_trials
from .pooling import PoolingConfig
from .targets import Targets
from .trial_batch import TrialBatch


@dataclass(frozen=True, kw_only=True)
class CTCConfig:
    """How symbols are laid out in time.

    Parameters
    ----------
    upsampling
        Symbols' frames for each frame of features: more where texts have more symbols than a trial
        has frames.
    """

    upsampling: int = 1

    def __post_init__(self) -> None:
        if self.upsampling < 1:
            raise ValueError(f"upsampling must be at least 1, got {self.upsampling}")


class CTC(Head):
    """Probabilities of symbols in every frame; predictions are texts.

    Parameters
    ----------
    ctc
        How symbols are laid out in time.
    decoding
        How texts are read from probabilities.
    pooling, hidden, dropout
        As in :class:`~.head.Head`; pooling is over sources only.
    """

    kind = "text"
    per_frame = True
    lengths: Tensor

    def __init__(
        self,
        ctc: CTCConfig | None = None,
        decoding: TextDecodingConfig | None = None,
        pooling: PoolingConfig | None = None,
        hidden: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(pooling, hidden, dropout)
        self.ctc, self.decoding = ctc or CTCConfig(), decoding or TextDecodingConfig()
        self._decoder: TextDecoder | None = None
        self._training_texts: list[list[str]] = []

    def build(
        self,
        shape: FeatureShape,
        targets: Targets,
        *,
        linear: bool = False,
        training: NDArray[np.int64] | None = None,
    ) -> None:
        """Make the layers; every text must fit into the frames."""
        super().build(shape, targets, linear=linear, training=training)
        lengths = np.full(len(targets.ids), self.values.shape[1], dtype=np.int64)
        if targets.lengths is not None:
            lengths = targets.lengths.astype(np.int64)
        self.register_buffer("lengths", torch.from_numpy(lengths), persistent=False)
        self._check_frames(shape.frames, targets)
        self._decoder = None
        if self.decoding.needs_training:
            rows = known_training(self, training, "the language model").tolist()
            self._training_texts = [symbols_of(targets, row) for row in rows]

    def n_outputs(self, targets: Targets) -> int:
        """Return (A + 1) U."""
        if targets.values is None or targets.values.ndim != 2 or not targets.alphabet:
            raise ValueError("CTC needs texts as targets: symbols (texts, length) and an alphabet")
        return (len(targets.alphabet) + 1) * self.ctc.upsampling

    def forward(self, features: Tensor, batch: TrialBatch) -> Tensor:
        """Return scores of symbols (B, T, A + 1) of features (B, P, N, D)."""
        output = super().forward(features, batch)
        return rearrange(output, "b p (u a) -> b (p u) a", u=self.ctc.upsampling)

    def loss(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return the mean over trials of the negative log probability of their text, per symbol."""
        if not len(output):
            return output.sum()
        length = self.lengths[batch.target]
        each = F.ctc_loss(
            rearrange(output.float().log_softmax(-1), "b t a -> t b a"),
            self.values[batch.target],
            torch.full_like(length, output.shape[1]),
            length,
            blank=BLANK,
            reduction="none",
        )
        return mean_of_trials(each / length.clamp(min=1))

    def predict(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return log-probabilities (B, T, A + 1)."""
        return output.float().log_softmax(-1)

    def texts(self, predicted: Tensor) -> list[str]:
        """Return the texts that log-probabilities (B, T, A + 1) stand for."""
        assert self.targets is not None, "build first"
        if self._decoder is None:
            self._decoder = TextDecoder(self.decoding, self.targets.alphabet, self._training_texts)
        return [self._decoder(trial) for trial in predicted.detach().float().cpu().numpy()]

    def texts_of(self, rows: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """Return the true texts of rows of the targets."""
        assert self.targets is not None, "build first"
        return texts_of(self.targets, rows)

    def _check_frames(self, frames: int, targets: Targets) -> None:
        """Refuse a text that cannot be said in the frames: a symbol twice needs a blank between."""
        assert targets.values is not None
        codes, lengths = targets.values, self.lengths.numpy()
        both = np.arange(1, codes.shape[1]) < lengths[:, None]
        needed = lengths + ((codes[:, 1:] == codes[:, :-1]) & both).sum(1)
        there = frames * self.ctc.upsampling
        if (needed > there).any():
            worst = int(needed.argmax())
            raise ValueError(
                f"text {targets.ids[worst]} needs {needed[worst]} frames of symbols, a trial has "
                f"{there}; set ctc.upsampling to at least {-(-int(needed[worst]) // frames)}"
            )
