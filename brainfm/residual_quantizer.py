"""Residual vector quantization: each level codes what the levels before have left.

Codebooks are moved by exponential moving averages (van den Oord et al. 2017, arXiv:1711.00937,
appendix A; residual levels as in SoundStream, arXiv:2107.03312). ``vector-quantize-pytorch`` holds
them and their averages. Codes are looked for here, by one matrix product a level
(:mod:`brainfm.kmeans`), and the straight-through step is taken by
:class:`brainfm.quantizer.Quantizer`: the library's own multiplies the encoder's gradient by the
number of levels.

Shapes: M vectors, D width, E width of a code, Q levels, K codes a level.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from brainfm.kmeans import VECTORS_PER_CENTRE, cluster_sums, draw, kmeans, nearest
from brainfm.quantizer import Quantizer, QuantizerConfig, linear32

REVIVED_AT = 0.25
"""Where a code comes to life: this part of the way from a vector's code to the vector.

At the vector itself hardly any other would choose it: in many dimensions vectors lie further from
each other than from the middle of them all.
"""


class Levels(nn.Module):
    """The Q levels, named as ``vector-quantize-pytorch`` names them in a state dict.

    Its ResidualVQ has one pair of projections around all levels; the published model has one pair
    for each.
    """

    def __init__(self, cfg: QuantizerConfig, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            VectorQuantize(
                dim=width,
                codebook_dim=cfg.codebook_dim or width,
                codebook_size=cfg.codebook_size,
                decay=cfg.decay,
                kmeans_init=True,
                sync_codebook=False,
            )
            for _ in range(cfg.n_quantizers)
        )


class ResidualQuantizer(Quantizer):
    """Residual vector quantizer whose codebooks follow the latents."""

    def __init__(self, cfg: QuantizerConfig, width: int) -> None:
        super().__init__(cfg)
        self.projected = (cfg.codebook_dim or width) != width
        self.rvq = Levels(cfg, width)

    @property
    def codebooks(self) -> Tensor:
        """Return the vectors that codes stand for, (Q, K, D); a token is the sum of its Q."""
        levels: Any = self.rvq.layers
        with torch.no_grad():
            return torch.stack(
                [linear32(level.project_out, level._codebook.embed[0]) for level in levels]
            )

    @property
    def initialised(self) -> bool:
        """Tell whether the codebooks have been set from data (or loaded)."""
        levels: Any = self.rvq.layers
        return all(bool(level._codebook.initted) for level in levels)

    def start(self, vectors: Tensor) -> None:
        """Set the codebooks by k-means on latents (M, D), level by level.

        A random part of the latents is enough: :data:`brainfm.kmeans.VECTORS_PER_CENTRE` for every
        code.
        """
        enough = -(-VECTORS_PER_CENTRE * self.cfg.codebook_size // self.n_ranks)
        residual = draw(vectors, enough, n_ranks=1)
        levels: Any = self.rvq.layers
        for level in levels:
            codebook = level._codebook
            x = linear32(level.project_in, residual)
            centres, counts = kmeans(x, self.cfg.codebook_size, n_ranks=self.n_ranks)
            codebook.embed_avg[0] = centres * counts[:, None]
            codebook.cluster_size[0] = counts
            codebook.embed[0] = centres
            codebook.initted.fill_(True)
            residual = residual - linear32(level.project_out, centres[nearest(x, centres)])

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (M, D) to the sum of the levels (M, D), codes (M, Q) and the commitment loss.

        The loss is the mean squared distance of what each level got from the code it chose, summed
        over levels.
        """
        residual, total, loss = z, torch.zeros_like(z), z.new_zeros(())
        codes = []
        levels: Any = self.rvq.layers
        for level in levels:
            x = linear32(level.project_in, residual)
            code = nearest(x.detach(), level._codebook.embed[0])
            chosen = level._codebook.embed[0][code]
            loss = loss + F.mse_loss(x, chosen)
            out = self._project_out(level, residual.detach(), chosen) if self.projected else chosen
            total = total + out
            if self.training:
                self._follow(level._codebook, x.detach(), code)
            residual = residual - out.detach()
            codes.append(code)
        return total, torch.stack(codes, dim=-1), loss

    def _project_out(self, level: Any, residual: Tensor, chosen: Tensor) -> Tensor:
        """Return codes (M, E) as latents (M, D); both projections of the level learn from it."""
        x = linear32(level.project_in, residual)
        return linear32(level.project_out, chosen + (x - x.detach()))

    @torch.no_grad()
    def _follow(self, codebook: Any, x: Tensor, code: Tensor) -> None:
        """Move the averages of a level by its vectors (M, E), and revive codes that died.

        A code is dead by its share of the average of all codes, not by a count: batches hold more
        or fewer latents. It starts again with the average count, so that it lives for
        ``ln(dead_below) / ln(decay)`` steps, 230 by default, even if nothing chooses it.
        """
        # One vector that is not finite would stay in the averages for ever.
        finite = x.sum(-1).isfinite()
        if not finite.all():
            x, code = x[finite], code[finite]
        counts, sums = cluster_sums(x, code, self.cfg.codebook_size, self.n_ranks)
        codebook.cluster_size[0].lerp_(counts, 1 - self.cfg.decay)
        codebook.embed_avg[0].lerp_(sums, 1 - self.cfg.decay)
        codebook.update_ema()
        size = codebook.cluster_size[0]
        typical = size.mean()
        dead = (size < self.cfg.dead_below * typical).nonzero().flatten()
        if not len(dead):
            return
        # A rank that has nothing to offer still has to take part.
        fresh = draw(x if len(x) else codebook.embed[0], len(dead), self.n_ranks)
        # Fewer vectors than dead codes: the others come to life in later steps.
        dead = dead[: len(fresh)]
        near = codebook.embed[0][nearest(fresh, codebook.embed[0])]
        fresh = near + REVIVED_AT * (fresh - near)
        codebook.embed[0, dead] = fresh
        codebook.embed_avg[0, dead] = fresh * typical
        codebook.cluster_size[0, dead] = typical
