"""How often each code of a checkpoint occurs in a trial: the least that codes can be good for.

Shapes: B trials, N sources, P frames, Q quantizers, K codes of each.
"""

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from brainfm.checkpoints import load_checkpoint
from brainfm.code_times import n_frames

from .data import DecodingData


@torch.inference_mode()
def code_histograms(checkpoint: str | Path, data: DecodingData) -> NDArray[np.float64]:
    """Return, for all trials, the root of every code's share in its level, (trials, Q x K).

    Parameters
    ----------
    checkpoint
        Folder of a checkpoint.
    data
        Prepared as it wants it.
    """
    tokenizer = load_checkpoint(checkpoint).tokenizer.eval()
    size = tokenizer.quantizer.codebooks.shape[1]
    found = []
    for batch in data.side_batches("all"):
        signal = batch.signal
        sensors = tokenizer.embed_sensors(
            signal.positions, signal.orientations, signal.types, signal.mask
        )
        kept = n_frames(signal.x.shape[-1], tokenizer.cfg)
        codes = tokenizer.tokenize(signal.x.float(), sensors)[:, :, :kept]
        levels = rearrange(codes, "b n p q -> b q (n p)")
        counts = torch.zeros(*levels.shape[:2], size, dtype=torch.float64)
        counts.scatter_add_(2, levels, torch.ones_like(levels, dtype=torch.float64))
        found.append((counts / levels.shape[-1]).sqrt().flatten(1))
    return torch.cat(found).numpy()
