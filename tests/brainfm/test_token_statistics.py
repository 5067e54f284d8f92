"""Code counts, usage and perplexity of token sequences small enough to count by eye."""

import torch

from brainfm.token_statistics import CodeStatistics, SideStatistics, code_counts, perplexity

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


def test_usage_adds_up_over_batches_and_modes():
    usage = CodeStatistics(2, 4, tokens_per_second=1.0)
    with torch.inference_mode():
        usage.update(CODES)
        assert usage.compute()["usage"].tolist() == [0.5, 0.5]
    usage.update(torch.tensor([[2, 2]]))
    assert usage.compute()["usage"].tolist() == [0.75, 0.5]
    with torch.inference_mode():
        usage.reset()
    usage.update(CODES)
    assert usage.compute()["usage"].tolist() == [0.5, 0.5]


def test_statistics_of_each_level_by_hand():
    """Two tokens of 4 codes: 0, 1 and 2, 2. One bit at 8 tokens a second, and none."""
    statistics = CodeStatistics(2, 4, tokens_per_second=8.0)
    statistics.update(torch.tensor([[0, 2]]))
    statistics.update(torch.tensor([[[1, 2]]]))
    found = {name: value.tolist() for name, value in statistics.compute().items()}
    assert found == {
        "usage": [0.5, 0.25],
        "perplexity": [2.0, 1.0],
        "bits_per_second": [8.0, 0.0],
    }
    named = statistics.named("train")
    assert named["train/perplexity_1"] == 1
    assert len(named) == 6
    assert statistics.named("train") == {}


def test_sides_are_counted_apart():
    statistics = SideStatistics(2, 4, tokens_per_second=8.0)
    statistics.update(CODES, "train")
    statistics.update(CODES[:1], "validation")
    found = statistics.named("train", "validation", "test")
    assert found["train/usage_0"] == 0.5
    assert found["validation/usage_0"] == 0.25
    assert not any(name.startswith("test/") for name in found)


def test_codes_of_latents_that_were_not_quantized_count_nothing():
    statistics = CodeStatistics(2, 4, tokens_per_second=8.0)
    statistics.update(torch.zeros(3, 0, dtype=torch.int64))
    assert statistics.compute() == {}
    assert CodeStatistics(2, 4, tokens_per_second=8.0).named("train") == {}


def test_all_codes_equally_often_carry_the_whole_bit_rate():
    """The published rate: 64 tokens a second, four levels of 9 bits: 2,304 bit/s."""
    statistics = CodeStatistics(4, 512, tokens_per_second=64.0)
    statistics.update(torch.arange(512)[:, None].expand(-1, 4))
    assert statistics.compute()["bits_per_second"].sum() == 2304


def test_perplexity_of_known_distributions():
    counts = torch.tensor([[5, 5, 5, 5], [9, 0, 0, 0], [2, 2, 0, 0], [0, 0, 0, 0]])
    expected = torch.tensor([4.0, 1.0, 2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(perplexity(counts), expected)
    # Half, quarter, quarter: 1.5 bits.
    torch.testing.assert_close(
        perplexity(torch.tensor([[2, 1, 1]])), torch.tensor([2**1.5], dtype=torch.float64)
    )
