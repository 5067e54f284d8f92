"""Guesses without a model: by hand, and honest on codes whose statistics are known."""

import math

import pytest
import torch

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.code_baselines import (
    CodeBaselines,
    code_stretches,
    copy_weights,
    count_agreement,
    nearest_visible,
)
from brainfm.masking import MaskConfig, choose_tokens
from brainfm.synthetic_codes import SyntheticConfig, draw_codes, kept_or_drawn
from brainfm.time_cells import cell_table, look_up_cells

UNIFORM = torch.full((1, 4), -math.log(4))


def test_agreement_by_hand():
    codes = torch.tensor([0, 0, 1, 0]).view(4, 1, 1)
    assert count_agreement([codes], 3).tolist() == [[1, 1, 1], [3, 2, 1]]
    assert count_agreement([codes, codes[:2]], 2).tolist() == [[2, 1], [4, 2]]
    levels = torch.tensor([[0, 5], [0, 6]]).view(2, 1, 2)
    assert count_agreement([levels], 1).tolist() == [[1], [0], [1]]
    with pytest.raises(ValueError, match="no codes"):
        count_agreement([])


def test_weights_give_back_how_often_codes_agree():
    """(1 - e) + e sum u^2 is the share of pairs that agree; below chance the copy is dropped."""
    agreement = torch.tensor([[700_000, 250_000, 100_000], [10**6] * 3])
    weights = copy_weights(agreement, UNIFORM)[0]
    hit = (1 - weights) + weights / 4
    assert hit[:2].tolist() == pytest.approx([0.7, 0.25], abs=1e-5)
    assert weights[2] == 1


def test_nearest_visible_frames_by_hand():
    """Hidden where 1; ties go to the earlier, an all-hidden source has none."""
    chosen = torch.tensor([[[0, 1, 1, 1, 0, 1], [1, 1, 0, 1, 1, 0], [1] * 6]]).bool()
    frame, distance = nearest_visible(chosen)
    assert frame[0, 0].tolist() == [0, 0, 0, 4, 4, 4]
    assert distance[0, 0].tolist() == [0, 1, 2, 1, 0, 1]
    assert frame[0, 1].tolist() == [2, 2, 2, 2, 5, 5]
    assert frame[0, 2].tolist() == [-1] * 6


def test_nearest_visible_frames_where_windows_overlap():
    """Four frames a window, every two: 0 1 2 3 | 2 3 4 5 in time. Distance is that of time."""
    cfg = TokenizerConfig(window=128, overlap=0.5, ratios=(32,))
    cells = look_up_cells(cell_table(8, cfg), torch.tensor([0]))
    assert cells.cell.tolist() == [[0, 1, 2, 3, 2, 3, 4, 5]]
    hidden_cells = {2, 3}
    chosen = torch.tensor([[[c in hidden_cells for c in cells.cell[0].tolist()]]])
    frame, distance = nearest_visible(chosen, cells)
    assert frame[0, 0].tolist() == [0, 1, 1, 6, 1, 6, 6, 7]
    assert distance[0, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def brute_force(chosen, cell):
    """The nearest visible frame by looking at all."""
    found = torch.full(chosen.shape, -1)
    for b, n, p in torch.cartesian_prod(*[torch.arange(size) for size in chosen.shape]):
        seen = [
            (abs(int(cell[b, p] - cell[b, k])), int(cell[b, k]), k)
            for k in range(chosen.shape[2])
            if not chosen[b, n, k]
        ]
        if seen:
            found[b, n, p] = cell[b, min(seen)[2]]
    return found


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_nearest_visible_frames_against_looking_at_all(overlap):
    cfg = TokenizerConfig(window=128, overlap=overlap, ratios=(32,))
    cells = look_up_cells(cell_table(14, cfg), torch.tensor([0, 1, 3]))
    draws = torch.Generator().manual_seed(0)
    masking = MaskConfig(ratio=0.7, block_frames=3)
    chosen = choose_tokens((3, 4, 14), masking, generator=draws, cells=cells)
    cell = torch.arange(14).expand(3, -1) if cells is None else cells.cell
    frame, _ = nearest_visible(chosen, cells)
    where = cell[:, None].expand(-1, 4, -1).gather(2, frame.clamp_min(0))
    assert torch.equal(torch.where(frame < 0, -1, where), brute_force(chosen, cell))


def test_scores_by_hand():
    """Codes 2 ? 3 with u = (1/2, 1/4, 1/8, 1/8): the copy is the 2 on the left."""
    unigram = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    agreement = torch.tensor([[0, 0], [10**9, 10**9]])
    baselines = CodeBaselines(unigram, agreement)
    baselines.weights = torch.tensor([[0.2, 0.6]])
    chosen = torch.tensor([[[False, True, False]]]).expand(2, 1, 3)
    codes = torch.tensor([[2, 2, 3], [2, 0, 3]]).view(2, 1, 3, 1)
    scores = baselines.scores(codes, chosen, 1)
    assert scores["unigram"].loss[:, 0].exp().tolist() == pytest.approx([8.0, 2.0])
    assert scores["unigram"].accuracy[:, 0].tolist() == [0.0, 1.0]
    expected = [0.8 + 0.2 / 8, 0.2 / 2]
    assert (-scores["copy"].loss[:, 0]).exp().tolist() == pytest.approx(expected)
    assert scores["copy"].accuracy[:, 0].tolist() == [1.0, 0.0]


def test_without_a_visible_neighbour_copy_is_unigram():
    baselines = CodeBaselines(UNIFORM, torch.tensor([[9], [10]]))
    codes = torch.tensor([0, 1, 2, 0]).view(1, 1, 4, 1)
    scores = baselines.scores(codes, torch.ones(1, 1, 4, dtype=torch.bool), 1)
    assert torch.equal(scores["copy"].loss, scores["unigram"].loss)
    assert torch.equal(scores["copy"].accuracy, scores["unigram"].accuracy)


def test_on_a_chain_the_copy_is_the_best_guess_there_is():
    """One visible neighbour at distance 1 of a kept-or-drawn chain: the mixture is exact."""
    cfg = SyntheticConfig(n_codes=4, n_sources=1, jump=0.4, noise=0.0)
    draws = torch.Generator().manual_seed(0)
    training = draw_codes(cfg, 400, 200, generator=draws)
    stretches = [window.transpose(0, 1) for window in training]
    baselines = CodeBaselines(UNIFORM, count_agreement(stretches, 8))
    assert baselines.weights[0, :2].tolist() == pytest.approx([0.4, 1 - 0.6**2], abs=0.01)
    codes = draw_codes(cfg, 40000, 2, generator=draws)
    chosen = torch.tensor([False, True]).expand(40000, 1, 2)
    row = kept_or_drawn(4, 0.4)[0]
    loss = baselines.scores(codes, chosen, 1)["copy"].loss.mean()
    assert loss == pytest.approx(-(row * row.log()).sum().item(), abs=0.01)


class Stored:
    """Codes of three recordings of 12, 5 and 8 frames; frame p has code p."""

    tokenizer = TokenizerConfig(window=128, overlap=0.25, ratios=(32,))
    n_frames = (12, 5, 8)

    def read(self, i, start, n):
        return torch.arange(start, start + n).view(-1, 1, 1).numpy() + 100 * i


def test_stretches_hold_every_moment_once():
    """Every third frame shows again what the fourth of the window before showed."""
    whole = list(code_stretches(Stored(), [0, 2]))
    assert whole[0].flatten().tolist() == [0, 1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert whole[1].flatten().tolist() == [200, 201, 202, 203, 205, 206, 207]


def test_of_many_recordings_some_are_read():
    few = list(code_stretches(Stored(), [0, 1, 2], max_frames=15))
    assert [len(x) for x in few] == [10]
    some = list(code_stretches(Stored(), [0, 1, 2] * 200, max_frames=64 * 4 * 2))
    assert [int(x[0, 0, 0]) for x in some] == [0, 200]
