"""Words retrieved in the light of their sentence (d'Ascoli et al. 2024, arXiv:2412.17829).

A word's window says little; a transformer over the windows of a passage says which words go
together. What it learns of language is no brain signal: the control without brain input counts.

Shapes: B trials of a batch, F features, D width of the transformer.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .backbone import FeatureShape
from .pooling import PoolingConfig
from .retrieval import ContrastConfig, Retrieval
from .targets import Targets
from .trial_batch import TrialBatch


@dataclass(frozen=True, kw_only=True)
class PassageTransformerConfig:
    """The transformer over the windows of a passage.

    Parameters
    ----------
    width
        Of a word, even.
    n_heads
        Of attention, a divisor of ``width``.
    depth
        Layers.
    dropout
        In its layers, in [0, 1).
    """

    width: int = 256
    n_heads: int = 4
    depth: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "n_heads", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.width % 2 or self.width % self.n_heads:
            raise ValueError(
                f"width must be even and a multiple of n_heads {self.n_heads}, got {self.width}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")


class WordWindows(Retrieval):
    """Retrieval with a transformer over the trials of a passage.

    The order of a batch is of no matter: onsets tell that of the words. Other passages in the batch
    change nothing. With adaptations ``linear`` and ``ridge`` there is no transformer.

    Parameters
    ----------
    transformer
        Over the words of a passage.
    contrast
        As in :class:`~.retrieval.Retrieval`; time may not be ``kept``.
    pooling, hidden, dropout
        As in :class:`~.head.Head`; ``hidden`` must be 0.
    """

    whole_passages = True

    def __init__(
        self,
        transformer: PassageTransformerConfig | None = None,
        contrast: ContrastConfig | None = None,
        pooling: PoolingConfig | None = None,
        hidden: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(contrast, pooling, hidden, dropout)
        self.transformer = transformer or PassageTransformerConfig()
        if self.per_frame:
            raise ValueError("WordWindows has one output for a word: time 'pooled' or 'flat'")
        if hidden:
            raise ValueError(f"WordWindows has a transformer instead of hidden units, got {hidden}")

    def build(
        self,
        shape: FeatureShape,
        targets: Targets,
        *,
        linear: bool = False,
        training: NDArray[np.int64] | None = None,
    ) -> None:
        """Make the layers; ``linear``: those of :class:`~.retrieval.Retrieval`."""
        super().build(shape, targets, linear=linear, training=training)
        self.words: nn.TransformerEncoder | None = None
        if linear:
            return
        cfg = self.transformer
        self.embed = nn.Sequential(
            nn.Dropout(self.dropout), nn.Linear(self.pool.n_features, cfg.width)
        )
        layer = nn.TransformerEncoderLayer(
            cfg.width,
            cfg.n_heads,
            4 * cfg.width,
            cfg.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.words = nn.TransformerEncoder(
            layer, cfg.depth, norm=nn.LayerNorm(cfg.width), enable_nested_tensor=False
        )
        self.readout = nn.Linear(cfg.width, self.n_outputs(targets))

    def forward(self, features: Tensor, batch: TrialBatch) -> Tensor:
        """Return outputs (B, O) of features (B, P, N, D)."""
        if self.words is None or not len(features):
            return self._alone(features, batch)
        place = places(batch.passage, batch.onset)
        x = self.embed(self.pool(features))
        x = x + sinusoids(place, x.shape[-1]).to(x.dtype)
        # All words of the batch are one sequence; the mask makes passages of it.
        apart = batch.passage[:, None] != batch.passage[None]
        output: Tensor = self.readout(self.words(x[None], mask=apart)[0])
        return output

    def _alone(self, features: Tensor, batch: TrialBatch) -> Tensor:
        """Return outputs without other words; an empty batch has none."""
        if self.words is None:
            return super().forward(features, batch)
        output: Tensor = self.readout(self.embed(self.pool(features)))
        return output


def places(passage: Tensor, onset: Tensor) -> Tensor:
    """Return which word of its passage each trial is, (B,) from 0; equal onsets share a place."""
    together = passage[:, None] == passage[None]
    return (together & (onset[None] < onset[:, None])).sum(1)


def sinusoids(place: Tensor, width: int) -> Tensor:
    """Return encodings of places (B,), (B, D) (Vaswani et al. 2017, arXiv:1706.03762)."""
    exponent = torch.arange(width // 2, device=place.device) * (2 / width)
    angle = place[:, None] * torch.exp(-math.log(10_000.0) * exponent)
    return torch.cat([angle.sin(), angle.cos()], dim=1)
