"""The convolutional encoder and decoder: lengths, padding, independence of rows, causality."""

import pytest
import torch
from torch import nn

from brainfm import seanet
from brainfm.seanet import SEANetDecoder, SEANetEncoder, fold_weight_norm
from brainfm.seanet_layers import Conv, SkipLSTM, TransposedConv

SIZES = {"n_filters": 4, "ratios": (4, 2, 2), "kernel_size": 5, "last_kernel_size": 3, "width": 6}


def pair(**changes):
    torch.manual_seed(0)
    sizes = SIZES | changes
    return SEANetEncoder(**sizes), SEANetDecoder(**sizes)


@pytest.mark.parametrize("n_times", [1, 2, 7, 8, 9, 64])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (5, 1), (4, 2), (6, 3), (16, 8)])
def test_lengths(n_times, kernel, stride):
    x = torch.randn(3, n_times, 2)
    assert Conv(2, 4, kernel, stride=stride)(x).shape == (3, -(-n_times // stride), 4)
    if stride > 1:
        for causal in (False, True):
            y = TransposedConv(2, 4, kernel, stride=stride, causal=causal)(x)
            assert y.shape == (3, n_times * stride, 4)


def test_a_convolution_sees_both_sides_alike():
    """Kernel 5 at stride 1 reaches two samples to either side; causal, four samples back."""
    for causal, expected in ((False, [8, 9, 10, 11, 12]), (True, [10, 11, 12, 13, 14])):
        conv = Conv(1, 1, 5, causal=causal)
        x = torch.zeros(1, 21, 1)
        x[:, 10] = 1
        touched = (conv(x) - conv(torch.zeros_like(x))).flatten().nonzero().flatten()
        assert touched.tolist() == expected


def test_an_upsampled_frame_reaches_as_far_as_its_kernel():
    """Kernel 4 at stride 2: frame 3 covers samples 5 to 8, one to either side; causal, 6 to 9."""
    for causal, expected in ((False, [5, 6, 7, 8]), (True, [6, 7, 8, 9])):
        conv = TransposedConv(1, 1, 4, stride=2, causal=causal)
        x = torch.zeros(1, 8, 1)
        x[:, 3] = 1
        touched = (conv(x) - conv(torch.zeros_like(x))).flatten().nonzero().flatten()
        assert touched.tolist() == expected


def test_waveform_to_frames_and_back():
    encoder, decoder = pair()
    z = encoder(torch.randn(5, 64))
    assert z.shape == (5, 4, 6)
    assert decoder(z).shape == (5, 64)


@pytest.mark.parametrize("rows", [1, 4, 6, 100])
def test_rows_do_not_mix(rows, monkeypatch):
    """Nor does it matter how many are computed at once."""
    encoder, decoder = (part.eval() for part in pair())
    x = torch.randn(6, 64)
    together = decoder(encoder(x))
    alone = torch.cat([decoder(encoder(row[None])) for row in x])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    monkeypatch.setitem(seanet.SAMPLES_AT_ONCE, "cpu", rows * 64)
    with torch.no_grad():
        pieces = decoder(encoder(x))
    torch.testing.assert_close(pieces, together, atol=1e-5, rtol=1e-5)


def test_the_recurrence_looks_back_only():
    torch.manual_seed(0)
    lstm = SkipLSTM(4, 2)
    x = torch.randn(2, 9, 4)
    changed = x.clone()
    changed[:, 5:] += 1
    before, after = lstm(x), lstm(changed)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().min() > 0


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
    encoder, _ = pair()
    with torch.no_grad():
        for name, p in encoder.named_parameters():
            if name.endswith("original0"):
                p.mul_(1.7)
    x = torch.randn(2, 64)
    before = encoder(x)
    folded = fold_weight_norm(encoder)
    torch.testing.assert_close(folded(x), before)
    assert not any("parametrizations" in name for name in folded.state_dict())


@pytest.mark.parametrize("causal", [False, True])
def test_every_parameter_gets_a_gradient(causal):
    model = nn.Sequential(*pair(causal=causal))
    model(torch.randn(3, 64)).square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_recomputed_activations_give_the_same_gradients(monkeypatch):
    monkeypatch.setitem(seanet.SAMPLES_AT_ONCE, "cpu", 2 * 64)
    x = torch.randn(5, 64)
    gradients = []
    for recompute in (False, True):
        model = nn.Sequential(*pair(recompute=recompute)).train()
        model(x).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    for kept, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, kept, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("recompute", [None, False, True])
def test_large_activations_are_recomputed_unless_told(recompute, monkeypatch):
    """5 rows of 64 samples with 4 filters at 34 bytes: 43,520 bytes."""
    kept = []
    for limit in (43_520, 43_519):
        monkeypatch.setattr(seanet, "KEPT_BYTES", limit)
        encoder, _ = pair(recompute=recompute)
        x = torch.randn(5, 64)
        shapes: list = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, into=shapes: (into.append(t.shape), t)[1], lambda t: t
        ):
            encoder(x)
        kept.append((5, 64, 4) in shapes)
    assert kept == {None: [True, False], False: [True, True], True: [False, False]}[recompute]


def test_a_causal_stack_does_not_see_the_future():
    """A frame of 16 samples: what changes from sample 32 on changes no frame before the third."""
    encoder, decoder = pair(causal=True)
    x = torch.randn(2, 64)
    changed = x.clone()
    changed[:, 32:] += 1
    z, other = encoder(x), encoder(changed)
    torch.testing.assert_close(z[:, :2], other[:, :2])
    assert (z[:, 2:] - other[:, 2:]).abs().max() > 1e-3
    torch.testing.assert_close(decoder(z)[:, :32], decoder(other)[:, :32])


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_causal_stack_continues_where_it_stopped(frames):
    encoder, decoder = (part.eval() for part in pair(causal=True))
    x = torch.randn(2, 16 * 6)
    with torch.no_grad():
        z = encoder(x)
        y = decoder(z)
        heard: dict = {}
        said: dict = {}
        pieces = [encoder(block, heard) for block in x.split(16 * frames, dim=1)]
        spoken = [decoder(piece, said) for piece in pieces]
    torch.testing.assert_close(torch.cat(pieces, dim=1), z, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat(spoken, dim=1), y, atol=1e-5, rtol=1e-5)
