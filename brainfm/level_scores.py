"""How well codes are predicted, window by window and level by level.

The mean over a batch is taken over windows: two half batches give the mean of the whole one, also
where windows hide different numbers of tokens.

Shapes: B windows, M tokens to predict, Q levels, K codes a level.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class LevelScores(NamedTuple):
    """``loss`` (B, Q) cross-entropy in nats and ``accuracy`` (B, Q) in [0, 1], of each window."""

    loss: Tensor
    accuracy: Tensor

    def named(self, prefix: str) -> dict[str, Tensor]:
        """Return the means over windows as ``PREFIXloss_0``, ``PREFIXaccuracy_0``, ..."""
        return {
            f"{prefix}{name}_{level}": value
            for name, values in (("loss", self.loss), ("accuracy", self.accuracy))
            for level, value in enumerate(values.detach().mean(0))
        }


def level_scores(logits: Tensor, target: Tensor, window: Tensor, n_windows: int) -> LevelScores:
    """Score logits (M, Q, K) of the codes (M, Q) of tokens that lie in ``window`` (M,) of B."""
    loss = F.cross_entropy(logits.float().transpose(1, 2), target, reduction="none")
    return scores_of_windows(loss, logits.argmax(-1) == target, window, n_windows)


def scores_of_windows(loss: Tensor, hit: Tensor, window: Tensor, n_windows: int) -> LevelScores:
    """Return the means over each window's tokens of loss and hit, (M, Q) each; 0 of none."""
    count = torch.bincount(window, minlength=n_windows).clamp_min(1)[:, None]
    zeros = loss.new_zeros(n_windows, loss.shape[1])
    return LevelScores(
        zeros.index_add(0, window, loss) / count,
        zeros.index_add(0, window, hit.to(loss)) / count,
    )
