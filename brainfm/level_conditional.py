"""Prediction of a residual code level by level, each given those below it.

A residual quantizer codes at every level what the lower ones left, so that codes of one token
depend on each other. Predicted in parallel, levels are taken for independent given the context;
here level q sees the codes of the levels below it in the same token: the true ones in training
(teacher forcing), its own when it predicts.

Shapes: ... any leading axes, Q levels, K codes a level, D width, E width of a code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LevelConditionalHead(nn.Module):
    """Logits of every level from features and the code vectors of the levels below.

    Parameters
    ----------
    width
        D.
    code_dim
        E.
    n_levels
        Q, levels to predict.
    codebook_size
        K.
    """

    def __init__(self, width: int, code_dim: int, n_levels: int, codebook_size: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, codebook_size)
        # Features and sums of code vectors have different sizes: both are brought to the same.
        self.feature_norm = nn.RMSNorm(width, eps=1e-6)
        self.code_norm = nn.RMSNorm(code_dim, eps=1e-6)
        self.others = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width + code_dim, width), nn.SELU(), nn.Linear(width, codebook_size)
            )
            for _ in range(n_levels - 1)
        )

    def forward(self, x: Tensor, codes: Tensor, codebooks: Tensor) -> Tensor:
        """Return logits (..., Q, K) given the true codes of the lower levels.

        Parameters
        ----------
        x
            (..., D) features.
        codes
            (..., Q or more); those of the last level do not matter.
        codebooks
            (Q or more, K, E).
        """
        lower = self._nothing(x, codebooks)
        logits = [self._level(0, x, lower)]
        for level in range(1, len(self.others) + 1):
            lower = lower + F.embedding(codes[..., level - 1].long(), codebooks[level - 1])
            logits.append(self._level(level, x, lower))
        return torch.stack(logits, dim=-2)

    def predict(
        self, x: Tensor, codebooks: Tensor, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return codes (..., Q), each level given what was predicted below it.

        The most probable code of each level, or with a generator one drawn by its probability.
        """
        lower = self._nothing(x, codebooks)
        found = []
        for level in range(len(self.others) + 1):
            found.append(pick_codes(self._level(level, x, lower), generator))
            lower = lower + F.embedding(found[-1], codebooks[level])
        return torch.stack(found, dim=-1)

    def _nothing(self, x: Tensor, codebooks: Tensor) -> Tensor:
        return codebooks.new_zeros(*x.shape[:-1], codebooks.shape[-1])

    def _level(self, level: int, x: Tensor, lower: Tensor) -> Tensor:
        if level == 0:
            return self.first(x)
        joined = torch.cat([self.feature_norm(x), self.code_norm(lower).to(x)], dim=-1)
        return self.others[level - 1](joined)


def pick_codes(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return the most probable codes (...) of logits (..., K), or with a generator random ones."""
    if generator is None:
        return logits.argmax(-1)
    draw = torch.multinomial(logits.flatten(0, -2).float().softmax(-1), 1, generator=generator)
    return draw.view(logits.shape[:-1])
