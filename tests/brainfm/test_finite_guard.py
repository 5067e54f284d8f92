"""Numbers that are not finite: the step is skipped, the recording named, the run ends in time."""

import pytest
import torch
from torch import nn

from brainfm.finite_guard import FiniteGuard, broken_samples, gradient_norm, no_loss


def layer():
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    return model


def names(broken):
    return [f"rec{k}" for k in torch.nonzero(broken).flatten().tolist()]


def one_step(guard, model, optimizer, loss, broken, step=0):
    optimizer.zero_grad()
    guard.loss(loss, broken, model.parameters(), step=step, names=names).backward()
    guard.gradient(gradient_norm(model.parameters()), model.parameters(), step=step)
    optimizer.step()


def test_a_sound_loss_passes():
    model, total = layer(), torch.tensor(1.0)
    broken = torch.zeros(2, dtype=torch.bool)
    assert FiniteGuard(1).loss(total, broken, model.parameters(), step=0, names=names) is total


def test_a_broken_step_moves_nothing(capsys):
    model = layer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    guard = FiniteGuard(3)
    sound = torch.zeros(3, dtype=torch.bool)
    one_step(guard, model, optimizer, model.weight.sum(), sound)
    weight = model.weight.detach().clone()
    moments = optimizer.state[model.weight]["exp_avg"].clone()
    broken = torch.tensor([False, True, False])
    one_step(guard, model, optimizer, model.weight.sum() * torch.nan, broken, step=7)
    assert torch.equal(model.weight, weight)
    assert torch.equal(optimizer.state[model.weight]["exp_avg"], moments)
    line = "step 7 skipped: signal or loss not finite in rec1 (1 in a row, 3 end the run)\n"
    assert capsys.readouterr().err == line
    one_step(guard, model, optimizer, model.weight.sum(), sound)
    assert not torch.equal(model.weight, weight)


def test_without_a_suspect_the_whole_batch_is_named(capsys):
    model, guard = layer(), FiniteGuard(2)
    sound = torch.zeros(2, dtype=torch.bool)
    total = torch.tensor(torch.inf)
    guard.loss(total, sound, model.parameters(), step=0, names=names)
    assert "in rec0, rec1 (" in capsys.readouterr().err


def test_a_gradient_that_is_not_finite_is_dropped(capsys):
    model, guard = layer(), FiniteGuard(2)
    model.weight.grad = torch.tensor([[torch.nan, 1.0]])
    guard.gradient(gradient_norm(model.parameters()), model.parameters(), step=4)
    assert model.weight.grad is None
    assert "step 4 skipped: gradient not finite (1 in a row" in capsys.readouterr().err


def test_an_engine_takes_its_gradients_away_itself():
    model, guard, taken = layer(), FiniteGuard(2), []
    guard.gradient(torch.tensor(1.0), model.parameters(), step=0, drop=taken.append)
    assert taken == []
    model.weight.grad = torch.ones(1, 2)
    guard.gradient(torch.tensor(torch.inf), model.parameters(), step=0, drop=taken.append)
    assert len(taken) == 1
    assert model.weight.grad is not None


def test_only_steps_in_a_row_end_the_run():
    model = layer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    guard = FiniteGuard(2)
    sound, broken = torch.zeros(1, dtype=torch.bool), torch.ones(1, dtype=torch.bool)
    for _ in range(3):
        one_step(guard, model, optimizer, torch.tensor(torch.nan), broken)
        one_step(guard, model, optimizer, model.weight.sum(), sound)
    one_step(guard, model, optimizer, torch.tensor(torch.nan), broken)
    with pytest.raises(ValueError, match="in rec0; that makes 2 in a row"):
        one_step(guard, model, optimizer, torch.tensor(torch.nan), broken)


def test_which_samples_are_broken():
    x = torch.zeros(4, 3, 5)
    x[1, 2, 3], x[3, 0, 0] = torch.nan, -torch.inf
    assert broken_samples(x).tolist() == [False, True, False, True]


def test_no_loss_reaches_every_parameter():
    model = nn.Linear(2, 2)
    loss = no_loss(model.parameters())
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_gradient_norm_by_hand():
    model = nn.Linear(2, 1)
    assert gradient_norm(model.parameters()).item() == 0
    model.weight.grad, model.bias.grad = torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])
    assert gradient_norm(model.parameters()).item() == pytest.approx(5.0)


def test_a_guard_that_never_ends_the_run():
    with pytest.raises(ValueError, match="max_skipped_steps must be at least 1, got 0"):
        FiniteGuard(0)
