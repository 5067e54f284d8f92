"""Prediction of codes by what they stand for: logits are the agreement with each code vector.

A free matrix learns each code's logits by itself, from the few tokens that bear it. Here a vector
is predicted for each level, and codes whose vectors are alike share what is learned: with Gaussian
noise around the vector, ``log p(k) = v . c_k / s^2 - |c_k|^2 / 2 s^2 + const``, a product and a
bias.

Shapes: ... any leading axes, Q levels, K codes a level, D width, E width of a code.
"""

import torch
from torch import Tensor, nn


class CodebookHead(nn.Module):
    """Logits of all levels in parallel.

    Parameters
    ----------
    width
        D.
    code_dim
        E.
    n_levels
        Q, levels to predict.
    codebook_size
        K.
    """

    def __init__(self, width: int, code_dim: int, n_levels: int, codebook_size: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.vectors = nn.Linear(width, n_levels * code_dim)
        self.bias = nn.Parameter(torch.zeros(n_levels, codebook_size))

    def forward(self, x: Tensor, codebooks: Tensor) -> Tensor:
        """Return logits (..., Q, K) of features (..., D) for codebooks (Q or more, K, E)."""
        n_levels = len(self.bias)
        vectors = self.vectors(self.norm(x)).unflatten(-1, (n_levels, -1))
        used = codebooks[:n_levels]
        # Higher levels have shorter codes: all are brought to a mean length of one.
        size = used.square().sum(-1).mean(-1).clamp_min(1e-12).sqrt()
        unit = (used / size[:, None, None]).to(vectors.dtype)
        flat = vectors.reshape(-1, n_levels, unit.shape[-1]).transpose(0, 1)
        logits = torch.baddbmm(self.bias.to(flat.dtype).unsqueeze(1), flat, unit.transpose(1, 2))
        return logits.transpose(0, 1).reshape(*x.shape[:-1], n_levels, -1)
