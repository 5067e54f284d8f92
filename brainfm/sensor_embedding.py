"""Embedding of where and what a sensor is (BrainOmni, arXiv:2505.18185, section 3.1).

Shapes: B batch, C sensors, D width.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from brainfm.sensors import SENSOR_TYPES


def feed_forward(width: int, hidden: int) -> nn.Sequential:
    """Return ``width -> hidden -> width`` with a SELU between."""
    return nn.Sequential(nn.Linear(width, hidden), nn.SELU(), nn.Linear(hidden, width))


class SensorEmbedding(nn.Module):
    """Position, orientation and type of a sensor as one vector.

    Parameters
    ----------
    width
        D.
    types
        Row of the type table for each name of :data:`brainfm.sensors.SENSOR_TYPES` the model knows.
    position_scale
        Metres that one unit of the network's input stands for: 1 as published; 0.1 (about a
        head's radius) makes neighbouring sensors differ by more than rounding.
    fourier_bands
        Octaves of sines and cosines of the scaled position added to the six raw numbers; 0 as
        published.
    """

    def __init__(
        self,
        width: int,
        types: Mapping[str, int],
        *,
        position_scale: float = 0.1,
        fourier_bands: int = 4,
    ) -> None:
        super().__init__()
        self.position_scale = position_scale
        self.fourier_bands = fourier_bands
        self.position = nn.Sequential(
            nn.Linear(6 + 6 * fourier_bands, width // 2), nn.SELU(), nn.Linear(width // 2, width)
        )
        self.kind = nn.Embedding(max(types.values()) + 1, width)
        self.mix = feed_forward(width, 4 * width)
        self.norm = nn.RMSNorm(width, eps=1e-6)
        rows = torch.full((1 + max(t.code for t in SENSOR_TYPES.values()),), -1)
        for name, row in types.items():
            rows[SENSOR_TYPES[name].code] = row
        self.register_buffer("rows", rows, persistent=False)
        self.rows: Tensor

    def forward(self, positions: Tensor, orientations: Tensor, types: Tensor) -> Tensor:
        """Embed sensors.

        Parameters
        ----------
        positions
            (B, C, 3) metres in head coordinates.
        orientations
            (B, C, 3) unit vectors or zero.
        types
            (B, C) codes of :data:`brainfm.sensors.SENSOR_TYPES`; every one must be among the
            model's (checked where recordings meet the model, not here).

        Returns
        -------
        Tensor
            (B, C, D).
        """
        scaled = positions / self.position_scale
        geometry = [scaled, orientations]
        for octave in range(self.fourier_bands):
            angle = scaled * (math.pi / 4 * 2**octave)
            geometry += [angle.sin(), angle.cos()]
        row = self.rows[types].clamp_min(0)
        embedding = self.position(torch.cat(geometry, dim=-1)) + self.kind(row)
        embedding = embedding + self.mix(embedding)
        return self.norm(embedding.float()).to(embedding.dtype)
