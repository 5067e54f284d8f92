"""The course of sources that are waveforms, as slow as an evoked response.

Shapes: B trials, P frames, N sources, D samples of a frame, S stretches.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .backbone import FeatureShape


class CoursePooling(nn.Module):
    """Mean of every source over each of S equal stretches of the trial; nothing is learned.

    Neighbouring samples of a waveform say nearly the same: a readout of all of them learns their
    noise.

    Parameters
    ----------
    shape
        Of the features.
    stretches
        S, at most the samples of a trial.
    """

    def __init__(self, shape: FeatureShape, stretches: int) -> None:
        super().__init__()
        n_times = shape.frames * shape.width
        if stretches > n_times:
            raise ValueError(f"a trial of {n_times} samples has no {stretches} stretches")
        self.stretches = stretches
        self.n_features = shape.sources * stretches

    def forward(self, features: Tensor) -> Tensor:
        """Return means (B, N S) of (B, P, N, D)."""
        x = rearrange(features.float(), "b p n d -> b n (p d)")
        return F.adaptive_avg_pool1d(x, self.stretches).flatten(1)
