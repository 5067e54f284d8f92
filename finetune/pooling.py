"""How features of frames and sources become one vector.

Shapes: B trials, P frames, N sources, D width, F pooled features.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from .backbone import FeatureShape


@dataclass(frozen=True, kw_only=True)
class PoolingConfig:
    """How to pool.

    Parameters
    ----------
    kind
        ``flat``: nothing is lost, (P N D). ``mean``: over frames, (N D). ``moments``: mean and
        standard deviation over frames, (2 N D). ``all``: mean over frames and sources, (D).
    """

    kind: Literal["flat", "mean", "moments", "all"] = "moments"


class Pooling(nn.Module):
    """Pool features; with ``per_frame``, over sources only."""

    def __init__(self, cfg: PoolingConfig, shape: FeatureShape, *, per_frame: bool = False) -> None:
        super().__init__()
        self.cfg, self.per_frame = cfg, per_frame
        frames, sources, width = shape
        sizes = {"flat": frames, "mean": 1, "moments": 2}
        whole = sources * width
        self.n_features = width if cfg.kind == "all" else sizes.get(cfg.kind, 1) * whole
        if per_frame and cfg.kind != "all":
            self.n_features = whole

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, F), or (B, P, F) if per frame, of (B, P, N, D)."""
        kind = self.cfg.kind
        if self.per_frame:
            if kind == "all":
                return features.mean(2)
            return rearrange(features, "b p n d -> b p (n d)")
        if kind == "flat":
            return rearrange(features, "b p n d -> b (p n d)")
        if kind == "all":
            return features.mean((1, 2))
        mean = features.mean(1)
        if kind == "moments":
            mean = torch.cat([mean, features.std(1, unbiased=False)], dim=-1)
        return rearrange(mean, "b n d -> b (n d)")
