"""AdamW with warm-up and cosine decay, the same in both stages."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights move.

    Parameters
    ----------
    lr
        Peak learning rate.
    betas
        Decay of AdamW's moving averages.
    eps
        Of AdamW. Gradients of a mean-reduced loss are small: 1e-5 would swallow them.
    weight_decay
        On weights with two or more axes; none on biases, norms and embeddings of one axis.
    warmup_steps
        Optimizer steps of linear warm-up.
    final_lr_ratio
        Learning rate at the end, relative to ``lr``.
    """

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.01
    warmup_steps: int = 20
    final_lr_ratio: float = 0.05

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr must be positive, got {self.lr}")
        if not 0 <= self.final_lr_ratio <= 1:
            raise ValueError(f"final_lr_ratio must lie in [0, 1], got {self.final_lr_ratio}")


def rate_at(step: int, total: int, cfg: OptimizerConfig) -> float:
    """Return the learning rate at ``step`` of ``total``, relative to the peak."""
    if step < cfg.warmup_steps:
        return (step + 1) / cfg.warmup_steps
    progress = min(1.0, (step - cfg.warmup_steps) / max(1, total - cfg.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return cfg.final_lr_ratio + (1 - cfg.final_lr_ratio) * cosine


def build_optimizer(
    parameters: Iterable[nn.Parameter], cfg: OptimizerConfig, total_steps: int
) -> dict[str, Any]:
    """Return what Lightning's ``configure_optimizers`` returns: AdamW and a schedule per step."""
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": cfg.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=cfg.lr, betas=cfg.betas, eps=cfg.eps
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_at(step, total_steps, cfg)
    )
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": schedule, "interval": "step"},
    }
