"""One rank of a small training with all that engines do in their own way; started by the tests.

Usage: python steps_worker.py STRATEGY PRECISION OUT, with the variables of torchrun. Gradients are
accumulated, clipped, and once thrown away; an epoch ends with fewer batches than a step has. Writes
OUT/<rank>.json and, from rank 0, the checkpoint OUT/end.ckpt.
"""

import json
import os
import sys
from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from sharding_all import shard_all
from torch import nn
from torch.utils.data import DataLoader

from brainfm.gradient_norm import drop_gradients, total_gradient_norm
from brainfm.run_checkpoints import RunFiles
from brainfm.strategies import register_strategies

DROPPED = 3
"""Optimizer step whose gradient is thrown away."""


class Model(LightningModule):
    """Odd sizes, so that shares have to be filled up; a weight outside the optimizer; a buffer."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(7, 13), nn.GELU(), nn.Linear(13, 5))
        self.fixed = nn.Parameter(torch.full((3,), 2.0), requires_grad=False)
        self.register_buffer("count", torch.zeros(3))
        self.losses, self.norms = [], []

    def training_step(self, x, index):
        self.count += 1 / 3
        loss = (self.net(x) * self.fixed.mean()).square().mean()
        self.losses.append(loss.item())
        return loss

    def on_before_optimizer_step(self, optimizer):
        parameters = list(self.net.parameters())
        self.norms.append(total_gradient_norm(self.trainer, parameters).item())
        if self.global_step == DROPPED:
            drop_gradients(self.trainer, parameters)

    def configure_optimizers(self):
        # Two groups: the engine links states of the first only.
        groups = [
            {"params": [p for p in self.net.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in self.net.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=1e-2)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def main(strategy, precision, out):
    shard_all()
    register_strategies()
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    batches = torch.randn(14, 8, 7, generator=torch.Generator().manual_seed(0))
    mine = [batch.chunk(world_size)[rank] for batch in batches]
    torch.manual_seed(0)
    trainer = Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy=strategy,
        precision=precision,
        max_steps=7,
        accumulate_grad_batches=3,
        gradient_clip_val=0.1,
        plugins=[RunFiles()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    model = Model()
    trainer.fit(model, DataLoader(mine, batch_size=None))
    trainer.save_checkpoint(Path(out) / "end.ckpt")
    result = {
        "losses": model.losses,
        "norms": model.norms,
        "file": str(Path(out) / "end.ckpt"),
        "dtypes": sorted({str(t.dtype) for t in model.state_dict().values()}),
    }
    (Path(out) / f"{rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
