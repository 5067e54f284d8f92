"""Quantizers that round numbers: finite scalar quantization, and fixed quantiles.

Both see a latent along ``A = Q x len(scalar_levels)`` axes, start with the principal axes of the
first latents, and give level q the axes ``q n ... (q + 1) n - 1`` as digits of its code, the first
digit being the fastest.

Shapes: M vectors, D width, Q levels, K codes a level, n numbers a level, A = Q n axes.
"""

from typing import NamedTuple

import torch
import torch.distributed
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from vector_quantize_pytorch import FSQ

from brainfm.kmeans import PIECE
from brainfm.quantizer import Quantizer, QuantizerConfig, linear32


class Axes(NamedTuple):
    """Principal axes: mean (D,), directions (D, A) of unit length, spread (A,) along them."""

    mean: Tensor
    directions: Tensor
    spread: Tensor


def principal_axes(x: Tensor, n_axes: int, n_ranks: int) -> Axes:
    """Return the axes along which latents (M, D), those of all ranks, vary most."""
    moments = x.new_zeros(x.shape[-1] + 1, x.shape[-1], dtype=torch.float64)
    for piece in x.split(PIECE):
        exact = piece.double()
        moments[0] += exact.sum(0)
        moments[1:] += exact.T @ exact
    count = moments.new_tensor(float(len(x)))
    if n_ranks > 1:
        torch.distributed.all_reduce(moments)
        torch.distributed.all_reduce(count)
    mean = moments[0] / count
    variance, directions = torch.linalg.eigh(moments[1:] / count - torch.outer(mean, mean))
    # The last are the largest. An axis on which nothing varies still needs a scale.
    spread = variance[-n_axes:].flip(0).clamp_min(1e-12).sqrt()
    return Axes(mean.float(), directions[:, -n_axes:].flip(1).float(), spread.float())


class ScalarQuantizer(Quantizer):
    """What both have: axes from data, and codes made of digits."""

    mean: Tensor
    axes: Tensor
    started: Tensor

    def __init__(self, cfg: QuantizerConfig, width: int) -> None:
        super().__init__(cfg)
        self.n_axes = cfg.n_quantizers * len(cfg.scalar_levels)
        if self.n_axes > width:
            raise ValueError(
                f"n_quantizers ({cfg.n_quantizers}) times {len(cfg.scalar_levels)} scalar_levels "
                f"are {self.n_axes} axes; the latents have only {width}"
            )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(width, self.n_axes))
        self.register_buffer("started", torch.tensor(False))

    @property
    def initialised(self) -> bool:
        """Tell whether the axes have been set from data (or loaded)."""
        return bool(self.started)

    def start(self, vectors: Tensor) -> None:
        """Take the axes from latents (M, D), then whatever the kind needs along them."""
        found = principal_axes(vectors, self.n_axes, self.n_ranks)
        if self.n_ranks > 1:
            # Two machines may return an axis with opposite signs.
            for tensor in found:
                torch.distributed.broadcast(tensor, src=0)
        self.mean.copy_(found.mean)
        self.start_along(vectors, found)
        self.started.fill_(True)

    def start_along(self, vectors: Tensor, found: Axes) -> None:
        """Set ``axes`` and the numbers of the kind from latents (M, D)."""
        raise NotImplementedError


class FiniteScalarQuantizer(ScalarQuantizer):
    """Finite scalar quantization (Mentzer et al. 2023, arXiv:2309.15505).

    The projections are principal axes plus learned differences from them. Rounding is
    ``vector-quantize-pytorch``'s, and has no averages to keep.
    """

    gain: Tensor

    def __init__(self, cfg: QuantizerConfig, width: int) -> None:
        super().__init__(cfg, width)
        self.fsq = FSQ(levels=list(cfg.scalar_levels), num_codebooks=cfg.n_quantizers)
        self.project_in = nn.Linear(width, self.n_axes)
        self.project_out = nn.Linear(self.n_axes, width)
        for layer in (self.project_in, self.project_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("gain", torch.ones(self.n_axes))

    def start_along(self, vectors: Tensor, found: Axes) -> None:
        """Scale the axes to unit spread, and codes so that they come closest to them."""
        self.axes.copy_(found.directions / found.spread)
        along = vectors @ self.axes - self.mean @ self.axes
        rounded, _ = self.fsq(along[None])
        products = torch.stack([(along * rounded[0]).sum(0), rounded[0].square().sum(0)])
        if self.n_ranks > 1:
            torch.distributed.all_reduce(products)
        self.gain.copy_(found.spread.square() * products[0] / products[1].clamp_min(1e-12))

    def _values(self, rounded: Tensor) -> Tensor:
        """Map rounded numbers (M, A) to latents (M, D)."""
        return self.mean + (rounded * self.gain) @ self.axes.T + linear32(self.project_out, rounded)

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (M, D) to values (M, D), codes (M, Q) and the squared distance of z from them."""
        fixed = z.detach()
        along = (fixed - self.mean) @ self.axes + linear32(self.project_in, fixed)
        rounded, codes = self.fsq(along[None])
        values = self._values(rounded[0])
        codes = codes[0].reshape(len(z), self.cfg.n_quantizers).long()
        return values, codes, F.mse_loss(z, values.detach())

    @property
    @torch.no_grad()
    def codebooks(self) -> Tensor:
        """Return the vectors that codes stand for, (Q, K, D); a token is the sum of its Q."""
        n_levels, n_codes = self.cfg.n_quantizers, self.cfg.codebook_size
        numbers = self.fsq.implicit_codebook
        grid = self.mean.new_zeros(n_levels, n_codes, n_levels, numbers.shape[-1])
        for level in range(n_levels):
            grid[level, :, level] = numbers
        zero = self._values(self.mean.new_zeros(1, self.n_axes))
        values = self._values(rearrange(grid, "q k level n -> (q k) (level n)"))
        # Mean and bias belong to no level: each takes an equal share.
        shared = zero * (1 / n_levels - 1)
        return rearrange(values + shared, "(q k) d -> q k d", q=n_levels)


class QuantileQuantizer(ScalarQuantizer):
    """Fixed quantiles along fixed axes: the baseline that has learned nothing.

    Borders are the quantiles ``i / L`` of the first latents along each axis, values the quantiles
    halfway between them.
    """

    edges: Tensor
    numbers: Tensor

    def __init__(self, cfg: QuantizerConfig, width: int) -> None:
        super().__init__(cfg, width)
        self.steps = cfg.scalar_levels * cfg.n_quantizers
        most = max(cfg.scalar_levels)
        # Axes with fewer steps leave the rest of their row unused: borders at infinity.
        self.register_buffer("edges", torch.full((self.n_axes, most - 1), torch.inf))
        self.register_buffer("numbers", torch.zeros(self.n_axes, most))
        digits = torch.tensor((1, *cfg.scalar_levels[:-1])).cumprod(0)
        self.register_buffer("place", digits, persistent=False)

    place: Tensor

    def start_along(self, vectors: Tensor, found: Axes) -> None:
        """Take borders and values from latents (M, D), those of rank 0 where there are several."""
        self.axes.copy_(found.directions)
        along = vectors @ self.axes - self.mean @ self.axes
        for axis, steps in enumerate(self.steps):
            share = torch.arange(1, 2 * steps, device=along.device) / (2 * steps)
            # torch.quantile takes 16 million numbers at most, far above what is pooled.
            found_here = torch.quantile(along[:, axis], share)
            self.edges[axis, : steps - 1] = found_here[1::2]
            self.numbers[axis, :steps] = found_here[::2]
        if self.n_ranks > 1:
            torch.distributed.broadcast(self.edges, src=0)
            torch.distributed.broadcast(self.numbers, src=0)

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (M, D) to values (M, D), codes (M, Q) and the squared distance of z from them."""
        along = (z.detach() - self.mean) @ self.axes
        digit = torch.searchsorted(self.edges, along.T.contiguous())
        values = self.mean + self.numbers.gather(1, digit).T @ self.axes.T
        by_level = rearrange(digit, "(q n) m -> m q n", q=self.cfg.n_quantizers)
        return values, (by_level * self.place).sum(-1), F.mse_loss(z, values)

    @property
    def codebooks(self) -> Tensor:
        """Return the vectors that codes stand for, (Q, K, D); a token is the sum of its Q."""
        code = torch.arange(self.cfg.codebook_size, device=self.place.device)
        sizes = torch.tensor(self.cfg.scalar_levels, device=self.place.device)
        digit = code[:, None] // self.place % sizes
        numbers = rearrange(self.numbers, "(q n) most -> q n most", q=self.cfg.n_quantizers)
        axes = rearrange(self.axes, "d (q n) -> q n d", q=self.cfg.n_quantizers)
        chosen = numbers[:, torch.arange(len(sizes), device=digit.device), digit]
        return chosen @ axes + self.mean / self.cfg.n_quantizers
