"""Predictions of a trained decoder for the trials of a side.

Shapes: B trials, N trials of a side, G of the gallery, O outputs.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .data import DecodingData, Side
from .head import Head
from .module import DecodingModule
from .predictions import Predictions
from .running_score import similarity
from .targets import Targets
from .trial_batch import TrialBatch, moved


@torch.inference_mode()
def predicted(
    module: DecodingModule, batches: Iterable[TrialBatch]
) -> Iterator[tuple[Tensor, TrialBatch]]:
    """Yield what the head says of each batch, and the batch, on the module's device."""
    module.eval()
    device = next(module.head.parameters()).device
    # A frozen backbone is not moved with the module.
    module.backbone.eval().to(device)
    for batch in batches:
        here = moved(batch, device)
        yield module.head.predict(module(here), here), here


def predict_side(module: DecodingModule, data: DecodingData, side: Side) -> Predictions:
    """Return the predictions of "train", "validation" or "test".

    Parameters
    ----------
    module
        A prepared and trained one.
    data
        Of the same fold.
    side
        Which trials; there must be some.
    """
    head, targets, chosen = module.head, data.targets, data.indices(side)
    gallery = np.unique(targets.rows[chosen])
    if targets.rivals is not None:
        gallery = np.union1d(gallery, targets.rivals[chosen])
    rows = torch.from_numpy(gallery)
    outputs, trial = [], []
    for found, batch in predicted(module, data.side_batches(side)):
        outputs.append(_saved(head, found, rows.to(found.device)))
        trial.append(batch.trial.cpu().numpy())
    order = np.argsort(np.concatenate(trial))
    trials = np.concatenate(trial)[order]
    right, rivals = targets.rows[trials], targets.rivals
    return Predictions(
        trial=trials,
        target=right,
        output=np.concatenate(outputs)[order],
        truth=_truth(head, right, targets),
        gallery=gallery if head.kind == "retrieval" else gallery[:0],
        rivals=np.zeros((len(trials), 0), np.int64) if rivals is None else rivals[trials],
    )


def _saved(head: Head, found: Tensor, gallery: Tensor) -> NDArray[Any]:
    if head.kind == "retrieval":
        return similarity(head, found, gallery).cpu().numpy()
    if head.kind == "text":
        return np.array(head.texts(found.cpu()), dtype=np.str_)
    return found.float().cpu().numpy()


def _truth(head: Head, rows: NDArray[np.int64], targets: Targets) -> NDArray[Any]:
    if head.kind == "text":
        return np.array(head.texts_of(rows), dtype=np.str_)
    if head.kind == "values":
        assert targets.values is not None
        return np.asarray(targets.values[rows])
    return np.zeros(0, dtype=np.float32)
