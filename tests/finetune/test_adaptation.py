"""What is trained, and at which rates."""

import pytest
import torch
from brainfm.finetune.adaptation import AdaptationConfig, adapt, rate_groups
from brainfm.finetune.backbone import Backbone
from torch import nn

from brainfm.optimisation import OptimizerConfig, build_group_optimizer
from brainfm.processing_config import ProcessingConfig


class Stack(Backbone):
    """Three linear layers."""

    def __init__(self, digest="known"):
        super().__init__()
        self.stack = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self._digest = digest

    digest = property(lambda self: self._digest)
    processing = property(lambda self: ProcessingConfig())

    def build(self, example, n_subjects):
        pass

    def forward(self, batch):
        raise NotImplementedError

    def layers(self):
        return [list(layer.parameters()) for layer in self.stack]


def rates(kind, digest="known", **settings):
    backbone, head = Stack(digest), nn.Linear(4, 2)
    cfg = AdaptationConfig(kind=kind, **settings)
    adapt(backbone, cfg)
    groups = rate_groups(backbone, head.parameters(), cfg, 100)
    return backbone, groups


def test_rates_fall_towards_the_input():
    _, groups = rates("full", backbone_rate=0.1, layer_decay=0.5)
    assert [group.rate for group in groups] == pytest.approx([1.0, 0.025, 0.05, 0.1])
    assert {group.start for group in groups} == {0}


def test_what_is_not_pretrained_learns_as_fast_as_the_head():
    assert [group.rate for group in rates("full", digest="")[1]] == [1.0] * 4
    assert [group.rate for group in rates("full")[1]] == pytest.approx([1.0, 0.064, 0.08, 0.1])


@pytest.mark.parametrize("kind", ["frozen", "linear", "ridge"])
def test_a_backbone_that_stays_has_no_rate(kind):
    backbone, groups = rates(kind)
    assert [group.rate for group in groups] == [1.0]
    assert not any(p.requires_grad for p in backbone.parameters())


def test_lora_trains_its_own_matrices_only():
    backbone, groups = rates("lora", lora_rank=2)
    assert sum(p.numel() for p in groups[1].parameters) == 3 * (2 * 4 + 4 * 2)
    assert groups[1].rate == 1.0
    assert sum(p.requires_grad for p in backbone.parameters()) == 6


def test_two_stages():
    """For 30 of 100 steps the head moves alone; then the backbone warms up."""
    _, groups = rates("two_stage", stage_one_share=0.3)
    assert [group.start for group in groups] == [0, 30, 30, 30]
    cfg = OptimizerConfig(lr=1.0, warmup_steps=4)
    made = build_group_optimizer(groups, cfg, 100)
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    seen = []
    for _ in range(100):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    first, last = [row[0] for row in seen], [row[-1] for row in seen]
    assert first[0] == pytest.approx(0.25)
    assert last[:30] == [0.0] * 30
    assert last[30:34] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert last[99] < 0.01


def test_weights_outside_the_layers_are_noticed():
    backbone = Stack()
    backbone.extra = nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match="leaves out 1 weights"):
        rate_groups(backbone, [], AdaptationConfig(), 10)


@pytest.mark.parametrize("kind", ["frozen", "linear", "ridge", "lora"])
def test_what_has_learned_nothing_cannot_stay_as_it_is(kind):
    with pytest.raises(ValueError, match="needs a pretrained backbone, which Stack is not"):
        AdaptationConfig(kind=kind).check(Stack(digest=""))
    AdaptationConfig(kind=kind).check(Stack())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone_rate", 0.0),
        ("layer_decay", 1.5),
        ("lora_rank", 0),
        ("lora_alpha", 0.0),
        ("stage_one_share", 1.0),
        ("penalties", (1.0, 0.0)),
        ("penalties", ()),
    ],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(ValueError, match=rf"adaptation\.{name} must"):
        AdaptationConfig(**{name: value})
