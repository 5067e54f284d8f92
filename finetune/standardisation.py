"""Mean and deviation of what is to be decoded, over training trials.

Shapes: M' contents, T' frames, F features.
"""

import torch
from torch import Tensor


def moments(features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (F,) of features (M', F) or (M', T', F), rows counted (M',).

    A feature that never changes has deviation 1.
    """
    x = features.double().reshape(len(features), -1, features.shape[-1])
    weight = (counts / counts.sum()).double()[:, None, None].expand(-1, x.shape[1], 1) / x.shape[1]
    mean = (weight * x).sum((0, 1))
    deviation = (weight * (x - mean).square()).sum((0, 1)).sqrt()
    constant = deviation <= 1e-6 * mean.abs().clamp(min=1e-6)
    return mean.float(), torch.where(constant, 1.0, deviation).float()
