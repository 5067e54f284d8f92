"""How codes are used, and what predicting them without the brain would score.

Shapes: ... any leading axes, Q quantizers, K codes a level.
"""

import torch
from torch import Tensor
from torchmetrics import Metric


class CodeUsage(Metric):
    """Share of the codes of each level that occurred at all.

    Parameters
    ----------
    n_quantizers, codebook_size
        Q and K.
    """

    counts: Tensor
    full_state_update = False

    def __init__(self, n_quantizers: int, codebook_size: int) -> None:
        super().__init__()
        zeros = torch.zeros(n_quantizers, codebook_size, dtype=torch.int64)
        self.add_state("counts", zeros, dist_reduce_fx="sum")

    @property
    def total(self) -> int:
        """Return the number of tokens seen on this rank."""
        return int(self.counts[0].sum())

    def update(self, codes: Tensor) -> None:
        """Count codes (..., Q)."""
        self.counts += code_counts(codes, self.counts.shape[1])

    def compute(self) -> Tensor:
        """Return the share of codes that were used, (Q,)."""
        return (self.counts > 0).float().mean(1)


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
