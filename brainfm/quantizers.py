"""Residual vector quantization with a straight-through step of gain one.

``vector-quantize-pytorch`` finds the codes and moves the codebooks by exponential moving averages
(van den Oord et al. 2017, arXiv:1711.00937, appendix A; residual levels as in SoundStream,
arXiv:2107.03312). Its own straight-through output multiplies the encoder's gradient by the number
of levels, so the step is taken here.

Shapes: ... any leading axes, D width, Q levels, K codes a level.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import ResidualVQ, VectorQuantize
from vector_quantize_pytorch import vector_quantize_pytorch as library


@dataclass(frozen=True, kw_only=True)
class QuantizerConfig:
    """Codebooks of the tokenizer.

    Parameters
    ----------
    n_quantizers
        Q, residual levels; every level adds ``log2(codebook_size)`` bits a token.
    codebook_size
        K, codes of a level, at most 65536 (codes are stored as uint16).
    codebook_dim
        Width in which codes live; None is the tokenizer's width, without projection. Otherwise
        every level projects into it and out again, by itself (published BrainOmni).
    decay
        Of the moving averages of the codebooks, in (0, 1).
    dead_below
        A code is replaced by a vector of the batch when it is chosen less often than this share of
        ``1 / codebook_size``, by its moving average; 0 never replaces.
    """

    n_quantizers: int = 4
    codebook_size: int = 512
    codebook_dim: int | None = None
    decay: float = 0.99
    dead_below: float = 0.1

    def __post_init__(self) -> None:
        if self.n_quantizers < 1:
            raise ValueError(f"n_quantizers must be at least 1, got {self.n_quantizers}")
        if not 2 <= self.codebook_size <= 65536:
            raise ValueError(f"codebook_size must lie in [2, 65536], got {self.codebook_size}")
        if not 0 < self.decay < 1:
            raise ValueError(f"decay must lie in (0, 1), got {self.decay}")


class Quantized(NamedTuple):
    """Quantized latents (..., D), their codes (..., Q) and the commitment loss (scalar)."""

    values: Tensor
    codes: Tensor
    commitment: Tensor


class ProjectedResidualVQ(nn.Module):
    """Residual levels, each with a projection into the space of its codes and one out of it.

    ``vector-quantize-pytorch`` has one pair of projections around all levels; the published model
    has one pair for each. Gradients pass through the codes (straight-through) and projections of
    every level.
    """

    def __init__(self, *, dim: int, num_quantizers: int, **settings: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            VectorQuantize(dim=dim, **settings) for _ in range(num_quantizers)
        )

    @property
    def codebooks(self) -> Tensor:
        """Return what every code adds to the sum, (Q, K, D)."""
        levels: Any = self.layers
        return torch.stack([level.project_out(level._codebook.embed[0]) for level in levels])

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (1, R, D) to the sum (1, R, D), codes (1, R, Q) and losses (Q,)."""
        residual, total = z, torch.zeros_like(z)
        codes, losses = [], []
        for layer in self.layers:
            quantized, code, loss = layer(residual)
            residual = residual - quantized.detach()
            total = total + quantized
            codes.append(code)
            losses.append(loss)
        return total, torch.stack(codes, dim=-1), torch.stack(losses)


class ResidualQuantizer(nn.Module):
    """Residual vector quantizer.

    Codebooks are float32 whatever the precision around them: a decay of 0.99 cannot move a
    bfloat16 average.
    """

    def __init__(self, cfg: QuantizerConfig, width: int) -> None:
        super().__init__()
        self.cfg = cfg
        code_dim = cfg.codebook_dim or width
        self.projected = code_dim != width
        levels = ProjectedResidualVQ if self.projected else ResidualVQ
        self.rvq: Any = levels(
            dim=width,
            codebook_dim=code_dim,
            num_quantizers=cfg.n_quantizers,
            codebook_size=cfg.codebook_size,
            decay=cfg.decay,
            kmeans_init=True,
            kmeans_iters=10,
            threshold_ema_dead_code=cfg.dead_below,
            sync_codebook=False,
        )
        self.n_ranks = 1

    def synchronise(self, on: bool) -> None:
        """Share the codebooks' statistics between ranks, or not.

        Call it once the process group is known (``configure_model``): the library decides at
        construction, which is too early under Lightning.
        """
        sample = library.sample_vectors_distributed if on else library.batched_sample_vectors
        reduce = torch.distributed.all_reduce if on else library.noop
        for layer in self.rvq.layers:
            codebook = layer._codebook
            codebook.use_ddp = on
            codebook.sample_fn = codebook.replace_sample_fn = sample
            codebook.all_reduce_fn = codebook.kmeans_all_reduce_fn = reduce
        self.n_ranks = torch.distributed.get_world_size() if on else 1

    @property
    def codebooks(self) -> Tensor:
        """Return the vectors that codes stand for, (Q, K, D); a token is the sum of its Q."""
        return self.rvq.codebooks.detach()

    @property
    def initialised(self) -> bool:
        """Tell whether the codebooks have been set from data (or loaded)."""
        return all(bool(layer._codebook.initted) for layer in self.rvq.layers)

    def initialise(self, vectors: Tensor) -> None:
        """Set the codebooks by k-means on latents (M, D), level by level; M well above K.

        Left out, the library does it with the first batch it gets, which may hold fewer latents
        than there are codes.
        """
        was_training = self.training
        with torch.no_grad(), torch.autocast(device_type=vectors.device.type, enabled=False):
            self.rvq.train()(vectors.float().unsqueeze(0))
        self.train(was_training)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize (..., D); in training the codebooks move and codes that died are replaced."""
        flat = z.reshape(1, -1, z.shape[-1])
        if self.training:
            self._scale_dead_code_rule(flat.shape[1])
        with torch.autocast(device_type=z.device.type, enabled=False):
            quantized, codes, losses = self.rvq(flat.float())
        value = quantized.reshape(z.shape).to(z.dtype)
        if not self.projected:
            value = z + (value - z).detach()
        codes = codes.reshape(*z.shape[:-1], self.cfg.n_quantizers)
        return Quantized(value, codes, losses.sum())

    def _scale_dead_code_rule(self, n_vectors: int) -> None:
        """Express ``dead_below`` in assignments a batch, which is what the library counts."""
        uniform = n_vectors * self.n_ranks / self.cfg.codebook_size
        for layer in self.rvq.layers:
            layer._codebook.threshold_ema_dead_code = self.cfg.dead_below * uniform
            layer._codebook.reset_cluster_size = uniform

    def decode(self, codes: Tensor) -> Tensor:
        """Return the vectors (..., D) that codes (..., Q) stand for."""
        level = torch.arange(self.cfg.n_quantizers, device=codes.device)
        return self.codebooks[level, codes.long()].sum(-2)
