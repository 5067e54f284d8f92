"""Sensors as linear mixtures of latent sources: one matrix, made from geometry, both ways.

What M/EEG sensors measure is linear in the currents of the brain: a *lead field* G (C, N) says what
source n gives at sensor c. Here it is learned as a function of where and what a sensor is, so that
it exists for every array. Spreading sources over sensors is G; gathering is its regularised inverse
(minimum norm, Hämäläinen & Ilmoniemi 1994, doi:10.1007/BF02512476), which weighs sensors by how
many there are, where they are and how noisy their kind is. Nothing depends on the signal: amplitude
and topography pass, sensors are a set, and a signal costs one product per sample instead of a
network per sensor.

Shapes: B batch, C sensors, N sources, T samples, D width.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from brainfm.elimination import solve_definite


class Mixing(NamedTuple):
    """Lead field G (B, C, N) and the sensors' precision, one over noise variance, (B, C, 1)."""

    field: Tensor
    precision: Tensor


class LeadField(nn.Module):
    """Mixing matrix of an array, computed from its sensors' embeddings.

    Parameters
    ----------
    width
        D, of the sensors' embeddings.
    n_sources
        N.
    """

    def __init__(self, width: int, n_sources: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(n_sources, width))
        self.precision = nn.Linear(width, 1)
        nn.init.zeros_(self.precision.weight)
        nn.init.zeros_(self.precision.bias)

    def forward(self, sensors: Tensor) -> Mixing:
        """Return how sources mix at sensors with embeddings (B, C, D), float32.

        Embeddings have unit mean square, so the matrix's entries start with unit variance. Weights
        are read here only: engines that shard them gather them for a module's forward pass.
        """
        with torch.autocast(device_type=sensors.device.type, enabled=False):
            field = sensors.float() @ self.queries.float().T / self.queries.shape[1] ** 0.5
            log_precision = self.precision(sensors.to(self.precision.weight.dtype)).float()
            return Mixing(field, log_precision.clamp(-8, 8).exp())

    def gather(self, x: Tensor, sensors: Tensor, mask: Tensor) -> Tensor:
        """Estimate the sources (B, N, T) of signals (B, C, T); sensors outside the mask are unseen.

        ``(G' R^-1 G + I)^-1 G' R^-1 x``: the most probable sources if they are independent with
        unit variance and sensor c has noise of variance ``R_cc``.
        """
        field, precision = self(sensors)
        with torch.autocast(device_type=x.device.type, enabled=False):
            weighted = field * (precision * mask.unsqueeze(-1))
            normal = weighted.transpose(1, 2) @ field
            normal = normal + torch.eye(normal.shape[-1], device=x.device)
            inverse = solve_definite(normal, weighted.transpose(1, 2))
            # What stands in unseen channels may be anything, also not finite.
            return inverse @ x.float().masked_fill(~mask.unsqueeze(-1), 0.0)

    def spread(self, sources: Tensor, sensors: Tensor) -> Tensor:
        """Return the signals (B, C, T) that sources (B, N, T) give at sensors."""
        field, _ = self(sensors)
        with torch.autocast(device_type=sources.device.type, enabled=False):
            return field @ sources.float()
