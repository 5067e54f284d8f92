"""Functions of many shifted matrices from a few products with each (Golub and Meurant 2010).

After m steps of Lanczos from a vector v, v'(G + a)^-1 v is close to a continued fraction of the
coefficients, for every shift a at once. Summed over random signs, it is the trace of the inverse
(Hutchinson 1990). So the errors of all penalties of a ridge regression cost some matrix-vector
products rather than a decomposition.

Shapes: B matrices, K rows, V vectors, M steps, L shifts.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Forms(NamedTuple):
    """``once`` v'(G + a)^-1 v and ``twice`` v'(G + a)^-2 v, each (L, B, V)."""

    once: Tensor
    twice: Tensor


def lanczos(gram: Tensor, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return coefficients (M, B, V) on and beside the diagonal.

    Without reorthogonalisation: the quadrature stays right in finite precision, it only converges
    later.

    Parameters
    ----------
    gram
        (B, K, K) symmetric.
    start
        (B, V, K) vectors; a zero one has coefficients zero.
    steps
        M.
    """
    tiny = torch.finfo(start.dtype).tiny
    vector = start / start.norm(dim=-1, keepdim=True).clamp_min(tiny)
    before, beside = torch.zeros_like(vector), start.new_zeros(start.shape[:2])
    # Below this a new direction is rounding: the Krylov space is exhausted.
    floor = 10 * torch.finfo(start.dtype).eps * gram.diagonal(dim1=1, dim2=2).sum(1)[:, None]
    on_diagonal, off_diagonal = [], []
    for _ in range(steps):
        product = torch.baddbmm(before * -beside[..., None], vector, gram)
        on = (product * vector).sum(-1)
        product = torch.addcmul(product, vector, on[..., None], value=-1)
        size = product.norm(dim=-1)
        beside = torch.where(size > floor, size, 0.0)
        before, vector = vector, product * torch.where(beside > 0, 1 / size, 0.0)[..., None]
        on_diagonal.append(on)
        off_diagonal.append(beside)
    return torch.stack(on_diagonal), torch.stack(off_diagonal)


def quadratic_forms(on: Tensor, off: Tensor, power: Tensor, shifts: Tensor) -> Forms:
    """Return the forms of vectors of squared length ``power`` (B, V) for shifts (L, B).

    The continued fraction is evaluated from its end, with its derivative by the shift.
    """
    on, off, shift = on.double(), off.double().square(), shifts.double()[:, :, None]
    value = torch.zeros(1, dtype=torch.float64, device=on.device)
    slope = torch.zeros_like(value)
    for a, b in zip(on.flip(0), off.flip(0), strict=True):
        value, slope = 1 / (a + shift - b * value), 1 - b * slope
        slope = -slope * value.square()
    return Forms(power * value, -power * slope)
