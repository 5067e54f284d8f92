"""What is hidden: exact shares, 80/10/10, contiguity of blocks, and nothing to be read off."""

import pytest
import torch

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.masking import MaskConfig, choose_tokens, mask_codes
from brainfm.time_cells import cell_table, look_up_cells
from brainfm.window_draws import WindowDraws

KINDS = ("blocks", "scattered", "spans")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5, 16, 80), (3, 1, 7), (2, 3, 1), (4, 6, 13)])
@pytest.mark.parametrize("ratio", [0.15, 0.5, 0.9])
def test_every_row_hides_the_same_share(kind, shape, ratio):
    chosen = choose_tokens(shape, MaskConfig(kind=kind, ratio=ratio), generator=generator())
    assert chosen.shape == shape
    expected = round(ratio * shape[1] * shape[2])
    assert chosen.flatten(1).sum(1).tolist() == [expected] * shape[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_decides(kind):
    cfg = MaskConfig(kind=kind)
    draws = [choose_tokens((2, 8, 40), cfg, generator=generator(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0][0], draws[0][1])


def test_every_token_has_the_same_chance():
    """4,000 rows: a standard error of .008; the one block in 16 that is cut may add .03."""
    for kind in KINDS:
        cfg = MaskConfig(kind=kind, block_frames=4, block_sources=2)
        chosen = choose_tokens((4000, 4, 64), cfg, generator=generator())
        share = chosen.float().mean(0)
        assert (share - 0.5).abs().max() < 0.06, kind
        assert (share.mean(1) - 0.5).abs().max() < 0.01, kind  # no source more than another


def neighbours(chosen):
    """Share of hidden tokens whose next frame is hidden too."""
    return (chosen[..., 1:] & chosen[..., :-1]).sum() / chosen[..., :-1].sum()


def test_blocks_are_contiguous():
    """In blocks of 8 frames 7 of 8 successors are inside, and half of the others by chance."""
    shape = (50, 16, 160)
    blocks = choose_tokens(shape, MaskConfig(kind="blocks"), generator=generator())
    scattered = choose_tokens(shape, MaskConfig(kind="scattered"), generator=generator())
    assert neighbours(blocks) == pytest.approx(7 / 8 + 1 / 16, abs=0.02)
    assert neighbours(scattered) == pytest.approx(0.5, abs=0.02)
    across = (blocks[:, 1:] & blocks[:, :-1]).sum() / blocks[:, :-1].sum()
    assert across == pytest.approx(3 / 4 + 1 / 8, abs=0.02)


def test_spans_hide_all_sources_at_once():
    """In all frames but the one in which the exact count ends."""
    cfg = MaskConfig(kind="spans", block_frames=5)
    chosen = choose_tokens((30, 6, 61), cfg, generator=generator())
    partly = chosen.any(1) & ~chosen.all(1)
    assert partly.sum(1).max() == 1  # 183 of 366 tokens: 30 frames and a half
    # Stretches of five frames: between neighbours something changes at most twice per span.
    changes = (chosen[:, 0, 1:] != chosen[:, 0, :-1]).sum(1)
    assert changes.max() <= 61 // 5 + 2


def test_of_the_chosen_most_are_hidden_some_replaced_some_kept():
    """16,384 chosen: shares have a standard error of at most .0032; four of them are allowed."""
    codes = torch.arange(64 * 8 * 64).view(64, 8, 64, 1).expand(-1, -1, -1, 2)
    masked = mask_codes(codes, MaskConfig(kind="scattered"), generator=generator())
    n = masked.chosen.sum()
    assert n == 16384
    replaced = (masked.codes != codes).any(-1)
    kept = masked.chosen & ~masked.hidden & ~replaced
    assert masked.hidden.sum() / n == pytest.approx(0.8, abs=0.013)
    assert replaced.sum() / n == pytest.approx(0.1, abs=0.01)
    assert kept.sum() / n == pytest.approx(0.1, abs=0.01)
    assert not (masked.hidden & ~masked.chosen).any()
    assert not (replaced & ~masked.chosen).any()
    assert not (replaced & masked.hidden).any()


def distinct_codes(n_batch=2, n_sources=6, n_frames=20):
    """Codes (B, N, P, 2) that differ everywhere; the second level tells the first."""
    first = torch.arange(n_batch * n_sources * n_frames).view(n_batch, n_sources, n_frames)
    return torch.stack([first, first + 10**6], -1)


def test_replacements_are_whole_visible_tokens_of_the_same_window():
    codes = distinct_codes()
    cfg = MaskConfig(mask_share=0.0, random_share=1.0)
    masked = mask_codes(codes, cfg, generator=generator())
    assert not masked.hidden.any()
    assert (masked.codes[..., 1] - masked.codes[..., 0] == 10**6).all()
    for row, was, chosen in zip(masked.codes, codes, masked.chosen, strict=True):
        visible = set(was[~chosen][:, 0].tolist())
        assert set(row[chosen][:, 0].tolist()) <= visible
        assert len(set(row[chosen][:, 0].tolist())) > 20
        assert torch.equal(row[~chosen], was[~chosen])
    assert torch.equal(codes, distinct_codes())  # the input is not changed


def test_where_nothing_is_visible_all_is_hidden():
    cfg = MaskConfig(ratio=0.9, mask_share=0.0, random_share=1.0)
    masked = mask_codes(distinct_codes(2, 3, 1), cfg, generator=generator())
    assert masked.hidden.all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_hidden_alike_in_any_batch(kind):
    codes = distinct_codes(5)
    recording, start = torch.tensor([3, 3, 0, 1, 2]), torch.tensor([0, 8, 0, 0, 4])

    def masked(rows):
        draws = WindowDraws(1, 2, windows=(recording[rows], start[rows]))
        return mask_codes(codes[rows], MaskConfig(kind=kind), generator=draws)

    whole = masked(torch.arange(5))
    for row in range(5):
        for a, b in zip(whole, masked(torch.tensor([row])), strict=True):
            assert torch.equal(a[row : row + 1], b)
    assert not torch.equal(whole.chosen[0], whole.chosen[1])


def overlapping(starts, n_frames=22, overlap=0.25):
    """Cells of windows of four frames that begin every three (or two) of them."""
    cfg = TokenizerConfig(window=128, overlap=overlap, ratios=(32,))
    return look_up_cells(cell_table(n_frames, cfg), torch.tensor(starts))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.375])
def test_frames_of_the_same_samples_share_their_fate(kind, overlap):
    cells = overlapping([0, 1, 2, 3, 7, 9] * 5, overlap=overlap)
    codes = distinct_codes(30, 6, 22)
    masked = mask_codes(codes, MaskConfig(kind=kind), generator=generator(), cells=cells)
    replaced = (masked.codes != codes).any(-1)
    for row, cell in enumerate(cells.cell):
        for c in cell.unique():
            for fate in (masked.chosen, masked.hidden, replaced):
                together = fate[row][:, cell == c]
                assert (together == together[:, :1]).all()
    share = masked.chosen.float().mean()
    assert share == pytest.approx(0.5, abs=0.05)


def test_of_the_cells_the_exact_share_is_hidden():
    cells = overlapping([0, 1, 2, 3])
    chosen = choose_tokens((4, 6, 22), MaskConfig(), generator=generator(), cells=cells)
    for row, cell, n in zip(chosen, cells.cell, cells.n, strict=True):
        pairs = sum(int(row[:, cell == c][:, 0].sum()) for c in range(n))
        assert pairs == round(0.5 * 6 * int(n))


@pytest.mark.parametrize("overlap", [0.0, 0.25])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_hidden_leaves_no_trace(kind, overlap):
    """Other codes where the mask token or a random token stands, same input of the model."""
    cells = overlapping([0, 5], overlap=overlap)
    codes = distinct_codes(2, 6, 22)
    cfg = MaskConfig(kind=kind, mask_share=0.7, random_share=0.3)
    one = mask_codes(codes, cfg, generator=generator(), cells=cells)
    changed = torch.where(one.chosen[..., None], codes + 5 * 10**6, codes)
    other = mask_codes(changed, cfg, generator=generator(), cells=cells)
    assert torch.equal(one.hidden, other.hidden)
    shown, seen = ~one.hidden, one.codes
    assert torch.equal(seen[shown], other.codes[shown])


def test_lengths_in_seconds_become_frames():
    assert MaskConfig(block_s=2.0).in_frames(0.25).frames == 8
    assert MaskConfig(block_s=0.1).in_frames(0.25).frames == 1
    assert MaskConfig().frames == MaskConfig().in_frames(0.1).frames == 8
    with pytest.raises(ValueError, match=r"block_s is 2\.0 s"):
        choose_tokens((1, 2, 8), MaskConfig(block_s=2.0), generator=generator())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 0.0}, "ratio"),
        ({"ratio": 1.0}, "ratio"),
        ({"block_frames": 0}, "block_frames"),
        ({"block_s": 0.0}, "block_s"),
        ({"block_frames": 4, "block_s": 1.0}, "give one of them"),
        ({"mask_share": 0.8, "random_share": 0.3}, "mask_share and random_share"),
        ({"mask_share": -0.1}, "mask_share"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MaskConfig(**changes)
