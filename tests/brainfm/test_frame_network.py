"""Frames and back: signals pass from the start, amplitudes are compressed, causal is causal."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.frame_layers import FrameLinear, cosines, emphasis
from brainfm.frame_network import FrameDecoder, FrameEncoder, compress, expand

SIZES = {"hop": 16, "width": 24, "sfreq": 128.0}


def networks(depth=2, causal=False, seed=0):
    torch.manual_seed(seed)
    sizes = SIZES | {"depth": depth, "causal": causal}
    return FrameEncoder(**sizes).requires_grad_(False), FrameDecoder(**sizes).requires_grad_(False)


def signal(n=16 * 12, seed=0):
    return torch.randn(3, n, generator=torch.Generator().manual_seed(seed))


def test_cosines_are_orthonormal_and_ordered():
    table = cosines(16).double()
    torch.testing.assert_close(table @ table.T, torch.eye(16).double(), atol=1e-6, rtol=0)
    assert table[0].std() < 1e-6
    changes = (table.diff(dim=1).sign().diff(dim=1) != 0).sum(1)
    assert (table.sign().diff(dim=1) != 0).sum(1).tolist() == list(range(16))
    assert changes[1] == 0


def test_emphasis_rises_to_20_hz_and_falls_from_there():
    weights = emphasis(64, 256.0)  # 2 Hz each, from 1 Hz on
    assert weights[0] == pytest.approx(2**0.5 * (1 / 20) ** 0.75)
    assert weights[4] == pytest.approx(2**0.5 * (9 / 20) ** 0.75)
    assert int(weights.argmax()) in (9, 10)  # 19 and 21 Hz
    assert weights[40] == pytest.approx(2**0.5 * 20 / 81)
    assert emphasis(256, 256.0)[0] == pytest.approx(2**0.5 * 0.05**0.75)  # no lower than at 1 Hz


@pytest.mark.parametrize("causal", [False, True])
def test_untrained_networks_pass_the_signal(causal):
    encoder, decoder = networks(depth=0, causal=causal)
    x = 0.3 * signal()
    torch.testing.assert_close(decoder(encoder(x)), x, atol=1e-5, rtol=1e-4)
    encoder, decoder = networks(depth=3, causal=causal)
    y = decoder(encoder(x))
    assert torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1] > 0.95


def test_fewer_features_than_samples_pass_the_slow_waves():
    encoder = FrameEncoder(hop=16, width=8, depth=0, sfreq=128.0, causal=False)
    decoder = FrameDecoder(hop=16, width=8, depth=0, sfreq=128.0, causal=False)
    x = 0.1 * torch.randn(2, 12, 8) @ cosines(16)[:8]
    torch.testing.assert_close(decoder(encoder(x.flatten(1))), x.flatten(1), atol=1e-5, rtol=1e-4)


@settings(max_examples=50, deadline=None)
@given(length=st.floats(1e-3, 8.0), seed=st.integers(0, 100))
def test_compression_is_undone(length, seed):
    direction = torch.randn(1, 24, generator=torch.Generator().manual_seed(seed))
    z = length * torch.nn.functional.normalize(direction, dim=-1)
    inside = compress(z)
    assert inside.norm() < 1
    torch.testing.assert_close(expand(inside), z, atol=1e-5, rtol=1e-3)


def test_what_lies_outside_is_held_at_the_edge():
    z = torch.tensor([[3.0, 4.0]])
    assert expand(z).isfinite().all()
    assert expand(z).norm() > expand(0.99 * torch.nn.functional.normalize(z, dim=-1)).norm()
    assert compress(1e6 * z).norm() == pytest.approx(1.0)


@pytest.mark.parametrize("network", [0, 1])
def test_a_causal_network_hears_no_future(network):
    net = networks(causal=True)[network]
    x = signal() if network == 0 else 0.3 * torch.randn(3, 12, 24)
    changed = x.clone()
    half = x.shape[1] // 2
    changed[:, half:] += 1.0
    before, after = net(x), net(changed)
    torch.testing.assert_close(after[:, : before.shape[1] // 2], before[:, : before.shape[1] // 2])
    assert (after - before).abs().max() > 0.1


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 12), max_size=4))
def test_causal_frames_in_pieces_equal_the_whole(cuts):
    encoder, decoder = networks(causal=True)
    x = signal()
    edges = [0, *sorted(cuts), 12]
    past: dict = {}
    z = torch.cat(
        [encoder(x[:, 16 * a : 16 * b], past) for a, b in pairwise(edges)],
        dim=1,
    )
    torch.testing.assert_close(z, encoder(x), atol=1e-6, rtol=1e-5)
    past = {}
    y = torch.cat([decoder(z[:, a:b], past) for a, b in pairwise(edges)], dim=1)
    torch.testing.assert_close(y, decoder(z), atol=1e-5, rtol=1e-5)


def test_a_frame_sees_itself_and_its_neighbours():
    for causal, seen in ((False, {4, 5, 6}), (True, {5, 6, 7})):
        layer = FrameLinear(2, 3, causal=causal)
        x = torch.zeros(1, 10, 2)
        x[0, 5] = 1.0
        moved = (layer(x) - layer(torch.zeros_like(x))).abs().sum(-1)[0]
        assert set(moved.nonzero().flatten().tolist()) == seen
