"""Channels hidden from the encoder: how many, whose, and that something is always left."""

import pytest
import torch

from brainfm.hidden_channels import hide_channels


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.99])
def test_a_share_is_hidden_and_one_channel_stays(share):
    mask = torch.zeros(40, 9, dtype=torch.bool)
    for row in range(40):
        mask[row, : 1 + row % 9] = True
    seen = hide_channels(mask, share, generator=torch.Generator().manual_seed(0))
    assert not (seen & ~mask).any()
    assert (seen.sum(1) >= 1).all()
    n = mask.sum(1)
    assert (n - seen.sum(1)).tolist() == [int(share * k) for k in n.tolist()]


def test_a_sample_without_channels_stays_without():
    mask = torch.zeros(2, 3, dtype=torch.bool)
    assert not hide_channels(mask, 0.5, generator=torch.Generator().manual_seed(0)).any()


def test_each_sample_hides_its_own():
    mask = torch.ones(500, 8, dtype=torch.bool)
    seen = hide_channels(mask, 0.25, generator=torch.Generator().manual_seed(0))
    assert len({tuple(row) for row in seen.tolist()}) > 20  # of 28 pairs
    # Standard error .019: every channel is hidden in a quarter of the samples.
    assert ((~seen).float().mean(0) - 0.25).abs().max() < 0.08
    again = hide_channels(mask, 0.25, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seen, again)


def test_as_published_the_same_columns_are_hidden_in_the_whole_batch():
    mask = torch.ones(5, 9, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    seen = hide_channels(mask, 0.25, generator=generator, same_for_all=True)
    assert (seen == seen[0]).all()
    assert seen[0].sum() == 9 - 2  # floor of 2.25
    other = hide_channels(mask, 0.25, generator=generator, same_for_all=True)
    assert not torch.equal(seen, other)


def test_as_published_a_sample_with_one_channel_keeps_it():
    mask = torch.zeros(3, 4, dtype=torch.bool)
    mask[:, 0] = True
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        seen = hide_channels(mask, 0.5, generator=generator, same_for_all=True)
        assert torch.equal(seen, mask)
