"""Codebooks start from the latents of the last steps before they come in."""

import pytest
import torch

from brainfm.codebook_start import STEPS, CodebookStart
from brainfm.quantizers import QuantizerConfig, build_quantizer


@pytest.fixture
def quantizer():
    torch.manual_seed(0)
    return build_quantizer(QuantizerConfig(n_quantizers=1, codebook_size=4), 3)


def test_they_are_set_at_the_last_step_before(quantizer):
    start = CodebookStart(at_step=5)
    for step in range(4):
        start.add(torch.randn(2, 7, 3), step, quantizer)
        assert not quantizer.initialised
        assert not start.due(step, quantizer, training=True)
    start.add(torch.randn(2, 7, 3), 4, quantizer)
    assert quantizer.initialised
    assert not start.latents
    assert not start.due(4, quantizer, training=True)
    assert start.due(5, quantizer, training=True)


def test_only_the_last_latents_are_kept(quantizer):
    start = CodebookStart(at_step=100)
    for step in range(100 - STEPS):
        start.add(torch.randn(2, 3), step, quantizer)
        assert not start.latents
    start.add(torch.randn(2, 3), 100 - STEPS, quantizer)
    assert len(start.latents) == 1


def test_outside_of_training_what_counts_is_whether_they_are_set(quantizer):
    start = CodebookStart(at_step=10)
    assert not start.due(99, quantizer, training=False)
    quantizer.initialise(torch.randn(64, 3))
    assert start.due(0, quantizer, training=False)
    start.add(torch.randn(2, 3), 9, quantizer)
    assert not start.latents


def test_a_step_before_the_first():
    with pytest.raises(ValueError, match="quantize_after must be at least 0, got -1"):
        CodebookStart(-1)
