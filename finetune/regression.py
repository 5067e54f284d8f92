"""Values that go with a trial: reaction time, loudness, BOLD of regions.

Shapes: B trials, O values, M things to decode, K training trials.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .backbone import FeatureShape
from .gathering import gather_rows
from .head import Head, known_training, mean_of_trials
from .pooling import PoolingConfig
from .standardisation import moments
from .targets import Targets
from .trial_batch import TrialBatch


@dataclass(frozen=True, kw_only=True)
class RegressionConfig:
    """How values are learned.

    Parameters
    ----------
    loss
        ``mse``: mean squared error of standardised values; ``correlation``: 1 - r over the trials
        of a batch, mean over outputs.
    """

    loss: Literal["mse", "correlation"] = "mse"

    def __post_init__(self) -> None:
        if self.loss not in ("mse", "correlation"):
            raise ValueError(f"loss must be 'mse' or 'correlation', got {self.loss!r}")


class Regression(Head):
    """Values, learned with mean 0 and deviation 1 over the training trials.

    Mean and deviation are those of the training trials' targets, taken once when the head is built.

    Parameters
    ----------
    regression
        How values are learned.
    pooling, hidden, dropout
        As in :class:`~.head.Head`.
    """

    kind = "values"
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        regression: RegressionConfig | None = None,
        pooling: PoolingConfig | None = None,
        hidden: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(pooling, hidden, dropout)
        self.regression = regression or RegressionConfig()
        self.global_loss = self.regression.loss == "correlation"

    def build(
        self,
        shape: FeatureShape,
        targets: Targets,
        *,
        linear: bool = False,
        training: NDArray[np.int64] | None = None,
    ) -> None:
        """Make the layers and take mean and deviation of the training trials' values."""
        super().build(shape, targets, linear=linear, training=training)
        rows, counts = known_training(self, training, "mean and deviation of values").unique(
            return_counts=True
        )
        mean, deviation = moments(self._values(rows), counts)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def n_outputs(self, targets: Targets) -> int:
        """Return O."""
        values = targets.values
        if values is None or values.ndim not in (1, 2):
            raise ValueError(
                "regression needs values of every trial, (things,) or (things, outputs), got "
                f"{None if values is None else values.shape}"
            )
        if not np.isfinite(values).all():
            bad = targets.ids[~np.isfinite(values.reshape(len(values), -1)).all(1)]
            raise ValueError(f"the values of {len(bad)} trials are not finite, e.g. of {bad[0]}")
        return 1 if values.ndim == 1 else int(values.shape[1])

    def loss(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return the squared error, or 1 - r over the trials of all ranks."""
        truth = self._standardised(batch.target)
        if self.regression.loss == "mse":
            return mean_of_trials((output.float() - truth).square().mean(1))
        return correlation_loss(gather_rows(output.float()), gather_rows(truth))

    def predict(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return values (B, O) in their own unit."""
        return output.float() * self.deviation + self.mean

    def ridge_targets(self) -> Tensor:
        """Return the standardised values (M, O)."""
        return self._standardised(torch.arange(len(self.values), device=self.values.device))

    def _values(self, rows: Tensor) -> Tensor:
        return self.values.reshape(len(self.values), -1)[rows].float()

    def _standardised(self, rows: Tensor) -> Tensor:
        return (self._values(rows) - self.mean) / self.deviation


def correlation_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - r over trials of (B, O), mean over outputs.

    An output that is the same in all trials has r = 0; without trials the loss is 0.
    """
    if not len(prediction):
        return prediction.sum()
    x, y = prediction - prediction.mean(0), truth - truth.mean(0)
    scale = (x.square().sum(0) * y.square().sum(0)).clamp(min=1e-12).sqrt()
    return (1 - (x * y).sum(0) / scale).mean()
