"""A transformer block whose attention crosses time and latent sources.

The features are split in two halves, one attending over time and one over sources (CBraMod's
criss-cross attention, arXiv:2412.07236): the cost grows with frames plus sources, not with their
product.

Shapes: B batch, N sources or tokens, P frames, D width.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from brainfm.rotary import rotate
from brainfm.sensor_embedding import feed_forward


class AxisAttention(nn.Module):
    """Self-attention along the second axis of (B, N, D)."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Map (B, N, D) to (B, N, D), rotated by the positions' angles where they are given."""
        q, k, v = rearrange(
            self.qkv(x), "b n (three h d) -> three b n h d", three=3, h=self.n_heads
        )
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(rearrange(y, "b h n d -> b n (h d)"))


class CrissCrossBlock(nn.Module):
    """One half of the features attends over time, the other over sources; then feed-forward.

    Parameters
    ----------
    width
        D.
    n_heads
        Heads, half of them for time.
    dropout
        Of attention weights and feed-forward.
    swap
        Concatenate the halves in the order source, time.
    """

    def __init__(self, width: int, n_heads: int, *, dropout: float, swap: bool) -> None:
        super().__init__()
        self.swap = swap
        self.attention_norm = nn.RMSNorm(width, eps=1e-6)
        self.time = AxisAttention(width // 2, n_heads // 2, dropout)
        self.source = AxisAttention(width // 2, n_heads // 2, dropout)
        self.mlp_norm = nn.RMSNorm(width, eps=1e-6)
        self.mlp = feed_forward(width, 4 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Map (B, N, P, D) to (B, N, P, D)."""
        n_batch = x.shape[0]
        first, second = self.attention_norm(x).chunk(2, dim=-1)
        over_time = self.time(rearrange(first, "b n p d -> (b n) p d"), rotary)
        over_time = rearrange(over_time, "(b n) p d -> b n p d", b=n_batch)
        over_sources = self.source(rearrange(second, "b n p d -> (b p) n d"))
        over_sources = rearrange(over_sources, "(b p) n d -> b n p d", b=n_batch)
        halves = (over_sources, over_time) if self.swap else (over_time, over_sources)
        x = x + self.dropout(torch.cat(halves, dim=-1))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))
