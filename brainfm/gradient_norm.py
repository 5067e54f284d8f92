"""The norm of the gradient, whichever engine holds it.

DeepSpeed's ZeRO moves gradients out of ``parameter.grad`` into its own buffers, each rank keeping a
share. Where the norm is read before the step, this asks the engine.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from brainfm.finite_guard import FiniteGuard, gradient_norm


def guard_step(module: LightningModule, guard: FiniteGuard, optimizer: Optimizer) -> None:
    """Log the gradient's norm before clipping and the rate; no step where the norm is not finite.

    To be called in ``on_before_optimizer_step``, on all ranks.
    """
    parameters = list(module.parameters())
    norm = total_gradient_norm(module.trainer, parameters)
    module.log("train/gradient_norm", norm)
    module.log("train/lr", optimizer.param_groups[0]["lr"])
    drop = partial(drop_gradients, module.trainer)
    guard.gradient(norm, parameters, step=module.global_step, drop=drop)


def total_gradient_norm(trainer: Any, parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the norm of the gradient over all parameters and ranks, before clipping.

    To be called in ``on_before_optimizer_step``, on all ranks. Not finite where the gradient is
    not.

    Parameters
    ----------
    trainer
        Lightning's, in training.
    parameters
        Those trained.

    Returns
    -------
    Tensor
        Scalar, float32.
    """
    zero = zero_optimizer(trainer)
    if zero is None:
        return gradient_norm(parameters).float()
    return _norm_of(zero, parameters) / float(getattr(zero, "loss_scale", 1.0))


def drop_gradients(trainer: Any, parameters: Iterable[nn.Parameter]) -> None:
    """Take the gradients away, so that the step to come moves no weight and no average.

    To be called where :func:`total_gradient_norm` is, on all ranks.
    """
    if zero_optimizer(trainer) is None:
        for parameter in parameters:
            parameter.grad = None
        return
    from deepspeed.utils import safe_get_local_grad, safe_set_full_grad, safe_set_local_grad

    # The engine skips a step whose gradient is not finite anywhere: one parameter will do.
    victim: Any = next(p for p in parameters if p.requires_grad)
    if hasattr(victim, "ds_tensor"):  # ZeRO-3
        # One number of the first rank's share: what fills up the last one would never be cleared.
        if torch.distributed.get_rank(victim.ds_process_group) == 0:
            share = safe_get_local_grad(victim).clone()
            share.view(-1)[0] = torch.nan
            safe_set_local_grad(victim, share)
    else:
        safe_set_full_grad(victim, torch.full_like(victim, torch.nan))


def zero_optimizer(trainer: Any) -> Any:
    """Return the optimizer of a ZeRO engine, None under other engines."""
    from brainfm.strategies import ZeroStrategy

    strategy = trainer.strategy
    return strategy.deepspeed_engine.optimizer if isinstance(strategy, ZeroStrategy) else None


def _norm_of(zero: Any, parameters: Iterable[nn.Parameter]) -> Tensor:
    if hasattr(zero, "scaled_global_norm"):  # ZeRO-1 and 2
        norms = [zero.scaled_global_norm()]
    elif hasattr(zero, "_get_norm_groups"):  # ZeRO-3
        norms = zero._get_norm_groups()
    else:
        from deepspeed.utils import safe_get_full_grad

        norms = [safe_get_full_grad(p).float().norm() for p in parameters if p.requires_grad]
    found = torch.stack([torch.as_tensor(norm).float() for norm in norms])
    # The engine writes -1 where a sum is not finite.
    return found.masked_fill(found < 0, torch.nan).norm()
