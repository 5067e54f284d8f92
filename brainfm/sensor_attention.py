"""Attention from sensors to latent sources and back, latent frame by latent frame.

Shapes: B batch, C sensors, F frames, N sources, D width, H heads.
"""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn


def linear(n_in: int, n_out: int, *, input_rms: float = 1.0) -> nn.Linear:
    """Return a linear layer that starts with unit variance out for ``input_rms`` in."""
    layer = nn.Linear(n_in, n_out)
    nn.init.normal_(layer.weight, std=n_in**-0.5 / input_rms)
    nn.init.zeros_(layer.bias)
    return layer


class SourceAttention(nn.Module):
    """Gather sensors into latent sources: attention with N learned queries, frame by frame."""

    def __init__(self, width: int, n_sources: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.queries = nn.Parameter(torch.randn(n_sources, width))
        self.key = linear(width, width)
        self.value = linear(width, width)
        self.out = linear(width, width)

    def forward(self, z: Tensor, sensors: Tensor, mask: Tensor) -> Tensor:
        """Map latents (B, C, F, D) of F frames and sensor embeddings to (B, N, F, D)."""
        n_frames = z.shape[2]
        # Linear is additive: the sensors' share of the keys is the same in every frame.
        key = self.key(z) + F.linear(sensors, self.key.weight).unsqueeze(2)
        heads = {"h": self.n_heads}
        q_BHND = repeat(self.queries, "n (h d) -> b h n d", b=z.shape[0] * n_frames, **heads)
        k_BHCD = rearrange(key, "b c f (h d) -> (b f) h c d", **heads)
        v_BHCD = rearrange(self.value(z), "b c f (h d) -> (b f) h c d", **heads)
        allowed = repeat(mask, "b c -> (b f) 1 1 c", f=n_frames)
        y = F.scaled_dot_product_attention(q_BHND, k_BHCD, v_BHCD, attn_mask=allowed)
        return self.out(rearrange(y, "(b f) h n d -> b n f (h d)", f=n_frames))


class SensorAttention(nn.Module):
    """Spread latent sources over sensors: attention with the sensors' embeddings as queries.

    With ``name_sources`` a learned vector per source is added to its keys, so that a sensor can
    listen to a source for what it is and not only for what it says. As published, without: then
    every sensor starts with nearly the same mixture, a plateau that training has to leave first.
    """

    def __init__(self, width: int, n_sources: int, n_heads: int, *, name_sources: bool) -> None:
        super().__init__()
        self.n_heads = n_heads
        # Quantized latents have about unit length: each of their D numbers is about D ** -0.5.
        self.key_value = linear(width, 2 * width, input_rms=width**-0.5)
        self.out = linear(width, width)
        self.source_keys = nn.Parameter(torch.randn(n_sources, width)) if name_sources else None

    def forward(self, z: Tensor, sensors: Tensor) -> Tensor:
        """Map sources (B, N, F, D) and sensor embeddings (B, C, D) to (B, C, F, D)."""
        n_frames = z.shape[2]
        heads = {"h": self.n_heads}
        q_BHCD = repeat(sensors, "b c (h d) -> (b f) h c d", f=n_frames, **heads)
        k_BHND, v_BHND = rearrange(
            self.key_value(z), "b n f (two h d) -> two (b f) h n d", two=2, **heads
        )
        if self.source_keys is not None:
            k_BHND = k_BHND + rearrange(self.source_keys, "n (h d) -> h n d", **heads)
        y = F.scaled_dot_product_attention(q_BHCD, k_BHND, v_BHND)
        return self.out(rearrange(y, "(b f) h c d -> b c f (h d)", f=n_frames))
