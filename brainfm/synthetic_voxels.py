"""Synthetic voxels that answer to features of stimuli, in families: some like faces, others places.

Shapes: N stimuli, P features, V voxels, K kinds.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class VoxelFamily:
    """What voxels of one brain have in common.

    Parameters
    ----------
    n_features
        P.
    n_kinds
        K kinds of tuning; a voxel is of one kind.
    likeness
        Share of the variance of a voxel's weights that is its kind's, in [0, 1]; 0: every voxel is
        a kind of its own, and nothing can be learned of one from others.
    noise
        Deviation of the noise, in deviations of the response without it; infinite: noise alone.
    spread
        Features have variances from 1 to 1 / ``spread``, falling.
    seed
        Of the kinds.
    """

    n_features: int = 24
    n_kinds: int = 5
    likeness: float = 0.8
    noise: float = 1.0
    spread: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.n_features, self.n_kinds) < 1:
            raise ValueError(
                f"n_features and n_kinds must be at least 1, got {self.n_features}, {self.n_kinds}"
            )
        if not 0 <= self.likeness <= 1 or self.noise < 0 or self.spread < 1:
            raise ValueError(
                "likeness must lie in [0, 1], noise be 0 or more and spread 1 or more, got "
                f"{self.likeness}, {self.noise}, {self.spread}"
            )

    def stimuli(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw features (N, P)."""
        size = torch.logspace(0, -0.5, self.n_features, self.spread)
        return size * torch.randn(n, self.n_features, generator=generator)

    def weights(self, n_voxels: int, *, generator: torch.Generator) -> Tensor:
        """Draw weights (P, V) of voxels."""
        kinds = torch.randn(
            self.n_features, self.n_kinds, generator=torch.Generator().manual_seed(self.seed)
        )
        kind = torch.randint(self.n_kinds, (n_voxels,), generator=generator)
        own = torch.randn(self.n_features, n_voxels, generator=generator)
        return self.likeness**0.5 * kinds[:, kind] + (1 - self.likeness) ** 0.5 * own

    def responses(self, x: Tensor, weights: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return responses (N, V) to features (N, P), with noise, in units of deviation one."""
        size = torch.logspace(0, -0.5, self.n_features, self.spread)
        signal = x @ weights / (size[:, None] * weights).square().sum(0).sqrt()
        drawn = torch.randn(signal.shape, generator=generator)
        if self.noise == float("inf"):
            return drawn
        return (signal + self.noise * drawn) / (1 + self.noise**2) ** 0.5
