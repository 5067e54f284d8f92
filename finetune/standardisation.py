"""Mean and deviation of what is to be decoded, over training trials.

Shapes: M' contents, M all contents, K training trials, T' frames, F features.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_FEATURES = 4096
"""Of a content as one vector; features in time are averaged over time if there are more."""


def moments(features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the features of contents, each counted (M',) times.

    Features (M', F) have a mean and a deviation (F,). Features with frames (M', T', F) have a mean
    of every frame (T', F), since the course in time that all contents share would make some of them
    resemble every query, and one deviation (F,) around it, which keeps how much each frame varies.
    A feature that never changes has deviation 1.
    """
    x, weight = features.double(), (counts / counts.sum()).double()
    mean = torch.einsum("m,m...->...", weight, x)
    variance = torch.einsum("m,m...->...", weight, (x - mean).square())
    size = mean.abs()
    if x.ndim > 2:
        variance, size = variance.mean(0), size.amax(0)
    deviation = variance.sqrt()
    constant = deviation <= 1e-6 * size.clamp(min=1e-6)
    return mean.float(), torch.where(constant, 1.0, deviation).float()


def standardised(values: NDArray[Any], training: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return features (M, ...) as vectors (M, F), less :func:`moments` of the training trials.

    Parameters
    ----------
    values
        Features of all contents.
    training
        (K,) contents of the training trials, each as often as it occurs.
    """
    if values.ndim > 2 and values[0].size > MAX_FEATURES:
        values = values.mean(1)
    x = torch.from_numpy(np.array(values, dtype=np.float32))
    rows, counts = np.unique(training, return_counts=True)
    mean, deviation = moments(x[rows], torch.from_numpy(counts))
    return ((x - mean) / deviation).flatten(1).numpy()
