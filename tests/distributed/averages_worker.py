"""One rank that moves codebooks from a known start by its share of known latents.

Usage: python averages_worker.py OUT, with the variables of torchrun.
"""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed

from brainfm.kmeans import draw
from brainfm.quantizers import QuantizerConfig, ResidualQuantizer
from brainfm.scalar_quantizers import principal_axes


def main(out):
    rank, n_ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.distributed.init_process_group("gloo")
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(10, 60, 6, generator=generator) * torch.linspace(2, 0.5, 6)
    mine = latents[:, rank::n_ranks]
    torch.manual_seed(0)
    cfg = QuantizerConfig(n_quantizers=2, codebook_size=8, dead_below=0.0, decay=0.8)
    quantizer = ResidualQuantizer(cfg, 6)
    quantizer.initialise(torch.randn(200, 6))  # the same on every rank, before they share
    quantizer.synchronise(n_ranks > 1)
    torch.manual_seed(rank)
    for z in mine:
        quantizer.train()(z)
    axes = principal_axes(mine.flatten(0, 1), 3, n_ranks)
    drawn = draw(torch.arange(20.0)[:, None] + 100 * rank, 5, n_ranks)
    result = {
        "codebooks": quantizer.codebooks.flatten().tolist(),
        "axes": (axes.directions * axes.directions[:1].sign()).flatten().tolist(),
        "drawn": len(drawn.unique()),
        "from_each": sorted([int((drawn < 100).sum()), int((drawn >= 100).sum())]),
        "vectors": drawn.flatten().tolist(),
    }
    (Path(out) / f"{rank}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
