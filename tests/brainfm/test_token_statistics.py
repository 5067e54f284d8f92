"""Code counts, usage and perplexity of token sequences small enough to count by eye."""

import torch

from brainfm.token_statistics import CodeUsage, code_counts, perplexity

CODES = torch.tensor([[0, 3], [0, 2], [1, 3], [0, 3]])  # four tokens of two levels


def test_counts_keep_levels_apart():
    expected = [[3, 1, 0, 0], [0, 0, 1, 3]]
    assert code_counts(CODES, 4).tolist() == expected
    assert code_counts(CODES.view(2, 2, 2), 4).tolist() == expected


def test_uint16_codes_are_counted_beyond_their_range():
    codes = torch.full((5, 3), 65535, dtype=torch.uint16)
    counts = code_counts(codes, 65536)
    assert counts[:, -1].tolist() == [5, 5, 5]
    assert counts.sum() == 15


def test_usage_adds_up_over_batches():
    usage = CodeUsage(2, 4)
    usage.update(CODES)
    assert usage.total == 4
    assert usage.compute().tolist() == [0.5, 0.5]
    usage.update(torch.tensor([[2, 2]]))
    assert usage.compute().tolist() == [0.75, 0.5]
    usage.reset()
    assert usage.total == 0


def test_perplexity_of_known_distributions():
    counts = torch.tensor([[5, 5, 5, 5], [9, 0, 0, 0], [2, 2, 0, 0], [0, 0, 0, 0]])
    expected = torch.tensor([4.0, 1.0, 2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(perplexity(counts), expected)
    # Half, quarter, quarter: 1.5 bits.
    torch.testing.assert_close(
        perplexity(torch.tensor([[2, 1, 1]])), torch.tensor([2**1.5], dtype=torch.float64)
    )
