"""Which of several classes a trial is of.

Shapes: B trials, M classes, K training trials.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .backbone import FeatureShape
from .head import Head, known_training, mean_of_trials
from .pooling import PoolingConfig
from .targets import Targets
from .trial_batch import TrialBatch


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig:
    """How classes are learned.

    Parameters
    ----------
    weights
        ``balanced``: every class counts as much as any other, however many training trials it has;
        ``equal``: every trial does.
    label_smoothing
        Share of the target that is spread over all classes, in [0, 1).
    """

    weights: Literal["balanced", "equal"] = "balanced"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.weights not in ("balanced", "equal"):
            raise ValueError(f"weights must be 'balanced' or 'equal', got {self.weights!r}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie in [0, 1), got {self.label_smoothing}")


class Classification(Head):
    """Cross-entropy over classes; predictions are probabilities.

    Parameters
    ----------
    cross_entropy
        How classes are learned.
    pooling, hidden, dropout
        As in :class:`~.head.Head`.
    """

    kind = "classes"
    class_weight: Tensor

    def __init__(
        self,
        cross_entropy: CrossEntropyConfig | None = None,
        pooling: PoolingConfig | None = None,
        hidden: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(pooling, hidden, dropout)
        self.cross_entropy = cross_entropy or CrossEntropyConfig()

    def build(
        self,
        shape: FeatureShape,
        targets: Targets,
        *,
        linear: bool = False,
        training: NDArray[np.int64] | None = None,
    ) -> None:
        """Make the layers, and weigh the classes by their training trials."""
        super().build(shape, targets, linear=linear, training=training)
        weight = torch.ones(len(targets.ids))
        if self.cross_entropy.weights == "balanced":
            weight = balanced_weights(
                known_training(self, training, "the weights of classes"), len(targets.ids)
            )
        self.register_buffer("class_weight", weight)

    def n_outputs(self, targets: Targets) -> int:
        """Return the number of classes."""
        return len(targets.ids)

    def loss(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return the mean cross-entropy, each trial weighted by its class."""
        each = F.cross_entropy(
            output.float(),
            batch.target,
            label_smoothing=self.cross_entropy.label_smoothing,
            reduction="none",
        )
        # Weighted here: torch would divide by the weights of the batch, and then the gradient
        # would depend on which trials a rank was given.
        return mean_of_trials(each * self.class_weight[batch.target])

    def predict(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return probabilities (B, M)."""
        return output.float().softmax(-1)

    def ridge_targets(self) -> Tensor:
        """Return one-hot rows (M, M)."""
        return torch.eye(len(self.class_weight), device=self.class_weight.device)


def balanced_weights(training: Tensor, n_classes: int) -> Tensor:
    """Return a weight for each class (M,), inverse to its training trials (K,).

    The mean weight of a training trial is 1. A class without one has weight 1; it never counts.
    """
    counts = torch.bincount(training, minlength=n_classes)
    present = counts > 0
    weight = len(training) / (present.sum() * counts.clamp(min=1))
    return torch.where(present, weight, torch.ones(()))
