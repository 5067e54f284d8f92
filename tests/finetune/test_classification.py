"""Weights of classes, and their loss by hand."""

import math

import numpy as np
import pytest
import torch
from brainfm.finetune.backbone import FeatureShape
from brainfm.finetune.classification import Classification, CrossEntropyConfig, balanced_weights
from brainfm.finetune.targets import Targets
from brainfm.finetune.trial_batch import TrialBatch

from brainfm.batches import Batch


def batch_of(target) -> TrialBatch:
    target = torch.as_tensor(target)
    zeros = torch.zeros(len(target), dtype=torch.int64)
    signal = Batch(*(zeros[:, None] for _ in Batch._fields))
    return TrialBatch(signal, None, zeros, target, zeros[:, None], zeros, zeros.float(), zeros)


def built(**settings) -> Classification:
    head = Classification(CrossEntropyConfig(**settings))
    targets = Targets(ids=np.array(["left", "right"]), rows=np.array([0, 1]))
    head.build(FeatureShape(2, 2, 2), targets, training=np.array([0, 0, 0, 1]))
    return head


def test_every_class_counts_as_much_and_the_mean_weight_is_one() -> None:
    weight = balanced_weights(torch.tensor([0, 0, 0, 1]), 3)
    # Two classes are there: 4 / (2 * 3) and 4 / (2 * 1); the third never counts.
    assert torch.allclose(weight, torch.tensor([2 / 3, 2.0, 1.0]))


def test_the_loss_by_hand() -> None:
    scores = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    each = [math.log(2), math.log(1 + math.e)]
    batch = batch_of([0, 1])
    assert built(weights="equal").loss(scores, batch).item() == pytest.approx(sum(each) / 2)
    weighted = (each[0] * 2 / 3 + each[1] * 2) / 2
    assert built(weights="balanced").loss(scores, batch).item() == pytest.approx(weighted)


def test_smoothing_by_hand() -> None:
    scores = torch.tensor([[2.0, 0.0]])
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    found = built(weights="equal", label_smoothing=0.2).loss(scores, batch_of([0]))
    assert found.item() == pytest.approx(0.9 * right + 0.1 * wrong)


@pytest.mark.parametrize("weights", ["equal", "balanced"])
def test_the_mean_over_parts_of_a_batch_is_that_of_the_batch(weights) -> None:
    head, scores = built(weights=weights), torch.randn(5, 2)
    target = [0, 1, 0, 0, 1]
    parts = sum(
        len(part) / 5 * head.loss(scores[part], batch_of([target[k] for k in part]))
        for part in ([0, 1, 2], [3, 4])
    )
    assert torch.allclose(head.loss(scores, batch_of(target)), parts)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="weights"):
        CrossEntropyConfig(weights="none")
    with pytest.raises(ValueError, match="label_smoothing"):
        CrossEntropyConfig(label_smoothing=1.0)
