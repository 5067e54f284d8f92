"""Scores by hand, and means that do not depend on how windows are put together."""

import math

import pytest
import torch

from brainfm.level_scores import level_scores


def test_by_hand():
    """Three tokens in two windows, one level of two codes."""
    logits = torch.tensor([[[0.0, 0.0]], [[math.log(3.0), 0.0]], [[0.0, math.log(4.0)]]])
    target = torch.tensor([[1], [0], [0]])
    scores = level_scores(logits, target, torch.tensor([0, 0, 1]), 2)
    expected = [[(math.log(2) + math.log(4 / 3)) / 2], [math.log(5)]]
    torch.testing.assert_close(scores.loss, torch.tensor(expected))
    assert scores.accuracy.tolist() == [[0.5], [0.0]]
    named = scores.named("x/")
    assert set(named) == {"x/loss_0", "x/accuracy_0"}
    assert named["x/accuracy_0"] == 0.25


def test_windows_count_alike_however_many_tokens_they_hide():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 2, 5, generator=generator, requires_grad=True)
    target = torch.randint(5, (60, 2), generator=generator)
    window = torch.tensor([0] * 10 + [1] * 30 + [2] * 5 + [3] * 15)
    whole = level_scores(logits, target, window, 4).loss.mean()
    (expected,) = torch.autograd.grad(whole, logits)
    halves = [
        level_scores(logits[part], target[part], window[part] - first, 2).loss.mean()
        for part, first in ((slice(0, 40), 0), (slice(40, 60), 2))
    ]
    mean = (halves[0] + halves[1]) / 2
    torch.testing.assert_close(mean, whole)
    torch.testing.assert_close(torch.autograd.grad(mean, logits)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_short_logits_are_scored_in_float32(dtype):
    scores = level_scores(
        torch.zeros(1, 1, 512, dtype=dtype), torch.zeros(1, 1).long(), torch.zeros(1).long(), 2
    )
    assert scores.loss.dtype == torch.float32
    assert scores.loss[0, 0].item() == pytest.approx(math.log(512), rel=1e-6)
    assert scores.loss[1, 0] == 0  # nothing was hidden there
