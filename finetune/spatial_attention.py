"""Attention over sensor positions (Défossez et al. 2023, doi:10.1038/s42256-023-00714-5).

Each virtual channel is a weighted mean of the sensors. The weights are a softmax over sensors of a
learned function of where a sensor is: a Fourier series over the flattened head. Kind and coil
direction add to it, so that magnetometers and planar gradiometers at one place differ.

Shapes: B batch, C sensors, T samples, V virtual channels, K harmonics.
"""

import math

import torch
from torch import Tensor, nn

from brainfm.batches import Batch
from brainfm.sensors import ELECTROMAGNETIC, SENSOR_TYPES

CENTRE_M = (0.0, 0.0, 0.04)
"""Centre of the head in head coordinates, m."""
MARGIN = 0.1
"""Of the unit square that is left free on each side, so that its period spans no neighbours."""


def flatten(positions: Tensor) -> Tensor:
    """Project positions (..., 3), m, onto the unit square (..., 2): azimuthal equidistant.

    The vertex is its centre; the distance from it is the angle seen from the head's centre.
    """
    offset = positions - positions.new_tensor(CENTRE_M)
    across = offset[..., :2]
    radius = across.norm(dim=-1)
    # The length of the difference has no gradient at zero, and needs none: positions are data.
    angle = torch.atan2(radius, offset[..., 2]) / math.pi
    flat = across / radius.clamp_min(1e-9).unsqueeze(-1) * angle.unsqueeze(-1)
    return 0.5 + (0.5 - MARGIN) * flat


class SpatialAttention(nn.Module):
    """Sensors to virtual channels.

    Parameters
    ----------
    n_virtual
        V.
    harmonics
        K, of the Fourier series in each of the two directions.
    dropout
        Radius, in units of the square, around a random place within which sensors are left out in
        training; 0: none.
    """

    def __init__(self, n_virtual: int, harmonics: int, dropout: float) -> None:
        super().__init__()
        self.harmonics, self.dropout = harmonics, dropout
        n_waves = 2 * harmonics**2
        self.place = nn.Parameter(torch.randn(n_virtual, n_waves) * n_waves**-0.5)
        n_kinds = 1 + max(SENSOR_TYPES[name].code for name in ELECTROMAGNETIC)
        self.kind = nn.Parameter(torch.zeros(n_virtual, n_kinds + 3))

    def forward(self, signal: Batch) -> Tensor:
        """Return virtual channels (B, V, T); a trial without any sensor becomes zero."""
        flat = flatten(signal.positions)
        number = torch.arange(self.harmonics, device=flat.device, dtype=flat.dtype)
        phase = flat[..., 0, None, None] * number[:, None] + flat[..., 1, None, None] * number
        phase = 2 * math.pi * phase.flatten(-2)
        waves = torch.cat([phase.cos(), phase.sin()], dim=-1)
        n_kinds = self.kind.shape[1] - 3
        kinds = nn.functional.one_hot(signal.types, n_kinds).to(flat.dtype)
        kinds = torch.cat([kinds, signal.orientations], dim=-1)
        score = waves @ self.place.T + kinds @ self.kind.T
        seen = self._seen(flat, signal.mask)
        score = score.masked_fill(~seen.unsqueeze(-1), -math.inf)
        # Without any sensor the softmax is not a number.
        weight = score.softmax(dim=1).nan_to_num(0.0)
        x = signal.x.masked_fill(~signal.mask.unsqueeze(-1), 0.0)
        return torch.einsum("bcv,bct->bvt", weight.to(x.dtype), x)

    def _seen(self, flat: Tensor, mask: Tensor) -> Tensor:
        """Return which sensors (B, C) are looked at; a place is left out in training."""
        if not (self.training and self.dropout):
            return mask
        place = torch.rand(2, device=flat.device, dtype=flat.dtype)
        left = mask & ((flat - place).norm(dim=-1) > self.dropout)
        # A small array may lie inside the hole altogether.
        return torch.where(left.any(1, keepdim=True), left, mask)
