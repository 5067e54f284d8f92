"""The trials of all ranks on every rank, with gradient, whatever their numbers.

A loss that compares trials is computed on every rank from all trials, so it is the same everywhere.

Shapes: B trials of this rank, G trials of all ranks.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Gather(torch.autograd.Function):
    """Rows (G, ...) of all ranks; the gradient of this rank's rows, times the number of ranks.

    All ranks compute the same loss, so the sum of their gradients is that many times one. Averaging
    over ranks (DDP) takes the factor out again: what is left is the gradient in a single process.
    Nothing is exchanged on the way back: with torch's own differentiable gather, which does, two
    gloo processes under DDP waited for ever.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: list[int]) -> Tensor:
        rank = dist.get_rank()
        ctx.own, ctx.n_ranks = (sum(counts[:rank]), counts[rank]), len(counts)
        # Collectives take equal shapes: fill up, gather, cut.
        padded = torch.cat([x, x.new_zeros(max(counts) - len(x), *x.shape[1:])])
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.n_ranks * gradients[0].narrow(0, *ctx.own), None


def gather_rows(x: Tensor) -> Tensor:
    """Return the rows (G, ...) of all ranks' tensors (B, ...), by rank; B may differ, or be 0.

    The gradient is right if every rank computes the same of them (:class:`_Gather`). Without other
    ranks it is ``x`` itself.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    sizes = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=x.device)
    sizes[dist.get_rank()] = len(x)
    dist.all_reduce(sizes)
    rows: Tensor = _Gather.apply(x, sizes.tolist())
    return rows


def share_of_trials(n: int, like: Tensor) -> float:
    """Return ``n`` over the mean number of trials of all ranks.

    What a mean loss of ``n`` trials is multiplied by, so that the mean over ranks is that over
    trials; ``like`` names the device.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return 1.0
    total = torch.tensor(float(n), device=like.device)
    dist.all_reduce(total)
    return n * dist.get_world_size() / float(total)
