"""A score beside the loss while a decoder is trained; evaluation judges otherwise, and later.

Shapes: B trials, M things to decode, O outputs, G things of a batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.regression import PearsonCorrCoef

from .head import Head
from .trial_batch import TrialBatch


class RunningScore(nn.Module):
    """Balanced accuracy of classes, correlation of values, first place among a batch's stimuli.

    Parameters
    ----------
    head
        A built head.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.kind = head.kind
        self.name, self.metric = _metric(head)

    def update(self, head: Head, predicted: Tensor, batch: TrialBatch) -> None:
        """Count what was predicted for a batch."""
        if self.kind == "classes":
            assert self.metric is not None
            self.metric.update(predicted, batch.target)
        elif self.kind == "values":
            assert self.metric is not None
            truth = head.values[batch.target].reshape(len(predicted), -1).float()
            self.metric.update(predicted.reshape(truth.shape), truth)
        elif self.kind == "retrieval":
            assert self.metric is not None
            rows, place = torch.unique(batch.target, return_inverse=True)
            self.metric.update((similarity(head, predicted, rows).argmax(1) == place).float())


class MeanCorrelation(PearsonCorrCoef):
    """Correlation averaged over the outputs that vary: one number, which is what can be logged."""

    def compute(self) -> Tensor:
        """Return the mean, a scalar."""
        return super().compute().nanmean()


def similarity(head: Head, queries: Tensor, rows: Tensor) -> Tensor:
    """Return the cosine (B, G) of queries (B, O) with the things of a gallery, rows (G,)."""
    gallery = F.normalize(head.gallery(rows).float().flatten(1), dim=-1)
    return F.normalize(queries.float().flatten(1), dim=-1) @ gallery.T


def _metric(head: Head) -> tuple[str, Metric | None]:
    targets = head.targets
    assert targets is not None
    if head.kind == "classes":
        return "balanced_accuracy", MulticlassAccuracy(len(targets.ids), average="macro")
    if head.kind == "retrieval":
        return "first_in_batch", MeanMetric()
    if head.kind == "values":
        assert targets.values is not None
        n = int(targets.values[0].size)
        return "r", MeanCorrelation(num_outputs=n)
    return "", None
