"""Which tokens the masked model does not see (BERT, arXiv:1810.04805; BrainOmni section 3.3).

Shapes: B batch, N sources, P frames, Q quantizers, K codes a level.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """How much is hidden, and how.

    Parameters
    ----------
    ratio
        Share of tokens to predict, in (0, 1).
    kind
        ``blocks``: contiguous over sources and time; ``scattered``: every token by itself
        (published BrainOmni); ``spans``: all sources of stretches of time.
    block_frames
        Frames of a block or span.
    block_sources
        Sources of a block.
    mask_share
        Share of the chosen tokens that become the mask token.
    random_share
        Share that get another token's codes; the rest stay as they are.
    """

    ratio: float = 0.5
    kind: Literal["blocks", "scattered", "spans"] = "blocks"
    block_frames: int = 8
    block_sources: int = 4
    mask_share: float = 0.8
    random_share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio must lie in (0, 1), got {self.ratio}")
        if self.block_frames < 1 or self.block_sources < 1:
            raise ValueError(
                f"block_frames and block_sources must be at least 1, got {self.block_frames} "
                f"and {self.block_sources}"
            )
        if min(self.mask_share, self.random_share) < 0 or self.mask_share + self.random_share > 1:
            raise ValueError(
                "mask_share and random_share must not be negative nor add up to more than 1, got "
                f"{self.mask_share} and {self.random_share}"
            )


class Masked(NamedTuple):
    """Codes as the model gets them, and what it has to predict.

    ``codes`` (B, N, P, Q) with some tokens replaced; ``hidden`` (B, N, P) true where the mask token
    stands; ``chosen`` (B, N, P) true where the loss counts.
    """

    codes: Tensor
    hidden: Tensor
    chosen: Tensor


def choose_tokens(
    shape: tuple[int, int, int], cfg: MaskConfig, *, generator: torch.Generator
) -> Tensor:
    """Draw which tokens (B, N, P) are to be predicted: the same count in every row.

    Tokens are ranked by the random score of the block they belong to, blocks start at a random
    phase, and the first ``round(ratio * N * P)`` are taken; the last block may be cut in time.
    """
    n_batch, n_sources, n_frames = shape
    device = generator.device
    high, wide = {
        "blocks": (min(cfg.block_sources, n_sources), min(cfg.block_frames, n_frames)),
        "scattered": (1, 1),
        "spans": (n_sources, min(cfg.block_frames, n_frames)),
    }[cfg.kind]

    def blocks_of(length: int, size: int, *, shifted: bool = True) -> Tensor:
        most = size if shifted else 1
        phase = torch.randint(most, (n_batch, 1), generator=generator, device=device)
        return (torch.arange(length, device=device) + phase) // size

    rows = blocks_of(n_sources, high, shifted=cfg.kind != "spans")
    columns = blocks_of(n_frames, wide)
    n_rows, n_columns = -(-n_sources // high) + 1, -(-n_frames // wide) + 1
    score = torch.rand(n_batch, n_rows * n_columns, generator=generator, device=device)
    # Frame by frame: scores are equal within a block, sorting is stable, and a block that is cut
    # loses its last frames. Cut between sources, the first sources would be hidden more often.
    block = rows[:, None, :] * n_columns + columns[:, :, None]
    token_score = score.gather(1, block.flatten(1))
    rank = token_score.argsort(dim=1, stable=True).argsort(dim=1)
    n_chosen = round(cfg.ratio * n_sources * n_frames)
    return rearrange(rank < n_chosen, "b (p n) -> b n p", n=n_sources)


def mask_codes(codes: Tensor, cfg: MaskConfig, *, generator: torch.Generator) -> Masked:
    """Hide codes (B, N, P, Q); see :class:`MaskConfig` and :class:`Masked`.

    The generator lives on the CPU or on the codes' device.
    """
    device = codes.device
    n_batch, n_sources, n_frames, _ = codes.shape
    chosen = choose_tokens((n_batch, n_sources, n_frames), cfg, generator=generator).to(device)
    draw = torch.rand(chosen.shape, generator=generator, device=generator.device).to(device)
    hidden = chosen & (draw < cfg.mask_share)
    replaced = chosen & ~hidden & (draw < cfg.mask_share + cfg.random_share)
    tokens = codes.flatten(0, 2)
    other = torch.randint(
        len(tokens), chosen.shape, generator=generator, device=generator.device
    ).to(device)
    return Masked(torch.where(replaced.unsqueeze(-1), tokens[other], codes), hidden, chosen)
