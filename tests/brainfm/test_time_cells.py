"""Frames that share samples share a cell: by hand, and against the samples themselves."""

import numpy as np
import pytest
import torch

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.time_cells import cell_table, cells_of, look_up_cells


def config(overlap, window=128, hop=32):
    return TokenizerConfig(window=window, overlap=overlap, ratios=(hop,))


def test_without_overlap_every_frame_is_a_cell():
    assert cells_of(3, 10, config(0.0)).tolist() == list(range(7))
    assert look_up_cells(cell_table(7, config(0.0)), torch.tensor([3, 0])) is None


def test_a_quarter_of_a_window_twice():
    """Four frames a window, every three: the last of a window is the first of the next."""
    assert cells_of(0, 8, config(0.25)).tolist() == [0, 1, 2, 3, 3, 4, 5, 6]
    assert cells_of(2, 8, config(0.25)).tolist() == [0, 1, 1, 2, 3, 4]


def test_half_of_a_window_twice():
    """The frames of neighbouring windows interleave in time."""
    assert cells_of(0, 8, config(0.5)).tolist() == [0, 1, 2, 3, 2, 3, 4, 5]


def test_frames_that_are_linked_through_others_are_one():
    """A stride of 3.5 frames: half of frame 3 is in frame 4, whose other half is nowhere else."""
    assert cells_of(0, 8, config(0.125)).tolist() == [0, 1, 2, 3, 3, 4, 5, 6]
    # Two frames and a half: 2 shares with 4, 3 with 4 and 5.
    assert cells_of(0, 8, config(0.375)).tolist() == [0, 1, 2, 2, 2, 2, 3, 4]


@pytest.mark.parametrize("overlap", [0.0, 0.125, 0.25, 0.375, 0.5, 0.75])
def test_frames_with_a_common_sample_have_one_cell_and_time_goes_on(overlap):
    cfg = config(overlap)
    cell = cells_of(0, 24, cfg)
    window, within = np.divmod(np.arange(24), 4)
    begin = window * cfg.stride + within * 32
    for i in range(24):
        for j in range(24):
            if abs(begin[i] - begin[j]) < 32:
                assert cell[i] == cell[j]
            elif begin[i] >= begin[j] + 32:
                assert cell[i] >= cell[j]
    assert sorted(set(cell.tolist())) == list(range(cell.max() + 1))


def test_the_table_knows_where_windows_begin():
    cfg = config(0.25)
    start = torch.tensor([0, 1, 2, 3, 4, 41])
    cells = look_up_cells(cell_table(10, cfg), start)
    for row, n, first in zip(cells.cell, cells.n, start.tolist(), strict=True):
        assert row.tolist() == cells_of(first, first + 10, cfg).tolist()
        assert n == row.max() + 1
