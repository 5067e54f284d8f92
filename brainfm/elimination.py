"""Small linear systems, in operations that every runtime has.

``torch.linalg.solve`` is a call of LAPACK that graph formats such as ONNX have no word for. Where a
model is traced for one of them, products and differences take its place.

Shapes: N unknowns, M right-hand sides, ... any leading axes.
"""

import torch
from torch import Tensor


def solve_definite(a: Tensor, b: Tensor) -> Tensor:
    """Return x (..., N, M) with ``a x = b``; ``a`` (..., N, N) is symmetric, positive definite."""
    return eliminate(a, b) if torch.compiler.is_compiling() else torch.linalg.solve(a, b)


def eliminate(a: Tensor, b: Tensor) -> Tensor:
    """Solve by Gauss-Jordan elimination, a row at a time.

    Positive definite matrices need no exchange of rows: all pivots are positive.
    """
    n = a.shape[-1]
    eye = torch.eye(n, dtype=a.dtype, device=a.device)
    rows = torch.cat([a, b], dim=-1)
    for k in range(n):
        pivot = rows[..., k : k + 1, :] / rows[..., k : k + 1, k : k + 1]
        rows = rows - (rows[..., k : k + 1] - eye[:, k : k + 1]) * pivot
    return rows[..., n:]
