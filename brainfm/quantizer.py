"""What every quantizer of the tokenizer is: settings, result and verbs.

Shapes: ... any leading axes, M vectors, D width, Q levels, K codes a level.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class QuantizerConfig:
    """Codebooks of the tokenizer.

    Parameters
    ----------
    kind
        "rvq": residual levels of vectors that follow the latents by moving averages. "fsq": learned
        projections of the latent, each rounded to a few fixed numbers (finite scalar quantization).
        "quantile": principal axes and quantiles of the first latents, never changed: the baseline
        that has learned nothing. All have the same codes and bits.
    n_quantizers
        Q, levels; every level adds ``log2(codebook_size)`` bits a token.
    codebook_size
        K, codes of a level, at most 65536 (codes are stored as uint16).
    codebook_dim
        Width in which codes of "rvq" live; None is the tokenizer's width, without projection.
        Otherwise every level projects into it and out again, by itself (published BrainOmni).
    scalar_levels
        Of "fsq" and "quantile": in how many steps each number of a level is rounded; their product
        is ``codebook_size``.
    decay
        Of the moving averages of the codebooks, in (0, 1).
    dead_below
        A code is moved towards a vector of the batch when it is chosen less often than this share
        of ``1 / codebook_size``, by its moving average; 0 never moves one.
    """

    kind: Literal["rvq", "fsq", "quantile"] = "rvq"
    n_quantizers: int = 4
    codebook_size: int = 512
    codebook_dim: int | None = None
    scalar_levels: tuple[int, ...] = (8, 8, 8)
    decay: float = 0.99
    dead_below: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in ("rvq", "fsq", "quantile"):
            raise ValueError(f"kind must be 'rvq', 'fsq' or 'quantile', got {self.kind!r}")
        if self.n_quantizers < 1:
            raise ValueError(f"n_quantizers must be at least 1, got {self.n_quantizers}")
        if not 2 <= self.codebook_size <= 65536:
            raise ValueError(f"codebook_size must lie in [2, 65536], got {self.codebook_size}")
        if not 0 < self.decay < 1:
            raise ValueError(f"decay must lie in (0, 1), got {self.decay}")
        if not 0 <= self.dead_below < 1:
            raise ValueError(f"dead_below must lie in [0, 1), got {self.dead_below}")
        if self.kind != "rvq":
            self._check_scalar_levels()

    def _check_scalar_levels(self) -> None:
        if self.codebook_dim is not None:
            raise ValueError(
                f"codebook_dim ({self.codebook_dim}) is a setting of 'rvq'; a level of "
                f"{self.kind!r} has one number for each of scalar_levels {self.scalar_levels}"
            )
        if not self.scalar_levels or min(self.scalar_levels) < 3:
            raise ValueError(f"scalar_levels must all be at least 3, got {self.scalar_levels}")
        if math.prod(self.scalar_levels) != self.codebook_size:
            raise ValueError(
                f"the product of scalar_levels {self.scalar_levels} is "
                f"{math.prod(self.scalar_levels)}; it must be codebook_size, {self.codebook_size}"
            )

    @property
    def bits_per_token(self) -> float:
        """Bits that the codes of one token can carry: ``Q log2 K``."""
        return self.n_quantizers * math.log2(self.codebook_size)


class Quantized(NamedTuple):
    """Quantized latents (..., D), their codes (..., Q) and the commitment loss (scalar)."""

    values: Tensor
    codes: Tensor
    commitment: Tensor


class Quantizer(nn.Module):
    """Latents to codes and back, with a straight-through step of gain one.

    Whatever the kind, the gradient of the values passes to the latents unchanged
    (``values = quantized + z - stop(z)``, with ``quantized`` made from ``stop(z)``), and learned
    projections get theirs through ``quantized``. Arithmetic and buffers are float32 whatever the
    precision around them: a decay of 0.99 cannot move a bfloat16 average.

    A kind says how to find codes (``quantize``), how to start (``initialise``), whether it has
    (``initialised``), and what codes stand for (``codebooks``).
    """

    def __init__(self, cfg: QuantizerConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.n_ranks = 1

    def synchronise(self, on: bool) -> None:
        """Share statistics of the latents between ranks, or not.

        Call it once the process group is known (``configure_model``); from then on every rank has
        to train and initialise at the same steps.
        """
        self.n_ranks = torch.distributed.get_world_size() if on else 1

    @property
    def initialised(self) -> bool:
        """Tell whether codes have been set from data (or loaded)."""
        raise NotImplementedError

    @property
    def codebooks(self) -> Tensor:
        """Return the vectors that codes stand for, (Q, K, D); a token is the sum of its Q."""
        raise NotImplementedError

    def start(self, vectors: Tensor) -> None:
        """Set codes from latents (M, D), float32; those of all ranks count."""
        raise NotImplementedError

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (M, D), float32, to values (M, D) without gradient to z, codes (M, Q) and loss."""
        raise NotImplementedError

    @torch.no_grad()
    def initialise(self, vectors: Tensor) -> None:
        """Set the codes from latents (M, D), the finite ones; M well above K.

        Left out, the first batch in training does it, which may hold fewer latents than there are
        codes. Without a finite latent nothing is set.
        """
        with torch.autocast(device_type=vectors.device.type, enabled=False):
            # A sum is finite if its terms are, and takes no memory; nor does the usual case a copy.
            sound = vectors.sum(-1).isfinite()
            finite = (vectors if sound.all() else vectors[sound]).float()
            if not len(finite):
                if self.n_ranks == 1:
                    return
                # Other ranks wait for this one: it takes part with a vector that says nothing.
                finite = finite.new_zeros(1, vectors.shape[-1])
            self.start(finite)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize (..., D); in training, kinds that follow the latents move."""
        flat = z.reshape(-1, z.shape[-1])
        if self.training and not self.initialised:
            self.initialise(flat.detach())
        with torch.autocast(device_type=z.device.type, enabled=False):
            quantized, codes, commitment = self.quantize(flat.float())
        values = quantized.reshape(z.shape).to(z.dtype)
        if z.requires_grad:
            values = values + (z - z.detach())
        return Quantized(values, codes.reshape(*z.shape[:-1], codes.shape[-1]), commitment)

    def skip(self, z: Tensor) -> Quantized:
        """Let latents (..., D) pass as they are, with no codes.

        The loss is zero, but one that every projection has a part in: engines that reduce gradients
        between ranks wait for all parameters.
        """
        no_codes = torch.zeros(*z.shape[:-1], 0, dtype=torch.long, device=z.device)
        nothing = torch.zeros((), device=z.device)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nothing = nothing + 0 * linear32(layer, z.new_zeros(1, layer.in_features)).sum()
        return Quantized(z, no_codes, nothing)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the vectors (..., D) that codes (..., Q) stand for."""
        level = torch.arange(self.cfg.n_quantizers, device=codes.device)
        return self.codebooks[level, codes.long()].sum(-2)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move between devices as asked, but keep floating-point buffers in float32."""
        before = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in self.named_buffers():
            if buffer.is_floating_point() and buffer.dtype != torch.float32:
                owner, _, leaf = name.rpartition(".")
                kept = before[name].to(device=buffer.device, dtype=torch.float32)
                self.get_submodule(owner)._buffers[leaf] = kept
        return self


def linear32(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a linear layer of any precision to float32 vectors, giving float32.

    Through ``forward``, not through its weight: engines that shard parameters gather them there.
    """
    weight: Any = getattr(layer, "weight", None)
    return layer(x if weight is None else x.to(weight.dtype)).float()
