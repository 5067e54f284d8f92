"""Learned weights of frames and sources (Ilse et al. 2018, arXiv:1802.04712).

Shapes: B trials, P frames, N sources, D width, Q queries.
"""

import math

import torch
from einops import einsum, rearrange
from torch import Tensor, nn

from .backbone import FeatureShape


class AttentionPooling(nn.Module):
    """Weighted means of all frames and sources, one for each learned query.

    A weight depends on what is there and on the source, not on the place of the frame.

    Parameters
    ----------
    shape
        Of the features.
    queries
        Q.
    """

    def __init__(self, shape: FeatureShape, queries: int) -> None:
        super().__init__()
        self.n_features = queries * shape.width
        self.norm = nn.LayerNorm(shape.width)
        self.source = nn.Parameter(torch.zeros(shape.sources, shape.width))
        # Small and different: queries that are alike would remain so.
        self.query = nn.Parameter(torch.randn(queries, shape.width) * 0.1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, Q D) of (B, P, N, D)."""
        keys = self.norm(features) + self.source
        score = einsum(self.query, keys, "q d, b p n d -> b q p n") / math.sqrt(keys.shape[-1])
        weight = rearrange(score.float(), "b q p n -> b q (p n)").softmax(-1).to(features.dtype)
        tokens = rearrange(features, "b p n d -> b (p n) d")
        return rearrange(weight @ tokens, "b q d -> b (q d)")
