"""Which latent frames cover the same samples.

Windows of a tokenizer may overlap; frames of neighbouring windows then show the same signal, and
what is hidden in one could be read off the other. Frames with a common sample form a *cell*, and so
do all that are linked through others. Without overlap every frame is a cell of its own.

Shapes: P frames, F frames a tokenizer window, B batch.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainfm.brain_tokenizer import TokenizerConfig


class TimeCells(NamedTuple):
    """The cells of some windows of codes.

    ``cell`` (B, P) int64: the cell of each frame, numbered from 0 in the order of time; ``n`` (B,)
    cells of each window of codes.
    """

    cell: Tensor
    n: Tensor


def cells_of(first: int, stop: int, cfg: TokenizerConfig) -> np.ndarray:
    """Return the cells (stop - first,) int64 of frames ``first`` to ``stop``, from 0."""
    window, within = np.divmod(np.arange(first, stop), cfg.frames_per_window)
    begin = window * cfg.stride + within * cfg.hop
    order = np.argsort(begin, kind="stable")
    ends = np.maximum.accumulate(begin[order] + cfg.hop)
    apart = begin[order][1:] >= ends[:-1]
    cell = np.empty(stop - first, np.int64)
    cell[order] = np.concatenate([[0], np.cumsum(apart)])
    return cell


def cell_table(n_frames: int, cfg: TokenizerConfig) -> Tensor:
    """Return the cells (F, P) of ``n_frames`` frames, for each place in a window they begin at.

    Without overlap the table is empty, (0, P).
    """
    if cfg.stride >= cfg.window:
        return torch.zeros(0, n_frames, dtype=torch.int64)
    phases = range(cfg.frames_per_window)
    return torch.from_numpy(np.stack([cells_of(k, k + n_frames, cfg) for k in phases]))


def look_up_cells(table: Tensor, start: Tensor) -> TimeCells | None:
    """Return the cells of windows of codes that begin at frames ``start`` (B,); None if trivial."""
    if not len(table):
        return None
    cell = table[start % len(table)]
    return TimeCells(cell, cell.amax(1) + 1)
