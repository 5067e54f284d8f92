"""Windows of the tokenizer: their company changes no bit of their codes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.brain_tokenizer import BrainTokenizer, Sensors, TokenizerConfig
from brainfm.window_codes import as_frames, repeated, window_codes


@pytest.fixture(scope="module", params=["brainfm", "brainomni"])
def tokenizer(request):
    """Nano's size: large enough for the kernels that real models use."""
    cfg = TokenizerConfig(architecture=request.param, n_filters=8, ratios=(2, 4, 8), width=64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = BrainTokenizer(cfg).eval()
        made.quantizer.initialise(F.normalize(torch.randn(4096, 64), dim=-1))
    return made


def sensors_of(tokenizer, n_channels, n_windows):
    generator = torch.Generator().manual_seed(n_channels)
    with torch.no_grad():
        one = tokenizer.embed_sensors(
            0.1 * torch.randn(1, n_channels, 3, generator=generator),
            torch.zeros(1, n_channels, 3),
            torch.zeros(1, n_channels, dtype=torch.long),
            torch.ones(1, n_channels, dtype=torch.bool),
        )
    return repeated(one, n_windows)


@settings(max_examples=12, deadline=None)
@given(
    n_channels=st.integers(1, 20),
    order=st.permutations(range(6)),
    channel_windows=st.integers(1, 200),
)
def test_company_and_place_do_not_matter(tokenizer, n_channels, order, channel_windows):
    windows = torch.randn(6, n_channels, 512, generator=torch.Generator().manual_seed(1))
    sensors = sensors_of(tokenizer, n_channels, 6)
    alone = torch.cat(
        [window_codes(tokenizer, w[None], sensors_of(tokenizer, n_channels, 1)) for w in windows]
    )
    assert alone.shape == (6, 16, 8, 4)
    together = window_codes(tokenizer, windows[order], sensors, channel_windows=channel_windows)
    assert torch.equal(together, alone[order])


@pytest.mark.parametrize("channel_windows", [1, 20, 35, 1000])
def test_calls_of_one_shape_give_the_same(tokenizer, channel_windows):
    windows = torch.randn(7, 5, 512, generator=torch.Generator().manual_seed(2))
    sensors = sensors_of(tokenizer, 5, 7)
    shapes = []
    hook = tokenizer.quantizer.register_forward_pre_hook(lambda _, x: shapes.append(x[0].shape))
    filled = window_codes(
        tokenizer, windows, sensors, channel_windows=channel_windows, one_shape=True
    )
    hook.remove()
    assert len(set(shapes)) == 1
    assert shapes[0][0] == max(1, channel_windows // 5)
    assert torch.equal(filled, window_codes(tokenizer, windows, sensors))


def test_every_window_has_its_own_sensors(tokenizer):
    windows = torch.randn(1, 5, 512).expand(2, -1, -1)
    a, b = sensors_of(tokenizer, 5, 1), sensors_of(tokenizer, 5, 1)
    moved = Sensors(b.embedding.flip(1), b.mask)
    both = Sensors(torch.cat([a.embedding, moved.embedding]), torch.cat([a.mask, b.mask]))
    found = window_codes(tokenizer, windows, both)
    assert torch.equal(found[:1], window_codes(tokenizer, windows[:1], a))
    assert torch.equal(found[1:], window_codes(tokenizer, windows[:1], moved))
    assert not torch.equal(found[0], found[1])


def test_frames_follow_windows():
    codes = torch.arange(2 * 3 * 4 * 1).reshape(2, 3, 4, 1)
    frames = as_frames(codes)
    assert frames.shape == (8, 3, 1)
    assert frames.dtype == "uint16"
    assert frames[5, 2, 0] == codes[1, 2, 1, 0]
