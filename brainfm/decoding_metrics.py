"""Measures of decoding: what they are called, what guessing gives, how they are computed.

The numbers are torchmetrics'; here is only what it needs to be told.

Shapes: N trials, K classes, D outputs.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Compute = Callable[[NDArray[Any], NDArray[Any]], float]
"""``compute(prediction, target)``, first axis N in both; NaN where it is not defined."""

SHARE = (0.0, 1.0)
"""Limits of what is a share."""
N_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measure.

    Parameters
    ----------
    name
        As in tables.
    compute
        From predictions and targets, one row per trial, to a number.
    chance
        What a decoder without access to the brain expects, or can at best reach where that
        depends on its habits; None where there is no such level.
    higher_is_better
        False for errors.
    limits
        Least and greatest value there can be.
    """

    name: str
    compute: Compute
    chance: float | None
    higher_is_better: bool = True
    limits: tuple[float, float] = (-math.inf, math.inf)


def classification_metrics(target: NDArray[np.int64], n_classes: int) -> tuple[Metric, ...]:
    """Return the measures of classification; predictions are probabilities (N, K).

    Accuracy, its balanced form (mean recall of the classes there are), mean area under the
    one-against-rest ROC curve, Cohen's kappa, and expected calibration error (15 bins), which has
    no chance level.

    Parameters
    ----------
    target
        (N,) classes of the test trials, from 0. Chance of accuracy is the share of the most
        frequent one: what a decoder gets that always names it.
    n_classes
        K, classes that can be predicted.

    Raises
    ------
    ValueError
        Fewer than two classes, no target, a target that is no class.
    """
    if n_classes < 2:
        raise ValueError(f"classification needs at least 2 classes, got {n_classes}")
    if not len(target) or target.min() < 0 or target.max() >= n_classes:
        raise ValueError(
            f"targets must be classes from 0 to {n_classes - 1}, and there must be one"
        )
    counts = np.bincount(target, minlength=n_classes)
    return (
        Metric(
            name="accuracy",
            compute=_classes(_accuracy),
            chance=counts.max() / counts.sum(),
            limits=SHARE,
        ),
        Metric(
            name="balanced accuracy",
            compute=_classes(_balanced),
            chance=1 / int((counts > 0).sum()),
            limits=SHARE,
        ),
        Metric(name="macro AUC", compute=_classes(_macro_auc), chance=0.5, limits=SHARE),
        Metric(name="Cohen's kappa", compute=_classes(_kappa), chance=0.0, limits=(-1.0, 1.0)),
        Metric(
            name="calibration error",
            compute=_classes(_calibration_error),
            chance=None,
            higher_is_better=False,
            limits=SHARE,
        ),
    )


def regression_metrics() -> tuple[Metric, ...]:
    """Return correlation and R2 of predictions (N, D) or (N,), each the mean over outputs.

    An output that is the same for all trials has r = 0; a target that is the same is left out.
    The chance level of R2, 0, is that of predicting the mean of the test targets; less than that
    is common.
    """
    return (
        Metric(name="r", compute=_correlation, chance=0.0, limits=(-1.0, 1.0)),
        Metric(name="R2", compute=_r2, chance=0.0, limits=(-math.inf, 1.0)),
    )


def _classes(function: Callable[[Tensor, Tensor, int], Tensor]) -> Compute:
    def compute(probabilities: NDArray[Any], target: NDArray[Any]) -> float:
        p = torch.as_tensor(probabilities, dtype=torch.float64)
        if p.ndim != 2 or len(p) != len(target) or not torch.isfinite(p).all():
            raise ValueError(
                f"predictions must be finite probabilities ({len(target)}, K), got {tuple(p.shape)}"
            )
        return float(function(p, torch.as_tensor(target, dtype=torch.int64), p.shape[1]))

    return compute


def _accuracy(p: Tensor, target: Tensor, n_classes: int) -> Tensor:
    from torchmetrics.functional.classification import multiclass_accuracy

    return multiclass_accuracy(p, target, n_classes, average="micro", validate_args=False)


def _balanced(p: Tensor, target: Tensor, n_classes: int) -> Tensor:
    from torchmetrics.functional.classification import multiclass_recall

    each = multiclass_recall(p, target, n_classes, average="none", validate_args=False)
    # torchmetrics' own mean counts a class that is only predicted as one never found.
    return each[target.unique()].mean()


def _macro_auc(p: Tensor, target: Tensor, n_classes: int) -> Tensor:
    from torchmetrics.functional.classification import multiclass_auroc

    there = target.unique()
    if len(there) < 2:
        return torch.tensor(math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are not there, which are not used
        each = multiclass_auroc(p, target, n_classes, average="none", validate_args=False)
    return each[there].mean()


def _kappa(p: Tensor, target: Tensor, n_classes: int) -> Tensor:
    from torchmetrics.functional.classification import multiclass_cohen_kappa

    return multiclass_cohen_kappa(p, target, n_classes, validate_args=False)


def _calibration_error(p: Tensor, target: Tensor, n_classes: int) -> Tensor:
    from torchmetrics.functional.classification import multiclass_calibration_error

    return multiclass_calibration_error(
        p, target, n_classes, n_bins=N_BINS, norm="l1", validate_args=False
    )


def _pair(prediction: NDArray[Any], target: NDArray[Any]) -> tuple[Tensor, Tensor]:
    x, y = (torch.as_tensor(v, dtype=torch.float64) for v in (prediction, target))
    if x.shape != y.shape:
        raise ValueError(f"predictions {tuple(x.shape)} and targets {tuple(y.shape)} differ")
    return x.reshape(len(x), -1), y.reshape(len(y), -1)


def _correlation(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    x, y = (values.numpy() for values in _pair(prediction, target))
    if len(x) < 2:
        return math.nan
    told, there = (x != x[0]).any(0), (y != y[0]).any(0)
    x, y = x - x.mean(0), y - y.mean(0)
    # Written out: intervals take it of thousands of draws, and torchmetrics' takes 8 times as long.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        r = (x * y).sum(0) / (np.sqrt((x**2).sum(0)) * np.sqrt((y**2).sum(0)))
    # An output that says the same of all trials tells nothing; left out, it would raise the mean.
    r = np.where(told, r.clip(-1, 1), 0.0)[there]
    r = r[~np.isnan(r)]
    return float(r.mean()) if len(r) else math.nan


def _r2(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    from torchmetrics.functional import r2_score

    x, y = _pair(prediction, target)
    return float(r2_score(x, y)) if len(x) > 1 else math.nan
