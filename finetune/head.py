"""What every head has in common: pool features, read out, compare with the target.

A new task is a subclass with three short methods (:meth:`Head.n_outputs`, :meth:`Head.loss`,
:meth:`Head.predict`); everything else - adaptation, folds, controls, intervals - comes with it.

Shapes: B trials, P frames, N sources, D width, F pooled features, O outputs, M things to decode.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
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
    per_frame: ClassVar[bool] = False
    """Whether there is an output for every frame (B, P, O) instead of one for the trial (B, O)."""

    def __init__(
        self, pooling: PoolingConfig | None = None, hidden: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.pooling, self.hidden, self.dropout = pooling or PoolingConfig(), hidden, dropout
        self.targets: Targets | None = None

    def build(self, shape: FeatureShape, targets: Targets, *, linear: bool = False) -> None:
        """Make the layers.

        Parameters
        ----------
        shape
            Of the features.
        targets
            What is decoded; only training trials' rows may be learned from, but features of all
            things may be looked at.
        linear
            No layer but one linear map of the pooled features (adaptations ``linear``, ``ridge``).
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
        """Return the mean loss of a batch, or of all ranks' batches where trials are compared."""

    @abstractmethod
    def predict(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return what is saved of each trial: probabilities, queries, values or codes of texts."""

    def gallery(self, rows: Tensor) -> Tensor:
        """Return what queries are compared with by their cosine, (M', O), for rows (M',)."""
        raise ValueError(f"{type(self).__name__} retrieves nothing")

    def ridge_targets(self) -> Tensor:
        """Return what a closed-form readout is to give for each thing to decode, (M, O)."""
        raise ValueError(
            f"{type(self).__name__} has no closed form; use another adaptation than ridge"
        )
