"""How codes are used, and what predicting them without the brain would score.

Shapes: ... any leading axes, Q quantizers, K codes a level.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric


class CodeStatistics(Metric):
    """How the codes of each level are used, over all ranks.

    Parameters
    ----------
    n_quantizers, codebook_size
        Q and K.
    tokens_per_second
        Of signal: frames a second times sources.
    """

    counts: Tensor
    full_state_update = False

    def __init__(self, n_quantizers: int, codebook_size: int, tokens_per_second: float) -> None:
        super().__init__()
        self.tokens_per_second = tokens_per_second
        zeros = torch.zeros(n_quantizers, codebook_size, dtype=torch.int64)
        self.add_state("counts", zeros, dist_reduce_fx="sum")

    def update(self, codes: Tensor) -> None:
        """Count codes (..., Q); those of latents that were not quantized, Q = 0, count nothing."""
        if codes.shape[-1]:
            # Not in place: validation resets what training counts, in inference mode.
            self.counts = self.counts + code_counts(codes, self.counts.shape[1])

    def compute(self) -> dict[str, Tensor]:
        """Return ``usage``, ``perplexity`` and ``bits_per_second``, (Q,) each; empty if no codes.

        Usage is the share of the K codes that occurred at all, perplexity two to the entropy, and
        bits per second what the codes carry, ``tokens_per_second x entropy``: less than what they
        take, ``tokens_per_second x log2 K``, unless all occur equally often.
        """
        if not self.counts.any():
            return {}
        spread = perplexity(self.counts)
        return {
            "usage": (self.counts > 0).float().mean(1),
            "perplexity": spread.float(),
            "bits_per_second": (self.tokens_per_second * spread.log2()).float(),
        }

    def named(self, side: str) -> dict[str, Tensor]:
        """Return what to log, ``SIDE/NAME_LEVEL`` with levels from 0, and start afresh.

        Every rank has to call it, as it adds up their counts.
        """
        # To have seen no codes is no mistake: torchmetrics would warn.
        self.update(self.counts.new_zeros(0, len(self.counts)))
        found = {
            f"{side}/{name}_{level}": value
            for name, values in self.compute().items()
            for level, value in enumerate(values)
        }
        self.reset()
        return found


class SideStatistics(nn.Module):
    """:class:`CodeStatistics`, with its arguments, for each side of a split."""

    def __init__(self, n_quantizers: int, codebook_size: int, tokens_per_second: float) -> None:
        super().__init__()
        size = n_quantizers, codebook_size, tokens_per_second
        # A module has a method "train": its children cannot bear that name.
        self.sides = nn.ModuleDict(
            {f"in_{side}": CodeStatistics(*size) for side in ("train", "validation", "test")}
        )

    def update(self, codes: Tensor, side: str) -> None:
        """Count codes (..., Q) of a side."""
        statistics: Any = self.sides[f"in_{side}"]
        statistics.update(codes)

    def named(self, *sides: str) -> dict[str, Tensor]:
        """Return what to log of some sides, see :meth:`CodeStatistics.named`; on every rank."""
        found: dict[str, Tensor] = {}
        for side in sides:
            statistics: Any = self.sides[f"in_{side}"]
            found |= statistics.named(side)
        return found


def code_counts(codes: Tensor, codebook_size: int) -> Tensor:
    """Return how often each code of each level occurs in codes (..., Q), (Q, K) int64."""
    flat = codes.flatten(0, -2).long()
    offset = torch.arange(flat.shape[1], device=flat.device) * codebook_size
    counts = torch.bincount((flat + offset).flatten(), minlength=flat.shape[1] * codebook_size)
    return counts.view(flat.shape[1], codebook_size)


def perplexity(counts: Tensor) -> Tensor:
    """Return two to the entropy (bits) of each row of counts (Q, K), (Q,)."""
    p = counts.double() / counts.sum(1, keepdim=True).clamp_min(1)
    entropy = -(p * p.clamp_min(1e-300).log2()).sum(1)
    return entropy.exp2()
