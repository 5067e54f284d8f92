"""A learned mixture of the layers of a model (ELMo, Peters et al. 2018, arXiv:1802.05365).

Which layer serves a task best differs from task to task; a head can learn it.

Shapes: L layers, ... any leading axes, D width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerMixture(nn.Module):
    """Mean of the layers' features with weights that are trained.

    Parameters
    ----------
    n_layers
        L; all have the same weight at first.
    """

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(n_layers))

    @property
    def weights(self) -> Tensor:
        """Return the weights (L,), not negative, sum 1."""
        return self.scores.softmax(0)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Mix L features (..., D), each scaled to unit length first; the result has it too."""
        if len(layers) != len(self.scores):
            raise ValueError(f"the mixture has {len(self.scores)} weights for {len(layers)} layers")
        unit = (F.normalize(layer, dim=-1) for layer in layers)
        mixed = torch.stack([w * x for w, x in zip(self.weights, unit, strict=True)]).sum(0)
        return F.normalize(mixed, dim=-1)
