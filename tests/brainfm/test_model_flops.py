"""The formula against what torch counts while the model runs."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from brainfm.masked_model import MaskedBrainModel, MaskedModelConfig
from brainfm.model_flops import TRAINING, forward_flops

Q, K, E, N, P, B = 3, 16, 20, 4, 10, 2


@pytest.mark.parametrize("architecture", ["brainfm", "brainomni"])
@pytest.mark.parametrize("prediction", ["parallel", "conditional"])
@pytest.mark.parametrize("width", [E, 32])
@pytest.mark.parametrize("levels", [None, 2])
def test_the_formula_counts_what_runs(architecture, prediction, width, levels):
    heads = 2 if width == E else 4
    cfg = MaskedModelConfig(
        architecture=architecture,
        width=width,
        n_heads=heads,
        depth=3,
        prediction=prediction,
        predicted_levels=levels,
    )
    torch.manual_seed(0)
    model = MaskedBrainModel(cfg, torch.randn(Q, K, E), torch.randn(N, E))
    codes = torch.randint(K, (B, N, P, Q))
    at = torch.arange(20)  # a quarter of the 80 tokens
    # Torch counts the products of plain attention, not those of the CPU's fused one.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        logits = model(codes, at=at, truth=codes.flatten(0, 2)[at])
    sizes = {"n_sources": N, "n_frames": P, "code_dim": E, "n_quantizers": Q, "codebook_size": K}
    expected = B * N * P * forward_flops(cfg, predicted_share=0.25, **sizes)
    assert counter.get_total_flops() == expected
    with FlopCounterMode(display=False) as counter:
        logits.sum().backward()
    # Codes need no gradient: products with them have one less.
    with_codes = 0 if width == E else 2 * E * width * B * N * P
    if (architecture, prediction) == ("brainfm", "parallel"):
        with_codes += 2 * (levels or Q) * E * K * len(at)
    assert counter.get_total_flops() == (TRAINING - 1) * expected - with_codes


def test_large_by_hand():
    """Six operations a weight and token, as the rule of thumb has it, within the attention's."""
    cfg = MaskedModelConfig(width=1024, n_heads=16, depth=28)
    sizes = {"n_sources": 16, "n_frames": 240, "code_dim": 256, "n_quantizers": 4}
    flops = TRAINING * forward_flops(cfg, codebook_size=512, predicted_share=1.0, **sizes)
    weights = 28 * 10 * 1024**2 + 256 * 1024 + 1024 * 1024 + 256 * 2048
    attention = TRAINING * 28 * 2 * 1024 * 256
    assert flops == 6 * weights + attention
