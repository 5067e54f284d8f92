"""Values: their units, the losses by hand, what is refused."""

import numpy as np
import pytest
import torch
from brainfm.finetune.backbone import FeatureShape
from brainfm.finetune.regression import Regression, RegressionConfig, correlation_loss
from brainfm.finetune.targets import Targets
from brainfm.finetune.trial_batch import TrialBatch

from brainfm.batches import Batch

VALUES = np.array([[10.0, 5.0], [14.0, 5.0], [900.0, 5.0]])


def batch_of(target) -> TrialBatch:
    target = torch.as_tensor(target)
    zeros = torch.zeros(len(target), dtype=torch.int64)
    signal = Batch(*(zeros[:, None] for _ in Batch._fields))
    return TrialBatch(signal, None, zeros, target, zeros[:, None], zeros, zeros.float(), zeros)


def built(values=VALUES, **settings) -> Regression:
    head = Regression(RegressionConfig(**settings))
    ids = np.array([f"trial {k}" for k in range(3)])
    head.build(
        FeatureShape(2, 2, 2),
        Targets(ids=ids, rows=np.arange(3), values=values),
        training=np.array([0, 1]),
    )
    return head


def test_values_are_standardised_by_training_trials_and_predicted_in_their_unit() -> None:
    head = built()
    # Training values 10 and 14: mean 12, deviation 2; 5 and 5: mean 5, deviation taken as 1.
    assert torch.allclose(head.ridge_targets()[:2], torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    found = head.predict(torch.tensor([[0.5, -1.0]]), batch_of([0]))
    assert torch.allclose(found, torch.tensor([[13.0, 4.0]]))


def test_the_squared_error_by_hand() -> None:
    output = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert built().loss(output, batch_of([0, 1])).item() == pytest.approx((1 + 0 + 0 + 4) / 4)


def test_the_correlation_is_that_of_numpy() -> None:
    x, y = torch.randn(20, 2), torch.randn(20, 2)
    r = [np.corrcoef(x[:, k], y[:, k])[0, 1] for k in range(2)]
    assert correlation_loss(x, y).item() == pytest.approx(1 - np.mean(r), abs=1e-5)
    assert correlation_loss(3 * y + 2, y).item() == pytest.approx(0, abs=1e-5)
    assert correlation_loss(x, torch.ones(20, 2)).item() == pytest.approx(1)


def test_only_the_correlation_compares_trials() -> None:
    assert built(loss="correlation").global_loss
    assert not built(loss="mse").global_loss


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="loss"):
        RegressionConfig(loss="mae")
    with pytest.raises(ValueError, match="needs values"):
        built(None)
    with pytest.raises(ValueError, match="trial 1"):
        built(np.array([1.0, np.nan, 2.0]))
