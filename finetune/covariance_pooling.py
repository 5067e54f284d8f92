"""Covariance of sources, made linear by the matrix logarithm (Arsigny et al. 2007, SIMAX 29:328).

The logarithm makes a covariance a vector whose distances are those of log-Euclidean geometry; a
linear readout on it is what tangent-space classifiers do (Barachant et al. 2012, TBME 59:920).

Shapes: B trials, P frames, N sources, D width, K components.
"""

import math
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from .backbone import FeatureShape


class UpperTriangle(nn.Module):
    """Symmetric matrices as vectors of the same length: each value of the upper triangle once."""

    place: Tensor
    weight: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        row, column = torch.triu_indices(n, n)
        self.register_buffer("place", row * n + column, persistent=False)
        # Off the diagonal every value stands for two.
        self.register_buffer(
            "weight", torch.where(row == column, 1.0, math.sqrt(2)), persistent=False
        )
        self.n_features = len(row)

    def forward(self, matrix: Tensor) -> Tensor:
        """Return vectors (..., N (N + 1) / 2) of matrices (..., N, N)."""
        return matrix.flatten(-2)[..., self.place] * self.weight


class CovariancePooling(nn.Module):
    """Logarithm of the covariance of sources over frames.

    Parameters
    ----------
    shape
        Of the features.
    components
        K directions in D that are learned, each with its covariance; 0: one covariance, the mean
        over D, and nothing is learned.
    shrinkage
        Share of the mean variance in every covariance, which keeps it regular.
    """

    def __init__(self, shape: FeatureShape, components: int, shrinkage: float) -> None:
        super().__init__()
        self.components, self.shrinkage = components, shrinkage
        self.upper = UpperTriangle(shape.sources)
        self.n_features = max(1, components) * self.upper.n_features
        if components:
            self.direction = nn.Parameter(torch.empty(components, shape.width))
            nn.init.orthogonal_(self.direction)

    def forward(self, features: Tensor) -> Tensor:
        """Return upper triangles (B, K N (N + 1) / 2) of (B, P, N, D)."""
        with torch.autocast(features.device.type, enabled=False):
            x = features.double()
            x = x - x.mean(1, keepdim=True)
            if self.components:
                x = rearrange(x @ self.direction.double().T, "b p n k -> b k n p")
            else:
                x = rearrange(x, "b p n d -> b 1 n (p d)")
            log = matrix_log(shrunk(x @ x.mT / x.shape[-1], self.shrinkage))
            flat = self.upper(log)
        return rearrange(flat, "b k f -> b (k f)").float()


def shrunk(covariance: Tensor, shrinkage: float) -> Tensor:
    """Return covariances (..., N, N) with a share of their mean variance in every direction."""
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    mean = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    # A trial without any signal is not singular either.
    return (1 - shrinkage) * covariance + (shrinkage * mean + 1e-10) * eye


class _MatrixLog(torch.autograd.Function):
    """Logarithm by eigenvectors; its gradient by divided differences (Daleckii and Krein 1965).

    torch's own gradient of eigenvectors divides by differences of eigenvalues, which is infinite
    where two are equal; that of the logarithm is not.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        value, vector = torch.linalg.eigh(matrix)
        ctx.save_for_backward(value, vector)
        return (vector * value.log()[..., None, :]) @ vector.mT

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        value, vector = ctx.saved_tensors
        a, b = value[..., :, None], value[..., None, :]
        # log(a / b) / (a - b) = 2 artanh(x) / (x (a + b)) with x = (a - b) / (a + b).
        x = (a - b) / (a + b)
        near = x.abs() < 1e-4
        safe = torch.where(near, torch.ones_like(x) / 2, x)
        slope = 2 / (a + b) * torch.where(near, 1 + x.square() / 3, safe.atanh() / safe)
        gradient = (gradients[0] + gradients[0].mT) / 2
        return vector @ (slope * (vector.mT @ gradient @ vector)) @ vector.mT


def matrix_log(matrix: Tensor) -> Tensor:
    """Return the logarithm of symmetric positive definite matrices (..., N, N)."""
    result: Tensor = _MatrixLog.apply(matrix)
    return result
