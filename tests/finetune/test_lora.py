"""Low-rank adaptation."""

import pytest
import torch
from brainfm.finetune.lora import add_low_rank, merge_low_rank
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 4), nn.LayerNorm(4))


def test_nothing_changes_at_first():
    model, x = net(), torch.randn(3, 6)
    before = model(x)
    add_low_rank(model, rank=2, alpha=4.0)
    torch.testing.assert_close(model(x), before)


def test_only_the_added_matrices_are_trained():
    """Rank 2: 2 x 6 and 5 x 2 for the first layer, 2 x 5 and 4 x 2 for the second."""
    model = net()
    added = add_low_rank(model, rank=2, alpha=4.0)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sorted(map(id, added)) == sorted(map(id, trained))
    assert sum(p.numel() for p in trained) == 12 + 10 + 10 + 8


def test_what_is_added_is_alpha_over_rank_times_the_product():
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    weight = model[0].weight.detach().clone()
    down, up = add_low_rank(model, rank=1, alpha=5.0)
    with torch.no_grad():
        down.copy_(torch.tensor([[1.0, 0.0, 2.0]]))
        up.copy_(torch.tensor([[1.0], [3.0]]))
    added = torch.tensor([[5.0, 0.0, 10.0], [15.0, 0.0, 30.0]])
    torch.testing.assert_close(model(torch.eye(3)).T, weight + added)


def test_layers_that_were_not_to_be_trained_stay():
    model = net()
    model[0].requires_grad_(False)
    assert len(add_low_rank(model, rank=2, alpha=1.0)) == 2


def test_merged_is_the_same_function_with_the_old_names():
    model, x = net(), torch.randn(3, 6)
    names = list(model.state_dict())
    for parameter in add_low_rank(model, rank=2, alpha=4.0):
        nn.init.normal_(parameter)
    adapted = model(x)
    merge_low_rank(model)
    torch.testing.assert_close(model(x), adapted)
    assert sorted(model.state_dict()) == sorted(names)
    assert not any(p.requires_grad for p in model.parameters())


def test_gradient_reaches_both_matrices_once_one_has_moved():
    model = net()
    added = add_low_rank(model, rank=2, alpha=4.0)
    nn.init.normal_(added[1])
    model(torch.randn(3, 6)).square().sum().backward()
    assert all(p.grad is not None for p in added)
    assert added[0].grad.abs().sum() > 0


def test_no_linear_layer():
    with pytest.raises(ValueError, match="no linear layer"):
        add_low_rank(nn.Conv1d(1, 1, 1), rank=2, alpha=1.0)
