"""Rotary position encoding with real cosines and sines (Su et al. 2021, arXiv:2104.09864).

Complex buffers lose their imaginary part in DeepSpeed's consolidation; these are real, and not
part of the state dict at all.

Shapes: B batch, N tokens, H heads, D features of a head.
"""

from typing import Literal

import torch
from torch import Tensor

RotaryKind = Literal["per_head", "ladder", "cosine_only"]


def rotary_table(
    n_tokens: int,
    n_heads: int,
    head_dim: int,
    kind: RotaryKind,
    *,
    base: float = 10000.0,
    device: torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each (n_tokens, n_heads, head_dim / 2) float32.

    Parameters
    ----------
    n_tokens, n_heads, head_dim
        Sizes; ``head_dim`` is even.
    kind
        ``per_head``: every head has all frequencies (the standard). ``ladder``: one ladder over
        all heads, the first head gets the fastest (published BrainOmni). ``cosine_only``: as
        ``ladder`` with sine and cosine both replaced by the cosine factor, as in the published
        checkpoints whose imaginary part was lost.
    base
        Longest wavelength over 2 pi, tokens.
    device
        Where they are computed: nothing has to be copied there in every step.
    """
    if head_dim % 2:
        raise ValueError(f"rotary encoding needs an even head size, got {head_dim}")
    pairs = head_dim // 2
    if kind == "per_head":
        exponent = (torch.arange(pairs, device=device) / pairs).expand(n_heads, pairs)
    else:
        place = torch.arange(n_heads * pairs, device=device)
        exponent = (place / (n_heads * pairs)).view(n_heads, pairs)
    position = torch.arange(n_tokens, device=device).double()[:, None, None]
    angle = position * base ** -exponent.double()
    sine = torch.zeros_like(angle) if kind == "cosine_only" else angle.sin()
    return angle.cos().float(), sine.float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring pairs of features of (B, N, H, D) by the angles of each position.

    Computed in the precision of the angles, returned in that of ``x``.
    """
    even, odd = x[..., 0::2], x[..., 1::2]
    pairs = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return pairs.flatten(-2).to(x.dtype)
