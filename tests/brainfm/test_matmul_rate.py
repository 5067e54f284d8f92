"""The measure of speed: plausible, soon done, in the precision of training."""

import time

import pytest
import torch

from brainfm.matmul_rate import matmul_rate, precision_dtype


def test_it_measures_within_the_time_it_is_given():
    begin = time.perf_counter()
    rate = matmul_rate(torch.device("cpu"), torch.float32, seconds=0.1)
    assert time.perf_counter() - begin < 5
    assert 1e8 < rate < 1e14  # from a slow core to a whole accelerator


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("bf16-mixed", torch.bfloat16),
        ("bf16-true", torch.bfloat16),
        ("16-mixed", torch.float16),
        ("32-true", torch.float32),
        ("64-true", torch.float32),
    ],
)
def test_the_precision_of_products(precision, dtype):
    assert precision_dtype(precision) == dtype
