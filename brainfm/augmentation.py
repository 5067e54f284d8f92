"""Changes of a sensor array that should not change what a recording means.

Electrodes are placed anew every day, heads move in the helmet, channels fail, montages differ.
Training on such variants makes codes and features hold under them. Everything is drawn per sample
of the batch; the signals themselves stay as they are.

Shapes: B batch, C sensors.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from brainfm.batches import Batch


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """How arrays are varied; everything is off by default.

    Parameters
    ----------
    rotation_deg
        Standard deviation, degrees, of a rotation of the whole array about an axis through the
        head's origin with random direction.
    shift_m
        Standard deviation per axis, metres, of a shift of the whole array (coregistration error).
    jitter_m
        Standard deviation per axis, metres, of a shift of every sensor by itself. Sensors at one
        place (a magnetometer and its gradiometers) move together.
    drop_channels
        Each sample loses a share of its channels, uniform between 0 and this, in [0, 1).
    region_probability
        Probability, in [0, 1], that a sample loses all channels around a random one.
    region_m
        Radius of that region, metres.
    """

    rotation_deg: float = 0.0
    shift_m: float = 0.0
    jitter_m: float = 0.0
    drop_channels: float = 0.0
    region_probability: float = 0.0
    region_m: float = 0.03

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "shift_m", "jitter_m", "region_m"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {value}")
        if not 0 <= self.drop_channels < 1:
            raise ValueError(f"drop_channels must lie in [0, 1), got {self.drop_channels}")
        if not 0 <= self.region_probability <= 1:
            raise ValueError(
                f"region_probability must lie in [0, 1], got {self.region_probability}"
            )


NO_AUGMENTATION = AugmentationConfig()


def rotation_matrices(axes: Tensor, angles: Tensor) -> Tensor:
    """Return rotations (B, 3, 3) by ``angles`` (B,) radians about unit vectors ``axes`` (B, 3).

    Rodrigues: ``R = I + sin(a) K + (1 - cos(a)) K^2`` with K the cross product with the axis.
    """
    x, y, z = axes.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).view(-1, 3, 3)
    a = angles[:, None, None]
    eye = torch.eye(3, dtype=axes.dtype, device=axes.device)
    return eye + a.sin() * cross + (1 - a.cos()) * cross @ cross


def rotate(batch: Batch, rotations: Tensor) -> Batch:
    """Rotate positions and orientations of every sample by ``rotations`` (B, 3, 3)."""
    turned = rotations.transpose(1, 2)
    return batch._replace(
        positions=batch.positions @ turned, orientations=batch.orientations @ turned
    )


def shift(batch: Batch, offsets: Tensor) -> Batch:
    """Move sensors by ``offsets`` (B, C or 1, 3) metres; padding stays at zero."""
    real = batch.mask[..., None]
    return batch._replace(positions=batch.positions + offsets * real)


def keep_channels(batch: Batch, keep: Tensor) -> Batch:
    """Turn the channels outside ``keep`` (B, C) into padding."""
    mask = batch.mask & keep
    return batch._replace(mask=mask, x=batch.x * mask[..., None])


def random_rotations(n: int, degrees: float, *, generator: torch.Generator) -> Tensor:
    """Draw rotations (n, 3, 3): any axis, angles normal with this standard deviation."""
    axes = torch.nn.functional.normalize(_normal((n, 3), generator), dim=-1)
    return rotation_matrices(axes, _normal((n,), generator) * math.radians(degrees))


def place_jitter(positions: Tensor, metres: float, *, generator: torch.Generator) -> Tensor:
    """Draw an offset for every place (B, C, 3); sensors that share a place share it."""
    noise = metres * _normal(tuple(positions.shape), generator)
    apart = torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist")
    first = (apart < 1e-4).int().argmax(-1)
    return noise.gather(1, first[..., None].expand_as(noise))


def random_subset(mask: Tensor, most: float, *, generator: torch.Generator) -> Tensor:
    """Keep, in every sample, all but a random share up to ``most`` of its channels, (B, C)."""
    share = most * _uniform((len(mask), 1), generator)
    score = _uniform(tuple(mask.shape), generator).masked_fill(~mask, torch.inf)
    rank = score.argsort(1).argsort(1)
    return mask & (rank >= (share * mask.sum(1, keepdim=True)).floor())


def outside_region(
    positions: Tensor, mask: Tensor, radius: float, *, generator: torch.Generator
) -> Tensor:
    """Drop, in every sample, the sensors within ``radius`` metres of a random one, (B, C).

    A sample that would lose everything keeps everything.
    """
    score = _uniform(tuple(mask.shape), generator).masked_fill(~mask, -1.0)
    centre = positions.gather(1, score.argmax(1)[:, None, None].expand(-1, 1, 3))
    keep = mask & ((positions - centre).norm(dim=-1) > radius)
    return torch.where(keep.any(1, keepdim=True), keep, mask)


def augment(batch: Batch, cfg: AugmentationConfig, *, generator: torch.Generator) -> Batch:
    """Return the batch with other arrays; what ``cfg`` leaves at 0 stays bit for bit.

    Parameters
    ----------
    batch
        What is varied; it stays as it is.
    cfg
        What changes.
    generator
        Source of randomness, on the batch's device.
    """
    n = len(batch.x)
    if cfg.drop_channels:
        kept = random_subset(batch.mask, cfg.drop_channels, generator=generator)
        batch = keep_channels(batch, kept)
    if cfg.region_probability:
        kept = outside_region(batch.positions, batch.mask, cfg.region_m, generator=generator)
        hit = _uniform((n, 1), generator) < cfg.region_probability
        batch = keep_channels(batch, kept | ~hit)
    if cfg.jitter_m:
        batch = shift(batch, place_jitter(batch.positions, cfg.jitter_m, generator=generator))
    if cfg.rotation_deg:
        batch = rotate(batch, random_rotations(n, cfg.rotation_deg, generator=generator))
    if cfg.shift_m:
        batch = shift(batch, cfg.shift_m * _normal((n, 1, 3), generator))
    return batch


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)
