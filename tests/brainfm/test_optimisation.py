"""Learning rates by hand, and who is decayed."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from brainfm.optimisation import (
    OptimizerConfig,
    RateGroup,
    build_group_optimizer,
    build_optimizer,
    rate_at,
)

CFG = OptimizerConfig(lr=0.1, warmup_steps=10, final_lr_ratio=0.2)


def test_rates_by_hand():
    assert [rate_at(step, 110, CFG) for step in (0, 4, 9, 10)] == [0.1, 0.5, 1.0, 1.0]
    assert rate_at(60, 110, CFG) == pytest.approx(0.6)  # half-way: the mean of 1 and 0.2
    quarter = 0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi / 4))
    assert rate_at(35, 110, CFG) == pytest.approx(quarter)
    assert rate_at(110, 110, CFG) == pytest.approx(0.2)
    assert rate_at(10**6, 110, CFG) == pytest.approx(0.2)


def test_no_warm_up_begins_at_the_peak():
    assert rate_at(0, 10, OptimizerConfig(warmup_steps=0)) == 1.0


def test_a_run_shorter_than_its_warm_up_never_divides_by_zero():
    assert rate_at(3, 4, CFG) == 0.4
    assert rate_at(10, 4, CFG) == 1.0


def test_the_schedule_moves_the_optimizer_step_by_step():
    layer = nn.Linear(2, 2)
    made = build_optimizer(layer.parameters(), CFG, 110)
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["interval"] == "step"
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.01 * k for k in range(1, 11)] + [0.1])


def test_matrices_are_decayed_and_vectors_are_not():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    groups = build_optimizer(model.parameters(), OptimizerConfig(), 10)["optimizer"].param_groups
    by_decay = {group["weight_decay"]: group["params"] for group in groups}
    assert {p.ndim for p in by_decay[0.01]} == {2}
    assert {p.ndim for p in by_decay[0.0]} == {1}
    assert sum(len(params) for params in by_decay.values()) == 4


def test_frozen_weights_stay_out():
    model = nn.Linear(3, 4).requires_grad_(False)
    model.bias.requires_grad_(True)
    groups = build_optimizer(model.parameters(), OptimizerConfig(), 10)["optimizer"].param_groups
    assert [p is model.bias for group in groups for p in group["params"]] == [True]


def test_it_learns():
    torch.manual_seed(0)
    x = torch.randn(64, 3)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]])
    model = nn.Linear(3, 1)
    made = build_optimizer(model.parameters(), OptimizerConfig(lr=0.1), 150)
    for _ in range(150):
        made["optimizer"].zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert nn.functional.mse_loss(model(x), y) < 1e-3


@pytest.mark.parametrize("changes", [{"lr": 0.0}, {"final_lr_ratio": 1.5}])
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        OptimizerConfig(**changes)


def test_groups_have_rates_and_starts_of_their_own():
    """The second group moves at a tenth, from step 2 on, and decays to the same share."""
    first, second = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    cfg = OptimizerConfig(lr=1.0, warmup_steps=1, final_lr_ratio=0.5)
    groups = [
        RateGroup(parameters=[first]),
        RateGroup(
            parameters=[second, nn.Parameter(torch.ones(3), requires_grad=False)], rate=0.1, start=2
        ),
    ]
    built = build_group_optimizer(groups, cfg, 6)
    optimizer, schedule = built["optimizer"], built["lr_scheduler"]["scheduler"]
    seen = []
    for _ in range(7):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    rates = np.array(seen)
    assert rates[:2, 1].tolist() == [0.0, 0.0]
    assert rates[2, 1] == pytest.approx(0.1)
    assert rates[6].tolist() == pytest.approx([0.5, 0.05])
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]
