"""What is hidden: exact shares, 80/10/10, and contiguity of blocks."""

import pytest
import torch

from brainfm.masking import MaskConfig, choose_tokens, mask_codes

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


def test_replacements_are_whole_tokens_of_the_batch():
    codes = torch.stack([torch.arange(240), torch.arange(240) + 1000], -1).view(2, 6, 20, 2)
    cfg = MaskConfig(mask_share=0.0, random_share=1.0)
    masked = mask_codes(codes, cfg, generator=generator())
    assert not masked.hidden.any()
    assert (masked.codes[..., 1] - masked.codes[..., 0] == 1000).all()
    assert (masked.codes != codes).any()
    assert torch.equal(codes[..., 0].flatten(), torch.arange(240))  # the input is not changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 0.0}, "ratio"),
        ({"ratio": 1.0}, "ratio"),
        ({"block_frames": 0}, "block_frames"),
        ({"mask_share": 0.8, "random_share": 0.3}, "mask_share and random_share"),
        ({"mask_share": -0.1}, "mask_share"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MaskConfig(**changes)
