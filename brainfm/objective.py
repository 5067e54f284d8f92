"""What the tokenizer is trained for: waveforms that keep shape, topography and amplitude.

Targets stay in units of the recording's scale; they are not z-scored per channel, so that
amplitude and topography are part of the task.

Shapes: B batch, C sensors, W windows, L samples a window.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Weights of the terms of the tokenizer's loss.

    Parameters
    ----------
    amplitude
        Of the mean absolute error, in units of the recording's scale.
    shape
        Of one minus the correlation over time of each channel and window.
    commitment
        Of the distance between latents and codes.
    """

    amplitude: float = 1.0
    shape: float = 1.0
    commitment: float = 2.5


def correlation(estimate: Tensor, target: Tensor) -> Tensor:
    """Return Pearson's correlation along the last axis; 0 where either is constant."""
    a = estimate.float() - estimate.float().mean(-1, keepdim=True)
    b = target.float() - target.float().mean(-1, keepdim=True)
    norms = a.square().sum(-1) * b.square().sum(-1)
    flat = norms < 1e-12
    # The root's gradient is infinite at 0: keep it away from there before taking it.
    safe = torch.where(flat, torch.ones_like(norms), norms)
    return torch.where(flat, torch.zeros_like(norms), (a * b).sum(-1) * safe.rsqrt())


def channel_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average (B, C, W) over windows and the channels in ``mask`` (B, C); each window counts alike.

    Every sample of the batch has the same weight however many channels it has.
    """
    weight = mask / mask.sum(1, keepdim=True).clamp_min(1)
    return (values.mean(-1) * weight).sum() / mask.any(1).sum().clamp_min(1)


def reconstruction_terms(estimate: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return the unweighted loss terms of a reconstruction.

    Parameters
    ----------
    estimate, target
        (B, C, W, L) in units of the recording's scale.
    mask
        (B, C) channels that count.
    """
    error = (estimate.float() - target.float()).abs().mean(-1)
    return {
        "amplitude": channel_mean(error, mask),
        "shape": channel_mean(1 - correlation(estimate, target), mask),
    }


def weighted_sum(terms: dict[str, Tensor], cfg: ObjectiveConfig) -> Tensor:
    """Return the loss: every term times its weight."""
    weights = [getattr(cfg, name) * value for name, value in terms.items()]
    return torch.stack(weights).sum()


def hide_channels(mask: Tensor, share: float, *, generator: torch.Generator) -> Tensor:
    """Hide a share of the channels of every sample from the encoder, at least one stays.

    Parameters
    ----------
    mask
        (B, C) true where there is a channel.
    share
        Share of the channels hidden, in [0, 1).
    generator
        Source of randomness.

    Returns
    -------
    Tensor
        (B, C) the channels that stay visible; ``floor(share * n)`` of n are hidden.
    """
    score = torch.rand(mask.shape, generator=generator, device=generator.device).to(mask.device)
    rank = score.masked_fill(~mask, torch.inf).argsort(dim=1).argsort(dim=1)
    n_hidden = (share * mask.sum(1, keepdim=True)).floor()
    return mask & (rank >= n_hidden)
