"""Masked transformer over codes: attention crosses time and latent sources.

BrainOmni (arXiv:2505.18185), section 3.3; the split of the features in two halves, one attending
over time and one over sources, is CBraMod's criss-cross attention (arXiv:2412.07236).

Shapes: B batch, N sources, P frames, Q quantizers, K codes a level, D width, E width of a code.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from brainfm.rotary import RotaryKind, rotary_table, rotate
from brainfm.sensor_embedding import feed_forward


@dataclass(frozen=True, kw_only=True)
class MaskedModelConfig:
    """Architecture of the masked model. Sizes of the codes come from the tokenizer.

    Parameters
    ----------
    width
        D, features of a token.
    n_heads
        Heads of a block; half of them attend over time, half over sources.
    depth
        Blocks.
    dropout
        Of attention weights and feed-forward, in [0, 1); off in eval.
    rotary
        How positions in time enter; see :func:`brainfm.rotary.rotary_table`.
    swap_halves
        Concatenate the halves in the order source, time, so that they swap places in every block
        (published BrainOmni).
    predicted_levels
        Levels of codes that the head predicts, the first ones; None is all.
    """

    width: int = 256
    n_heads: int = 8
    depth: int = 12
    dropout: float = 0.0
    rotary: RotaryKind = "per_head"
    swap_halves: bool = False
    predicted_levels: int | None = None

    def __post_init__(self) -> None:
        if self.n_heads % 2 or self.width % (2 * self.n_heads):
            raise ValueError(
                f"n_heads must be even and width a multiple of twice n_heads, got "
                f"n_heads={self.n_heads}, width={self.width}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        if self.predicted_levels is not None and self.predicted_levels < 1:
            raise ValueError(f"predicted_levels must be at least 1, got {self.predicted_levels}")


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
    """One half of the features attends over time, the other over sources; then feed-forward."""

    def __init__(self, cfg: MaskedModelConfig) -> None:
        super().__init__()
        half, heads = cfg.width // 2, cfg.n_heads // 2
        self.swap = cfg.swap_halves
        self.attention_norm = nn.RMSNorm(cfg.width, eps=1e-6)
        self.time = AxisAttention(half, heads, cfg.dropout)
        self.source = AxisAttention(half, heads, cfg.dropout)
        self.mlp_norm = nn.RMSNorm(cfg.width, eps=1e-6)
        self.mlp = feed_forward(cfg.width, 4 * cfg.width)
        self.dropout = nn.Dropout(cfg.dropout)

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


class MaskedBrainModel(nn.Module):
    """Predict hidden codes from the others.

    Parameters
    ----------
    cfg
        Architecture.
    codebooks
        (Q, K, E) code vectors of the tokenizer; not trained and not saved here.
    sources
        (N, E) the tokenizer's source queries, which name the sources; likewise.
    """

    def __init__(self, cfg: MaskedModelConfig, codebooks: Tensor, sources: Tensor) -> None:
        super().__init__()
        self.cfg = cfg
        self.n_quantizers, self.codebook_size, code_dim = codebooks.shape
        self.n_predicted = cfg.predicted_levels or self.n_quantizers
        if self.n_predicted > self.n_quantizers:
            raise ValueError(
                f"predicted_levels is {self.n_predicted}, the tokenizer has {self.n_quantizers}"
            )
        self.register_buffer("codebooks", codebooks.detach().clone(), persistent=False)
        self.register_buffer("sources", sources.detach().clone(), persistent=False)
        self.codebooks: Tensor
        self.sources: Tensor
        self.mask_token = nn.Parameter(torch.randn(code_dim) / code_dim**0.5)
        self.project: nn.Module = (
            nn.Identity() if code_dim == cfg.width else nn.Linear(code_dim, cfg.width)
        )
        self.blocks = nn.ModuleList(CrissCrossBlock(cfg) for _ in range(cfg.depth))
        self.head = nn.Linear(cfg.width, self.n_predicted * self.codebook_size)
        self.activation_checkpointing = False

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Return the sum of the code vectors (..., E) of codes (..., Q)."""
        offset = torch.arange(self.n_quantizers, device=codes.device) * self.codebook_size
        table = self.codebooks.flatten(0, 1)
        return F.embedding_bag((codes.long() + offset).flatten(0, -2), table, mode="sum").unflatten(
            0, codes.shape[:-1]
        )

    def embed(self, vectors: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Turn code vectors (B, N, P, E) into tokens (B, N, P, D).

        ``hidden`` (B, N, P) is true where the vector is replaced by the mask token.
        """
        if hidden is not None:
            vectors = torch.where(hidden.unsqueeze(-1), self.mask_token.to(vectors), vectors)
        return self.project(vectors + self.sources[:, None, :].to(vectors))

    def run_blocks(self, x: Tensor, *, keep: bool = False) -> list[Tensor]:
        """Run tokens (B, N, P, D) through all blocks.

        Returns
        -------
        list of Tensor
            The output of the last block; with ``keep`` the input and the output of every block.
        """
        half_heads = self.cfg.n_heads // 2
        head_dim = self.cfg.width // self.cfg.n_heads
        cos, sin = rotary_table(x.shape[2], half_heads, head_dim, self.cfg.rotary)
        rotary = (cos.to(x), sin.to(x))
        states = [x]
        for block in self.blocks:
            if self.activation_checkpointing and self.training:
                x = checkpoint(block, x, rotary, use_reentrant=False)
            else:
                x = block(x, rotary)
            if keep:
                states.append(x)
        return states if keep else [x]

    def forward(self, codes: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Predict every level of every token in parallel.

        Parameters
        ----------
        codes
            (B, N, P, Q); what stands where ``hidden`` is true does not matter.
        hidden
            (B, N, P), true where a token is masked.

        Returns
        -------
        Tensor
            Logits (B, N, P, Q, K) of the predicted levels.
        """
        x = self.run_blocks(self.embed(self.embed_codes(codes), hidden))[-1]
        return rearrange(self.head(x), "b n p (q k) -> b n p q k", q=self.n_predicted)

    def features(self, codes: Tensor, layer: int = -2) -> Tensor:
        """Return the features (B, N, P, D) of codes (B, N, P, Q) at one layer.

        Parameters
        ----------
        codes
            (B, N, P, Q).
        layer
            0 is the input of the first block, ``depth`` (or -1) the output of the last; -2, the
            published choice, the output of all blocks but the last.
        """
        n_states = len(self.blocks) + 1
        if not -n_states <= layer < n_states:
            raise ValueError(
                f"layer must lie in [{-n_states}, {n_states - 1}] for {len(self.blocks)} blocks, "
                f"got {layer}"
            )
        states = self.run_blocks(self.embed(self.embed_codes(codes)), keep=True)
        return F.normalize(states[layer], dim=-1)
