"""The norm of the gradient without an engine; with one, see tests/distributed."""

import pytest
import torch
from lightning import Trainer
from torch import nn

from brainfm.gradient_norm import drop_gradients, total_gradient_norm


@pytest.fixture
def trainer():
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)


def parameters(*gradients):
    made = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros(len(gradient)))
        parameter.grad = torch.tensor(gradient)
        made.append(parameter)
    return made


def test_it_is_the_norm_of_all_gradients_together(trainer):
    norm = total_gradient_norm(
        trainer, [*parameters([3.0], [0.0, 4.0]), nn.Parameter(torch.ones(2))]
    )
    assert norm.item() == 5.0
    assert norm.dtype == torch.float32


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_it_is_not_finite_where_a_gradient_is_not(trainer, value):
    assert not torch.isfinite(total_gradient_norm(trainer, parameters([1.0, value])))


def test_dropped_gradients_move_nothing(trainer):
    moved = parameters([1.0, 2.0])
    optimizer = torch.optim.AdamW(moved, weight_decay=0.5)
    moved[0].data.fill_(1.0)
    optimizer.step()
    before, state = moved[0].detach().clone(), optimizer.state[moved[0]]["step"].item()
    moved[0].grad = torch.ones(2)
    drop_gradients(trainer, moved)
    optimizer.step()
    torch.testing.assert_close(moved[0].detach(), before, rtol=0, atol=0)
    assert optimizer.state[moved[0]]["step"].item() == state
