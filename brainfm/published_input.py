"""What signals and positions look like when they reach a published BrainOmni model.

Its preprocessing (arXiv:2505.18185 and what was released with it), per segment of 30 s: from the
channels of each kind (EEG, magnetometers, gradiometers) their mean at every sample is taken away,
then all are divided by one number, their standard deviation over channels and samples plus a
constant in SI units. Positions of EEG sensors, and those of MEG sensors, are centred and divided by
``sqrt(3 * mean |r|^2)``.

The constant of EEG, 1e-5 V, is as large as EEG itself: features depend on gain and unit, as they do
in the published system. That is why signals come here with their SI scale.

Shapes: B batch, C sensors, T samples.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from brainfm.sensors import SENSOR_TYPES

KINDS = ("EEG", "magnetometer", "gradiometer")
"""Kinds of the published sensor table, by row."""
EPSILON = (1e-5, 1e-13, 1e-13)
"""Added to the standard deviation of each kind: V, T, and T or T/m."""


def published_kinds(types: Tensor, table: Mapping[str, int]) -> Tensor:
    """Return the published kind (B, C) of sensors.

    Parameters
    ----------
    types
        (B, C) codes of :data:`brainfm.sensors.SENSOR_TYPES`.
    table
        Row of the model's type table by name (``TokenizerConfig.types``).
    """
    rows = torch.full((1 + max(kind.code for kind in SENSOR_TYPES.values()),), -1)
    for name, row in table.items():
        rows[SENSOR_TYPES[name].code] = row
    return rows.to(types.device)[types]


def published_positions(positions: Tensor, kinds: Tensor, mask: Tensor) -> Tensor:
    """Centre and scale positions, EEG by itself and MEG by itself.

    Parameters
    ----------
    positions
        (B, C, 3) in any unit.
    kinds
        (B, C) from :func:`published_kinds`.
    mask
        (B, C) false for padding and bad channels, which come out as zero.

    Returns
    -------
    Tensor
        (B, C, 3) without unit. The single sensor of its kind lies at zero.
    """
    found = torch.zeros_like(positions, dtype=torch.float64)
    for group in (kinds == 0, kinds > 0):
        weight = (group & mask).double().unsqueeze(-1)
        count = weight.sum(1, keepdim=True).clamp_min(1)
        centred = (positions - (positions * weight).sum(1, keepdim=True) / count) * weight
        scale = (3 * centred.square().sum((1, 2), keepdim=True) / count).sqrt()
        found += centred / torch.where(scale > 0, scale, 1.0)
    return found.to(positions.dtype)


def published_signal(x: Tensor, kinds: Tensor, mask: Tensor, scale: Tensor) -> Tensor:
    """Standardise segments as the published preprocessing does.

    Parameters
    ----------
    x
        (B, C, T), one segment each.
    kinds
        (B, C) from :func:`published_kinds`.
    mask
        (B, C) false for padding and bad channels, which come out as zero.
    scale
        (B, C) SI value (V, T, T/m) of one unit of ``x``.

    Returns
    -------
    Tensor
        (B, C, T) float32 without unit.
    """
    si = x.double() * scale.double().unsqueeze(-1)
    found = torch.zeros_like(si)
    for kind, epsilon in enumerate(EPSILON):
        weight = ((kinds == kind) & mask).double().unsqueeze(-1)
        count = weight.sum(1, keepdim=True).clamp_min(1)
        centred = (si - (si * weight).sum(1, keepdim=True) / count) * weight
        # Means over channels are zero now, so the mean over all is zero too.
        variance = centred.square().sum((1, 2), keepdim=True) / (count * x.shape[-1])
        found += centred / (variance.sqrt() + epsilon)
    return found.float()
