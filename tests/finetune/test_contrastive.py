"""Losses of similarities: by hand, against finite differences, right about duplicates."""

import math

import pytest
import torch
import torch.nn.functional as F
from brainfm.finetune.contrastive import clip, clip_one_sided, siglip

LOSSES = (clip_one_sided, clip, siglip)


def pairs(n):
    return torch.eye(n, dtype=torch.bool)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_equal_similarities_give_the_logarithm_of_the_number_of_candidates() -> None:
    similarity = torch.zeros(4, 4)
    assert clip_one_sided(similarity, pairs(4)).item() == pytest.approx(math.log(4))
    assert clip(similarity, pairs(4)).item() == pytest.approx(math.log(4))
    # Sixteen pairs, each with probability one half, over four queries.
    assert siglip(similarity, pairs(4)).item() == pytest.approx(4 * math.log(2))


def test_two_by_two_by_hand() -> None:
    similarity = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    rows = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-2))) / 2
    columns = (math.log1p(math.exp(-1)) + math.log1p(math.exp(-3))) / 2
    assert clip_one_sided(similarity, pairs(2)).item() == pytest.approx(rows)
    assert clip(similarity, pairs(2)).item() == pytest.approx((rows + columns) / 2)
    every = sum(math.log1p(math.exp(v)) for v in (-2.0, 0.0, 1.0, -3.0)) / 2
    assert siglip(similarity, pairs(2)).item() == pytest.approx(every)


def test_without_duplicates_it_is_cross_entropy() -> None:
    similarity = drawn(6, 6)
    expected = F.cross_entropy(similarity, torch.arange(6))
    assert torch.allclose(clip_one_sided(similarity, pairs(6)), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_finite_differences(loss) -> None:
    same = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
    at, step = drawn(4, 3), 1e-2
    similarity = at.clone().requires_grad_()
    loss(similarity, same).backward()
    for place in [(0, 0), (1, 0), (2, 0), (3, 2), (0, 2)]:
        shift = torch.zeros_like(at)
        shift[place] = step
        slope = (loss(at + shift, same) - loss(at - shift, same)) / (2 * step)
        assert similarity.grad[place].item() == pytest.approx(slope.item(), abs=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_order_of_queries_and_candidates_changes_nothing(loss) -> None:
    similarity, same = drawn(5, 5), pairs(5)
    same[1, 0] = True
    rows, columns = torch.tensor([3, 1, 4, 0, 2]), torch.tensor([2, 0, 3, 1, 4])
    assert torch.allclose(
        loss(similarity, same), loss(similarity[rows][:, columns], same[rows][:, columns])
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_a_copy_of_the_right_candidate_is_not_pushed_away(loss) -> None:
    # Two queries of content 0, which has two columns; content 1 has one.
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    similarity = drawn(3, 3).requires_grad_()
    loss(similarity, same).backward()
    assert (similarity.grad[:2, :2] <= 0).all()
    assert (similarity.grad[2, :2] > 0).all()


def test_one_sided_with_a_copied_column_is_as_without_if_negatives_are_the_same() -> None:
    one = drawn(2, 3)
    same = torch.tensor([[1, 0, 0], [1, 0, 0]], dtype=torch.bool)
    twice, alike = one[:, [0, 0, 1, 2]], same[:, [0, 0, 1, 2]]
    assert torch.allclose(clip_one_sided(one, same), clip_one_sided(twice, alike))


def test_only_allowed_candidates_count() -> None:
    similarity, same = drawn(3, 4), torch.eye(3, 4, dtype=torch.bool)
    allowed = torch.tensor([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    two_way = F.softplus(similarity[range(3), [1, 2, 3]] - similarity[range(3), range(3)]).mean()
    assert torch.allclose(clip_one_sided(similarity, same, allowed), two_way)
    changed = similarity.clone()
    changed[0, 3] += 9.0
    for loss in LOSSES:
        assert torch.allclose(loss(similarity, same, allowed), loss(changed, same, allowed))


@pytest.mark.parametrize("loss", [clip_one_sided, clip])
def test_a_single_trial_has_nothing_to_be_compared_with(loss) -> None:
    similarity = torch.ones(1, 1, requires_grad=True)
    found = loss(similarity, pairs(1))
    found.backward()
    assert found.item() == 0
    assert similarity.grad.item() == 0


def test_weights_count_a_negative_several_times() -> None:
    similarity, same = drawn(2, 2), pairs(2)
    plain = siglip(similarity, same)
    weighted = siglip(similarity, same, weight=torch.tensor([1, 3]))
    assert torch.allclose(weighted - plain, 2 * F.softplus(similarity[0, 1]) / 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_large_half_precision_similarities_give_a_finite_loss(loss) -> None:
    similarity = (1e4 * drawn(4, 4)).half().requires_grad_()
    found = loss(similarity, pairs(4))
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(similarity.grad).all()
