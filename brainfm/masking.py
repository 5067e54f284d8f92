"""Which tokens the masked model does not see (BERT, arXiv:1810.04805; BrainOmni section 3.3).

Frames that cover the same samples (:mod:`brainfm.time_cells`) share one fate, so that nothing that
is hidden stands elsewhere. Random tokens come from visible places of the same window: a window's
input depends on no other window, and nothing that is hidden comes back in another place.

Shapes: B batch, N sources, P frames, T cells of time, Q quantizers, K codes a level.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from brainfm.time_cells import TimeCells
from brainfm.window_draws import WindowDraws

Draws = torch.Generator | WindowDraws
"""Where random numbers come from: one generator for all rows in turn, or each window's own."""

DEFAULT_FRAMES = 8


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
        Frames of a block or span; 8 if block_s is not given either.
    block_s
        The same in seconds, rounded to whole frames, at least one.
    block_sources
        Sources of a block.
    mask_share
        Share of the chosen tokens that become the mask token.
    random_share
        Share that get the codes of a visible token of the same window; the rest stay as they are.
    """

    ratio: float = 0.5
    kind: Literal["blocks", "scattered", "spans"] = "blocks"
    block_frames: int | None = None
    block_s: float | None = None
    block_sources: int = 4
    mask_share: float = 0.8
    random_share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio must lie in (0, 1), got {self.ratio}")
        if self.block_frames is not None and self.block_s is not None:
            raise ValueError(
                f"block_frames ({self.block_frames}) and block_s ({self.block_s}) both say how "
                "long a block is: give one of them"
            )
        if self.block_s is not None and not self.block_s > 0:
            raise ValueError(f"block_s must be positive, got {self.block_s}")
        frames = DEFAULT_FRAMES if self.block_frames is None else self.block_frames
        if frames < 1 or self.block_sources < 1:
            raise ValueError(
                f"block_frames and block_sources must be at least 1, got {frames} and "
                f"{self.block_sources}"
            )
        if min(self.mask_share, self.random_share) < 0 or self.mask_share + self.random_share > 1:
            raise ValueError(
                "mask_share and random_share must not be negative nor add up to more than 1, got "
                f"{self.mask_share} and {self.random_share}"
            )

    def in_frames(self, frame_s: float) -> "MaskConfig":
        """Return the same with a length in frames of ``frame_s`` seconds each."""
        if self.block_s is None:
            return self
        frames = max(1, round(self.block_s / frame_s))
        return replace(self, block_frames=frames, block_s=None)

    @property
    def frames(self) -> int:
        """Return the frames of a block or span."""
        if self.block_s is not None:
            raise ValueError(f"block_s is {self.block_s} s; turn it into frames with in_frames")
        return DEFAULT_FRAMES if self.block_frames is None else self.block_frames


class Masked(NamedTuple):
    """Codes as the model gets them, and what it has to predict.

    ``codes`` (B, N, P, Q) with some tokens replaced; ``hidden`` (B, N, P) true where the mask token
    stands; ``chosen`` (B, N, P) true where the loss counts.
    """

    codes: Tensor
    hidden: Tensor
    chosen: Tensor


def choose_tokens(
    shape: tuple[int, int, int],
    cfg: MaskConfig,
    *,
    generator: Draws,
    cells: TimeCells | None = None,
) -> Tensor:
    """Draw which tokens (B, N, P) are to be predicted.

    Pairs of source and cell are ranked by the random score of the block they belong to, blocks
    start at a random phase, and of a row's ``N * T`` pairs the first ``round(ratio * N * T)`` are
    taken; the last block may be cut in time. Without ``cells`` every frame is one, and every row
    has the same count of tokens.
    """
    n_batch, n_sources, n_frames = shape
    high, wide = {
        "blocks": (min(cfg.block_sources, n_sources), min(cfg.frames, n_frames)),
        "scattered": (1, 1),
        "spans": (n_sources, min(cfg.frames, n_frames)),
    }[cfg.kind]
    phases = _uniform(generator, n_batch, 2)
    device = phases.device
    shift = 0 if cfg.kind == "spans" else high
    rows = _blocks(n_sources, high, phases[:, :1] * shift)
    columns = _blocks(n_frames, wide, phases[:, 1:] * wide)
    n_rows, n_columns = -(-n_sources // high) + 1, -(-n_frames // wide) + 1
    score = _uniform(generator, n_batch, n_rows * n_columns)
    # Frame by frame: scores are equal within a block, sorting is stable, and a block that is cut
    # loses its last frames. Cut between sources, the first sources would be hidden more often.
    block = rows[:, None, :] * n_columns + columns[:, :, None]
    token_score = score.gather(1, block.flatten(1))
    n_chosen = torch.full((n_batch,), round(cfg.ratio * n_sources * n_frames), device=device)
    if cells is not None:
        n = cells.n.to(device)
        n_chosen = (cfg.ratio * n_sources * n.double()).round().long()
        no_cell = torch.arange(n_frames, device=device) >= n[:, None]
        token_score = token_score.masked_fill(no_cell.repeat_interleave(n_sources, 1), torch.inf)
    rank = token_score.argsort(dim=1, stable=True).argsort(dim=1)
    chosen = rearrange(rank < n_chosen[:, None], "b (p n) -> b n p", n=n_sources)
    return _spread(chosen, cells)


def mask_codes(
    codes: Tensor,
    cfg: MaskConfig,
    *,
    generator: Draws,
    cells: TimeCells | None = None,
) -> Masked:
    """Hide codes (B, N, P, Q); see :class:`MaskConfig` and :class:`Masked`.

    The generator lives on the CPU or on the codes' device.
    """
    n_batch, n_sources, n_frames, n_levels = codes.shape
    shape, flat = (n_batch, n_sources, n_frames), n_sources * n_frames
    device = codes.device
    chosen = choose_tokens(shape, cfg, generator=generator, cells=cells).to(device)
    fate = _uniform(generator, n_batch, flat).to(device).view(shape)
    fate = _spread(fate, cells)
    hidden = chosen & (fate < cfg.mask_share)
    replaced = chosen & ~hidden & (fate < cfg.mask_share + cfg.random_share)
    n_visible = (~chosen).sum((1, 2))
    # Where nothing is visible there is nothing to take.
    hidden |= replaced & (n_visible == 0)[:, None, None]
    visible_first = chosen.flatten(1).int().argsort(dim=1, stable=True)
    draw = _uniform(generator, n_batch, flat).to(device)
    pick = (draw * n_visible[:, None]).long()
    other = visible_first.gather(1, pick).unsqueeze(-1).expand(-1, -1, n_levels)
    taken = codes.flatten(1, 2).gather(1, other).view(codes.shape)
    return Masked(torch.where(replaced.unsqueeze(-1), taken, codes), hidden, chosen)


def _uniform(generator: Draws, n_batch: int, n: int) -> Tensor:
    if isinstance(generator, WindowDraws):
        return generator.uniform(n)
    return torch.rand(n_batch, n, generator=generator, device=generator.device)


def _blocks(length: int, size: int, phase: Tensor) -> Tensor:
    """Return the block (B, length) of every place, the first cut by the whole part of a phase."""
    return (torch.arange(length, device=phase.device) + phase.long()) // size


def _spread(values: Tensor, cells: TimeCells | None) -> Tensor:
    """Give every frame of (B, N, P) what stands at its cell in (B, N, T)."""
    if cells is None:
        return values
    index = cells.cell.to(values.device)[:, None, :].expand(-1, values.shape[1], -1)
    return values.gather(2, index)
