"""Random numbers that follow from what a window is: the same anywhere, uniform, independent."""

import numpy as np
import pytest
import torch

from brainfm.permutation import combine, key_of
from brainfm.permutation import mix as mix_numpy
from brainfm.window_draws import WindowDraws, mix


def draws(*parts, recording=(0, 1, 2), start=(0, 5, 7)):
    return WindowDraws(*parts, windows=(torch.tensor(recording), torch.tensor(start)))


def test_mixing_is_that_of_the_order_of_windows():
    values = torch.randint(-(2**63), 2**63 - 1, (1000,), generator=torch.Generator().manual_seed(0))
    expected = mix_numpy(values.numpy().view(np.uint64))
    assert (mix(values).numpy().view(np.uint64) == expected).all()


def test_numbers_are_those_of_the_key_by_hand():
    keys = combine(combine(np.full(3, key_of(4, 9)), np.arange(3)), np.array([0, 5, 7]))
    place = np.arange(2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = mix_numpy(keys[:, None] + place) >> np.uint64(40)
    expected = bits.astype(np.float32) / np.float32(2**24)
    assert (draws(4, 9).uniform(2).numpy() == expected).all()


def test_the_rest_of_the_batch_does_not_matter():
    whole = draws(1).uniform(50)
    alone = draws(1, recording=(1,), start=(5,)).uniform(50)
    assert torch.equal(whole[1:2], alone)


def test_drawing_goes_on_where_it_stopped():
    once, twice = draws(3), draws(3)
    assert torch.equal(once.uniform(30), torch.cat([twice.uniform(10), twice.uniform(20)], 1))


@pytest.mark.parametrize("other", [(0, 1), (1, 0), (1,)])
def test_every_part_counts(other):
    assert not torch.equal(draws(0, 0).uniform(5), draws(*other).uniform(5))


def test_every_window_counts():
    numbers = draws(0, recording=(0, 0, 1, 5), start=(0, 1, 0, 0)).uniform(20)
    assert len(numbers.unique(dim=0)) == 4
    swapped = draws(0, recording=(3,), start=(4,)).uniform(20)
    assert not torch.equal(swapped, draws(0, recording=(4,), start=(3,)).uniform(20))


def test_numbers_are_uniform_within_windows_and_across_them():
    """Of 200,000 numbers a twentieth has a standard error of .05 %; neighbours do not correlate."""
    starts = torch.arange(2000)
    numbers = WindowDraws(0, windows=(torch.zeros_like(starts), starts)).uniform(100)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    share = torch.histc(numbers, 20, 0, 1) / numbers.numel()
    assert (share - 0.05).abs().max() < 0.0025
    centred = numbers.double() - 0.5
    for a, b in ((centred[1:], centred[:-1]), (centred[:, 1:], centred[:, :-1])):
        assert abs((a * b).mean() * 12) < 0.012
