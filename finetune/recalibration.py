"""A linear readout fitted anew to a few labelled trials of the day, if that makes it better.

Electrodes sit elsewhere every day. Both readouts are judged on the same new trials: the old one has
never seen them, the new one is asked about stretches of them that it was not fitted on.

Shapes: n trials, F features, O outputs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .closed_form import linear_readout, sharpness
from .head import Head
from .ridge import RidgeFit, mean_correlation
from .trial_batch import TrialBatch

MIN_TRIALS = 4
"""Of each class."""
MAX_PARTS = 5
"""Stretches that are left out in turn."""


class Refit(NamedTuple):
    """What became of a readout: balanced accuracy of the old and the new one on ``n`` trials."""

    replaced: bool
    n: int
    before: float
    after: float
    penalty: float

    def __str__(self) -> str:
        what = "refitted" if self.replaced else "left as it is"
        return (
            f"readout {what} after {self.n} labelled trials: balanced accuracy {self.before:.3f} "
            f"of the old, {self.after:.3f} of a new one on trials left out (penalty "
            f"{self.penalty:g})"
        )


@torch.no_grad()
def refit_readout(
    head: Head,
    x: Tensor,
    batch: TrialBatch,
    *,
    penalties: Sequence[float],
    inputs: Sequence[int] = (0,),
) -> Refit:
    """Replace the readout of a linear head of classes where a new one is better.

    Parameters
    ----------
    head
        A built one; its readout changes.
    x
        (n, F) pooled features in the order of time.
    batch
        The trials, with their targets.
    penalties, inputs
        To choose from, as in :class:`~.adaptation.AdaptationConfig`, by trials left out.

    Raises
    ------
    ValueError
        Too few trials of a class.
    """
    rows = batch.target.cpu().numpy()
    counts = np.bincount(rows, minlength=len(head.ridge_targets()))
    if counts.min() < MIN_TRIALS:
        assert head.targets is not None, "a built head has targets"
        there = ", ".join(f"{n} of {c}" for c, n in zip(head.targets.ids, counts, strict=True))
        raise ValueError(f"needed are at least {MIN_TRIALS} labelled trials of each class: {there}")
    x = x.double().cpu()
    truth = head.ridge_targets().double().cpu()[batch.target.cpu()]
    grid = [(k, penalty) for k in inputs for penalty in penalties]
    outputs = torch.zeros(len(grid), *truth.shape, dtype=torch.float64)
    for out in _parts(rows, min(MAX_PARTS, int(counts.min()))):
        kept = np.setdiff1d(np.arange(len(rows)), out)
        for k, (weight, bias) in enumerate(_solutions(x[kept], truth[kept], penalties, inputs)):
            outputs[k, out] = x[out] @ weight.T + bias
    scores = [mean_correlation(each, truth) for each in outputs]
    chosen = max(range(len(grid)), key=scores.__getitem__)
    linear = linear_readout(head)
    device = linear.weight.device
    before = balanced_accuracy(head.readout(x.float().to(device)).argmax(-1).cpu().numpy(), rows)
    after = balanced_accuracy(outputs[chosen].argmax(-1).numpy(), rows)
    if after > before:
        factor = sharpness(head, [(outputs[chosen].float().to(device), batch)])
        weight, bias = _solutions(x, truth, penalties, inputs)[chosen]
        linear.weight.copy_(factor * weight)
        linear.bias.copy_(factor * bias)
    return Refit(after > before, len(rows), before, after, grid[chosen][1])


def balanced_accuracy(said: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
    """Return the mean over classes of the share of their trials (n,) that were told right."""
    return float(np.mean([(said[rows == row] == row).mean() for row in np.unique(rows)]))


def _parts(rows: NDArray[np.int64], n: int) -> list[NDArray[np.int64]]:
    """Return stretches of consecutive trials of every class, as places (k,)."""
    split = [np.array_split(np.flatnonzero(rows == row), n) for row in np.unique(rows)]
    return [np.concatenate(part) for part in zip(*split, strict=True)]


def _solutions(
    x: Tensor, y: Tensor, penalties: Sequence[float], inputs: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    fit = RidgeFit()
    fit.add(x, y)
    return [found for k in inputs for found in fit.solve(penalties, k)]
