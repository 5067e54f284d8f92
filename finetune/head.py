"""What every head has in common: pool features, read out, compare with the target.

A new task is a subclass with three short methods (:meth:`Head.n_outputs`, :meth:`Head.loss`,
:meth:`Head.predict`); everything else - adaptation, folds, controls, intervals - comes with it.
This one is whole:

.. code-block:: python

    class Loudness(Head):
        kind = "values"

        def n_outputs(self, targets):
            return 1

        def loss(self, output, batch):
            return (output - self.values[batch.target]).abs().mean()

        def predict(self, output, batch):
            return output

Shapes: B trials, P frames, N sources, D width, F pooled features, O outputs, M things to decode,
K training trials.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .backbone import FeatureShape
from .pooling import Pooling, PoolingConfig
from .targets import Targets
from .trial_batch import TrialBatch

Kind = Literal["classes", "retrieval", "values", "text"]
"""How predictions are judged: as probabilities (B, M); as queries, compared with a gallery; as
values (B, O); as texts."""


class Head(nn.Module, ABC):
    """From features (B, P, N, D) to predictions. Named by ``model.head.class_path``.

    Parameters
    ----------
    pooling
        How features of frames and sources become a vector.
    hidden
        Units of a layer between pooling and readout; 0: the readout is linear.
    dropout
        Of the pooled features, in [0, 1).
    """

    kind: ClassVar[Kind]
    per_frame: bool = False
    """Whether there is an output for every frame (B, P, O) instead of one for the trial (B, O)."""
    global_loss: bool = False
    """Whether trials are compared with each other: :meth:`loss` is that of all ranks' batches
    together, the same on every rank, and every rank must call it, also without a trial."""
    whole_passages: bool = False
    """Whether the trials of a passage must be in one batch, in prediction too."""

    values: Tensor

    def __init__(
        self, pooling: PoolingConfig | None = None, hidden: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if hidden < 0:
            raise ValueError(f"hidden must be a number of units or 0 for no layer, got {hidden}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.pooling, self.hidden, self.dropout = pooling or PoolingConfig(), hidden, dropout
        self.targets: Targets | None = None

    def build(
        self,
        shape: FeatureShape,
        targets: Targets,
        *,
        linear: bool = False,
        training: NDArray[np.int64] | None = None,
    ) -> None:
        """Make the layers.

        Parameters
        ----------
        shape
            Of the features.
        targets
            What is decoded; features of all things may be looked at, nothing learned from them.
        linear
            No layer but one linear map of the pooled features (adaptations ``linear``, ``ridge``).
        training
            (K,) rows of ``targets`` that are right for the training trials, each as often as it
            occurs: the only ones that statistics may be taken of.
        """
        self.targets = targets
        self.pool = Pooling(self.pooling, shape, per_frame=self.per_frame)
        n_out, n_in = self.n_outputs(targets), self.pool.n_features
        if linear or not self.hidden:
            self.readout: nn.Module = nn.Sequential(
                nn.Dropout(0.0 if linear else self.dropout), nn.Linear(n_in, n_out)
            )
        else:
            self.readout = nn.Sequential(
                nn.Dropout(self.dropout),
                nn.Linear(n_in, self.hidden),
                nn.GELU(),
                nn.Dropout(self.dropout),
                nn.Linear(self.hidden, n_out),
            )
        if targets.values is not None:
            # Looked up by row; not trained, not saved: they belong to the data.
            self.register_buffer("values", torch.as_tensor(targets.values), persistent=False)

    def forward(self, features: Tensor, batch: TrialBatch) -> Tensor:
        """Return outputs (B, O), or (B, P, O) if ``per_frame``, of features (B, P, N, D)."""
        output: Tensor = self.readout(self.pool(features))
        return output

    @abstractmethod
    def n_outputs(self, targets: Targets) -> int:
        """Return O."""

    @abstractmethod
    def loss(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return the mean loss of a batch's trials, or with ``global_loss`` of all ranks' trials.

        An empty batch has loss 0.
        """

    @abstractmethod
    def predict(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return what is saved of each trial: probabilities, queries or values.

        A head of kind ``text`` returns what :meth:`texts` reads.
        """

    def gallery(self, rows: Tensor) -> Tensor:
        """Return what queries are compared with by their cosine, (M', O), for rows (M',)."""
        raise ValueError(f"{type(self).__name__} retrieves nothing")

    def ridge_targets(self) -> Tensor:
        """Return what a closed-form readout is to give for each thing to decode, (M, O)."""
        raise ValueError(
            f"{type(self).__name__} has no closed form; use another adaptation than ridge"
        )

    def texts(self, predicted: Tensor) -> list[str]:
        """Return the texts that :meth:`predict`'s result for some trials stands for."""
        raise ValueError(f"{type(self).__name__} decodes no text")

    def texts_of(self, rows: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """Return the true texts of rows of the targets."""
        raise ValueError(f"{type(self).__name__} decodes no text")


def known_training(head: Head, training: NDArray[np.int64] | None, what: str) -> Tensor:
    """Return the training rows (K,) as a tensor, or say what they are needed for."""
    if training is None or not len(training):
        raise ValueError(
            f"{type(head).__name__} takes {what} from training trials; give build their rows as "
            "'training'"
        )
    return torch.as_tensor(np.asarray(training, dtype=np.int64))


def mean_of_trials(each: Tensor) -> Tensor:
    """Return the mean of losses (B,), 0 of no trial; its gradient is defined in both cases."""
    return each.sum() / max(1, len(each))
