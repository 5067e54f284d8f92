"""Which channels the encoder does not see in training: it must tell them from the others.

Shapes: B batch, C sensors.
"""

import torch
from torch import Tensor


def hide_channels(
    mask: Tensor, share: float, *, generator: torch.Generator, same_for_all: bool = False
) -> Tensor:
    """Hide a share of the channels of every sample from the encoder, at least one stays.

    Parameters
    ----------
    mask
        (B, C) true where there is a channel.
    share
        Share of the channels hidden, in [0, 1).
    generator
        Source of randomness.
    same_for_all
        Hide the same ``floor(share * C)`` columns in the whole batch, as published; a sample that
        would have none left keeps all of its own.

    Returns
    -------
    Tensor
        (B, C) the channels that stay visible; ``floor(share * n)`` of n are hidden.
    """
    if same_for_all:
        n_channels = mask.shape[1]
        score = torch.rand(n_channels, generator=generator, device=generator.device)
        hidden = score.argsort().argsort() < int(share * n_channels)
        seen = mask & ~hidden.to(mask.device)
        return torch.where(seen.any(1, keepdim=True), seen, mask)
    score = torch.rand(mask.shape, generator=generator, device=generator.device).to(mask.device)
    rank = score.masked_fill(~mask, torch.inf).argsort(dim=1).argsort(dim=1)
    n_hidden = (share * mask.sum(1, keepdim=True)).floor()
    return mask & (rank >= n_hidden)
