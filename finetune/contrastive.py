"""Losses that compare every query with many candidates, as functions of their similarity.

What is alike is told by a mask, not by the place in the batch: the same content twice is never a
negative of itself. A loss is the mean over queries, so neither their order nor that of the
candidates matters.

Shapes: B queries, U candidates.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def clip_one_sided(similarity: Tensor, same: Tensor, allowed: Tensor | None = None) -> Tensor:
    r"""Return the loss of finding each query's candidate (Défossez et al. 2023, NMI 5:1097).

    .. math:: -\frac1{B'} \sum_i \frac1{|P_i|} \sum_{j \in P_i}
              \log \frac{e^{s_{ij}}}{e^{s_{ij}} + \sum_{k \in A_i \setminus P_i} e^{s_{ik}}}

    where :math:`P_i` are the candidates like query i and :math:`A_i` those it is compared with.
    Further copies of the right content are neither right nor wrong in a term. With one right
    candidate this is InfoNCE (van den Oord et al. 2018, arXiv:1807.03748); in the paper s is the
    scalar product of the query as it is and the candidate at unit length. Queries without a right
    candidate do not count, B' do; with none at all the loss is 0.

    Parameters
    ----------
    similarity
        (B, U), already divided by a temperature.
    same
        (B, U) bool, true where a candidate is the query's content.
    allowed
        (B, U) bool, candidates that a query is compared with; None: all.
    """
    s = similarity.float()
    wrong = ~same if allowed is None else allowed & ~same
    has_wrong = wrong.any(1)
    # A row that is all -inf has no gradient; rows without a negative have loss 0 anyway.
    masked = s.masked_fill(~wrong, float("-inf"))
    masked = torch.where(has_wrong[:, None], masked, torch.zeros_like(s))
    others = torch.logsumexp(masked, dim=1, keepdim=True) if s.shape[1] else s.new_zeros(len(s), 1)
    each = F.softplus(others - s) * (same & has_wrong[:, None])
    count = same.sum(1)
    rows = each.sum(1) / count.clamp(min=1)
    return rows.sum() / (count > 0).sum().clamp(min=1)


def clip(similarity: Tensor, same: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return the mean of both directions (Radford et al. 2021, arXiv:2103.00020).

    From query to candidate and from candidate to query. A candidate that several queries are right
    for has a term for each; one that no query is right for has none in the second direction.
    """
    turned = None if allowed is None else allowed.T
    forward = clip_one_sided(similarity, same, allowed)
    return (forward + clip_one_sided(similarity.T, same.T, turned)) / 2


def siglip(
    similarity: Tensor, same: Tensor, allowed: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    r"""Return the sigmoid loss of all pairs (Zhai et al. 2023, arXiv:2303.15343).

    .. math:: -\frac1B \sum_{ij} w_j \log \sigma(z_{ij} s_{ij}),\quad
              z_{ij} = 1 \text{ if same, else } -1

    Parameters
    ----------
    similarity
        (B, U), with temperature and bias in it.
    same, allowed
        As in :func:`clip_one_sided`.
    weight
        (U,) how often a candidate counts as a negative; None: once, whatever the batch holds.
        With one column for each content that is the deduplicated loss of d'Ascoli et al. 2024
        (arXiv:2412.17829); the original counts a content as often as the batch shows it.
    """
    s = similarity.float()
    right = F.softplus(-s) * same
    wrong = F.softplus(s) * ~same
    if allowed is not None:
        wrong = wrong * allowed
    if weight is not None:
        wrong = wrong * weight
    return (right.sum() + wrong.sum()) / max(1, len(s))
