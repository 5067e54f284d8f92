"""AdamW with warm-up and cosine decay, the same in all stages."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
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


@dataclass(frozen=True, kw_only=True)
class RateGroup:
    """Weights that move at a rate of their own.

    Parameters
    ----------
    parameters
        The weights.
    rate
        Peak learning rate relative to ``OptimizerConfig.lr``.
    start
        Step at which they begin to move; warm-up and decay count from there.
    """

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0
    start: int = 0


def build_optimizer(
    parameters: Iterable[nn.Parameter], cfg: OptimizerConfig, total_steps: int
) -> dict[str, Any]:
    """Return what Lightning's ``configure_optimizers`` returns: AdamW and a schedule per step."""
    return build_group_optimizer([RateGroup(parameters=list(parameters))], cfg, total_steps)


def build_group_optimizer(
    groups: Iterable[RateGroup], cfg: OptimizerConfig, total_steps: int
) -> dict[str, Any]:
    """Return the same for weights with different rates; what needs no gradient is left out."""
    settings: list[dict[str, Any]] = []
    schedules: list[Callable[[int], float]] = []
    for group in groups:
        trained = [p for p in group.parameters if p.requires_grad]
        for chosen, decay in (
            ([p for p in trained if p.ndim >= 2], cfg.weight_decay),
            ([p for p in trained if p.ndim < 2], 0.0),
        ):
            if chosen:
                lr = group.rate * cfg.lr
                settings.append({"params": chosen, "lr": lr, "weight_decay": decay})
                schedules.append(partial(_rate_from, group.start, total_steps, cfg))
    optimizer = torch.optim.AdamW(settings, lr=cfg.lr, betas=cfg.betas, eps=cfg.eps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, schedules)
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": schedule, "interval": "step"},
    }


def _rate_from(start: int, total: int, cfg: OptimizerConfig, step: int) -> float:
    return 0.0 if step < start else rate_at(step - start, total - start, cfg)
