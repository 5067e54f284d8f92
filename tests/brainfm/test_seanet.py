"""The convolutional encoder and decoder: lengths, padding, independence of rows, folding."""

import pytest
import torch
from torch import nn

from brainfm.seanet import (
    Conv,
    SEANetDecoder,
    SEANetEncoder,
    SkipLSTM,
    TransposedConv,
    fold_weight_norm,
    pad_reflect,
)

SIZES = {"n_filters": 4, "ratios": (4, 2, 2), "kernel_size": 5, "last_kernel_size": 3, "width": 6}


def test_reflection_by_hand():
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3)
    assert pad_reflect(x, 1, 1).flatten().tolist() == [2, 1, 2, 3, 2]
    # Shorter than the padding: 1 2 0 is reflected to 0 2 1 2 0 2 1, and the appended one is cut.
    short = torch.tensor([1.0, 2.0]).view(1, 1, 2)
    assert pad_reflect(short, 2, 2).flatten().tolist() == [0, 2, 1, 2, 0, 2]


@pytest.mark.parametrize("n_times", [1, 2, 7, 8, 9, 64])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (5, 1), (4, 2), (16, 8)])
def test_lengths(n_times, kernel, stride):
    x = torch.randn(3, 2, n_times)
    assert Conv(2, 4, kernel, stride=stride)(x).shape == (3, 4, -(-n_times // stride))
    if stride > 1:
        y = TransposedConv(2, 4, kernel, stride=stride)(x)
        assert y.shape == (3, 4, n_times * stride)


def test_a_convolution_sees_both_sides_alike():
    """Kernel 5 at stride 1 reaches two samples to either side."""
    conv = Conv(1, 1, 5)
    x = torch.zeros(1, 1, 21)
    x[..., 10] = 1
    touched = (conv(x) - conv(torch.zeros_like(x))).flatten().nonzero().flatten()
    assert touched.tolist() == [8, 9, 10, 11, 12]


def test_waveform_to_frames_and_back():
    x = torch.randn(5, 64)
    z = SEANetEncoder(**SIZES)(x)
    assert z.shape == (5, 4, 6)
    assert SEANetDecoder(**SIZES)(z).shape == (5, 64)


def test_rows_do_not_mix():
    torch.manual_seed(0)
    encoder, decoder = SEANetEncoder(**SIZES).eval(), SEANetDecoder(**SIZES).eval()
    x = torch.randn(6, 64)
    together = decoder(encoder(x))
    alone = torch.cat([decoder(encoder(row[None])) for row in x])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_recurrence_looks_back_only():
    torch.manual_seed(0)
    lstm = SkipLSTM(4, 2)
    x = torch.randn(2, 4, 9)
    changed = x.clone()
    changed[..., 5:] += 1
    before, after = lstm(x), lstm(changed)
    torch.testing.assert_close(before[..., :5], after[..., :5])
    assert (before[..., 5:] - after[..., 5:]).abs().min() > 0


def test_variance_survives_the_layers_at_the_start():
    """Training must not begin on latents that hold little but biases."""
    torch.manual_seed(0)
    encoder = SEANetEncoder(
        n_filters=16, ratios=(8, 4, 2), kernel_size=5, last_kernel_size=5, width=64
    )
    z = encoder(torch.randn(8, 512))
    assert 0.3 < z.std() < 3
    between_rows = z.mean(1).std(0).mean() + z.std(1).mean()
    assert between_rows > 0.3 * z.std()


def test_folding_weight_norm_changes_no_output():
    torch.manual_seed(0)
    encoder = SEANetEncoder(**SIZES)
    with torch.no_grad():
        for name, p in encoder.named_parameters():
            if name.endswith("original0"):
                p.mul_(1.7)
    x = torch.randn(2, 64)
    before = encoder(x)
    folded = fold_weight_norm(encoder)
    torch.testing.assert_close(folded(x), before)
    assert not any("parametrizations" in name for name in folded.state_dict())


def test_every_parameter_gets_a_gradient():
    model = nn.Sequential(SEANetEncoder(**SIZES), SEANetDecoder(**SIZES))
    model(torch.randn(3, 64)).square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
