"""Power of features over frames, as of a filter bank (Schirrmeister et al. 2017, HBM 38:5391).

Shapes: B trials, P frames, N sources, D width, F filters.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from .backbone import FeatureShape

FLOOR = 1e-6
"""Power that is added before the logarithm: features are of order one."""


class PowerPooling(nn.Module):
    """Filter, square, average over frames, take the logarithm.

    A filter is a weighted sum over sources, width and ``taps`` frames, the spatial and the temporal
    filter of a shallow network in one. Its power does not depend on the order of frames where it
    sees one of them.

    Parameters
    ----------
    shape
        Of the features.
    filters
        F; 0: every feature is a filter, (N D), and nothing is learned.
    taps
        Frames that a filter sees.
    """

    def __init__(self, shape: FeatureShape, filters: int, taps: int) -> None:
        super().__init__()
        n_in = shape.sources * shape.width
        self.filters = filters
        self.n_features = filters or n_in
        if filters:
            # No bias: a constant would be power.
            self.filter = nn.Conv1d(n_in, filters, taps, padding=taps // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return log power (B, F) of (B, P, N, D)."""
        x = rearrange(features, "b p n d -> b (n d) p")
        if self.filters:
            x = self.filter(x)
        return torch.log(x.float().square().mean(-1) + FLOOR)
