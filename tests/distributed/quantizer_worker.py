"""One rank of a training run with every kind of quantizer; started by the tests beside it.

Usage: python quantizer_worker.py STRATEGY PRECISION OUT, with the variables of torchrun.
Writes what the quantizers hold at the end to OUT/<rank>.json.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from brainfm.quantizers import KINDS, QuantizerConfig, build_quantizer
from brainfm.strategies import register_strategies

WIDTH, STEPS, QUANTIZE_AFTER = 12, 12, 4
SETTINGS = [
    *({"kind": kind} for kind in KINDS),
    {"kind": "rvq", "codebook_dim": 3},
]


class Model(LightningModule):
    """A linear encoder, every quantizer side by side, a linear decoder."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(8, WIDTH), nn.Linear(WIDTH, 8)
        # Half of a code's fair share counts as dead: codes are replaced at nearly every step.
        self.quantizers = nn.ModuleList(
            build_quantizer(
                QuantizerConfig(
                    n_quantizers=2,
                    codebook_size=9,
                    scalar_levels=(3, 3),
                    dead_below=0.5,
                    decay=0.8,
                    **settings,
                ),
                WIDTH,
            )
            for settings in SETTINGS
        )
        self.latents = []
        self.losses = []

    def configure_model(self):
        for quantizer in self.quantizers:
            quantizer.synchronise(self.trainer.world_size > 1)

    def training_step(self, x, batch_idx):
        latents = F.normalize(self.encoder(x), dim=-1)
        quantize = self.global_step >= QUANTIZE_AFTER
        if not quantize:
            self.latents.append(latents.detach())
            if self.global_step == QUANTIZE_AFTER - 1:
                for quantizer in self.quantizers:
                    quantizer.initialise(torch.cat(self.latents))
        loss = torch.zeros(())
        for quantizer in self.quantizers:
            out = quantizer(latents) if quantize else quantizer.skip(latents)
            loss = loss + F.mse_loss(self.decoder(out.values), x) + out.commitment
        self.losses.append(float(loss))
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def batches(rank):
    """Return batches that differ between ranks, in numbers and in size."""
    generator = torch.Generator().manual_seed(100 + rank)
    spread = torch.linspace(2, 0.5, 8)
    return [
        torch.randn(40 + 9 * rank, 8, generator=generator) * spread + 0.2 * rank
        for _ in range(STEPS)
    ]


def digest(tensors):
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest()


def main(strategy, precision, out):
    register_strategies()
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.manual_seed(rank)
    trainer = Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy=strategy,
        precision=precision,
        max_steps=STEPS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    if strategy == "zero_3":
        trainer.strategy.config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    model = Model()
    trainer.fit(model, DataLoader(batches(rank), batch_size=None))
    stage = trainer.strategy.model.zero_optimization_stage() if "zero" in strategy else None
    result = {
        "world_size": trainer.world_size,
        "stage": stage,
        "losses": model.losses,
        "initialised": [q.initialised for q in model.quantizers],
        "finite": [bool(all(b.isfinite().all() for b in q.buffers())) for q in model.quantizers],
        "buffers": [digest(q.buffers()) for q in model.quantizers],
        "dtypes": sorted(
            {str(b.dtype) for q in model.quantizers for b in q.buffers() if b.is_floating_point()}
        ),
    }
    (Path(out) / f"{rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
