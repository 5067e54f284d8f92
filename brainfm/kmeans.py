"""k-means by matrix products, in pieces, and the same on every rank.

``|x - c|^2 = |x|^2 - 2 x.c + |c|^2``, and ``|x|^2`` is the same for all centres: the nearest centre
has the largest ``x.c - |c|^2 / 2``, one matrix product. No array of all pairs of differences
exists, and of the products only those of one piece.

Shapes: M vectors (of this rank), K centres, D width, R ranks.
"""

import torch
import torch.distributed
from torch import Tensor

PIECE = 4096
"""Vectors whose products are held at once: 8 MB for 512 centres."""
VECTORS_PER_CENTRE = 48
ITERATIONS = 2
"""Many vectors and few rounds make the most of the time. All of 195 vectors a centre and ten rounds
take 20 times as long for about 15 % less error (benchmarks/quantizer.py); in training, averages
over many batches follow anyway."""


def nearest(x: Tensor, centres: Tensor) -> Tensor:
    """Return the index (M,) of the centre (K, D) nearest to each vector (M, D)."""
    offset = -centres.square().sum(-1) / 2
    transposed = centres.T.contiguous()
    # A graph that is traced has as many pieces as its example: for any number of vectors, one.
    pieces = (x,) if torch.compiler.is_compiling() else x.split(PIECE)
    return torch.cat([torch.addmm(offset, piece, transposed).argmax(-1) for piece in pieces])


def cluster_sums(x: Tensor, index: Tensor, n_centres: int, n_ranks: int) -> tuple[Tensor, Tensor]:
    """Return the number (K,) and sum (K, D) of the vectors (M, D) at each centre, all ranks."""
    counts = torch.bincount(index, minlength=n_centres).to(x.dtype)
    sums = x.new_zeros(n_centres, x.shape[-1]).index_add_(0, index, x)
    if n_ranks > 1:
        torch.distributed.all_reduce(counts)
        torch.distributed.all_reduce(sums)
    return counts, sums


def draw(x: Tensor, n: int, n_ranks: int) -> Tensor:
    """Return n random vectors, or fewer where fewer exist, out of those (M, D) of all ranks.

    Every rank gets the same; each gives an equal share, with repetition where it has too few.
    """
    if n_ranks == 1:
        return x[torch.randperm(len(x), device=x.device)[:n]]
    share = -(-n // n_ranks)
    order = torch.randperm(len(x), device=x.device)
    mine = x[order.repeat(-(-share // len(x)))[:share]].contiguous()
    everyone = [torch.empty_like(mine) for _ in range(n_ranks)]
    torch.distributed.all_gather(everyone, mine)
    order = torch.randperm(share * n_ranks, device=x.device)
    torch.distributed.broadcast(order, src=0)
    return torch.cat(everyone)[order[:n]]


def kmeans(
    x: Tensor, n_centres: int, *, iterations: int = ITERATIONS, n_ranks: int = 1
) -> tuple[Tensor, Tensor]:
    """Cluster vectors (M, D) by Lloyd's algorithm, from centres that are random vectors.

    Returns
    -------
    tuple of Tensor
        Centres (K, D) and how many vectors each has (K,), of all ranks together. A centre without
        vectors stays where it was.
    """
    centres = draw(x, n_centres, n_ranks)
    if len(centres) < n_centres:
        again = torch.randint(len(centres), (n_centres - len(centres),), device=x.device)
        centres = torch.cat([centres, centres[again]])
    counts = x.new_zeros(n_centres)
    for _ in range(iterations):
        counts, sums = cluster_sums(x, nearest(x, centres), n_centres, n_ranks)
        means = sums / counts.clamp_min(1)[:, None]
        centres = torch.where(counts[:, None] > 0, means, centres)
    return centres, counts
