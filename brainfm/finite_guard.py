"""What training does when a number is not finite: skip the step, say where from, stop in time.

Shapes: B batch.
"""

import sys
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from brainfm.batches import Batch


class FiniteGuard:
    """Keep numbers that are not finite out of the weights.

    A loss that is not finite on any rank becomes zero on all of them, so that no rank waits for
    another, and the step that follows is skipped: no weight, average or momentum moves.

    Parameters
    ----------
    limit
        Steps in a row that may be skipped, at least 1; training stops at the last.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"max_skipped_steps must be at least 1, got {limit}")
        self.limit = limit
        self.in_a_row = 0
        self._skip = False

    def loss(
        self,
        total: Tensor,
        broken: Tensor,
        parameters: Iterable[nn.Parameter],
        *,
        step: int,
        names: Callable[[Tensor], Sequence[str]],
    ) -> Tensor:
        """Return the loss, or zero if something on any rank is not finite.

        Parameters
        ----------
        total
            The loss, scalar.
        broken
            (B,) samples with a number that is not finite.
        parameters
            Of the model.
        step
            Optimizer step, for the message.
        names
            Gives the recordings of the samples in a mask (B,).
        """
        here = broken.any() | ~torch.isfinite(total)
        if not on_any_rank(here):
            return total
        self._skip = True
        suspects = broken if broken.any() else torch.ones_like(broken)
        self._report(step, "signal or loss", names(suspects) if here else ["another rank"])
        return no_loss(parameters)

    def gradient(
        self,
        norm: Tensor,
        parameters: Iterable[nn.Parameter],
        *,
        step: int,
        drop: Callable[[Iterable[nn.Parameter]], None] | None = None,
    ) -> None:
        """Take the gradients away where the step is to be skipped; the optimizer then does nothing.

        Parameters
        ----------
        norm
            Of the gradient over all ranks, scalar.
        parameters
            Of the model.
        step
            Optimizer step, for the message.
        drop
            Takes the gradients of parameters away, for engines that hold them elsewhere.
        """
        if not self._skip and bool(torch.isfinite(norm)):
            self.in_a_row = 0
            return
        if not self._skip:
            self._report(step, "gradient", [])
        self._skip = False
        (drop or _drop)(parameters)

    def _report(self, step: int, what: str, names: Sequence[str]) -> None:
        self.in_a_row += 1
        source = f" in {', '.join(names)}" if names else ""
        line = f"step {step} skipped: {what} not finite{source}"
        print(f"{line} ({self.in_a_row} in a row, {self.limit} end the run)", file=sys.stderr)
        if self.in_a_row >= self.limit:
            raise ValueError(
                f"{line}; that makes {self.in_a_row} in a row. If recordings are named, leave them "
                "out of the corpus ('brainfm corpus verify' finds damaged files); if their names "
                "change, lower --model.optimizer.lr"
            )


def _drop(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


def without_broken(batch: Batch) -> tuple[Batch, Tensor]:
    """Return the batch with zeros for samples that are not finite, and which those are (B,).

    Codebooks are averages of what went through them: nothing broken may reach them.
    """
    broken = broken_samples(batch.x)
    return batch._replace(x=batch.x.masked_fill(broken[:, None, None], 0.0)), broken


def broken_samples(values: Tensor) -> Tensor:
    """Return which samples (B,) of (B, ...) hold a number that is not finite."""
    return ~torch.isfinite(values.detach()).flatten(1).all(1)


def on_any_rank(flag: Tensor) -> bool:
    """Tell whether a scalar flag is true on any rank; every rank must ask."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        flag = flag.to(torch.int32)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


def no_loss(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return zero with a gradient of zero for every parameter: engines expect one of each."""
    return torch.stack([p.float().sum() for p in parameters if p.requires_grad]).sum() * 0.0


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the norm of all gradients there are, a scalar; 0 where an engine hides them."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
