"""The tokenizer as a function of a set of sensors: what its codes may and may not depend on."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.brain_tokenizer import Sensors, TokenizerConfig, cut_windows
from brainfm.checkpoints import codes_digest

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


class Array:
    """Signals (B, C, T) and geometry of random sensors of three types."""

    def __init__(self, n_batch=2, n_sensors=7, n_times=300, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n_batch, n_sensors, n_times, generator=generator)
        places = torch.randn(n_batch, n_sensors, 3, generator=generator)
        self.positions = 0.09 * torch.nn.functional.normalize(places, dim=-1)
        self.types = torch.randint(3, (n_batch, n_sensors), generator=generator)
        self.orientations = places / places.norm(dim=-1, keepdim=True) * (self.types > 0)[..., None]
        self.mask = torch.ones(n_batch, n_sensors, dtype=torch.bool)

    def pick(self, order):
        """The same, sensors in another order or some of them."""
        picked = Array.__new__(Array)
        for name, value in vars(self).items():
            setattr(picked, name, value[:, order])
        return picked

    def rows(self, which):
        """The same, some samples of the batch."""
        picked = Array.__new__(Array)
        for name, value in vars(self).items():
            setattr(picked, name, value[which])
        return picked

    def padded(self, n, filling):
        """The same with ``n`` masked sensors behind."""
        more = Array.__new__(Array)
        for name, value in vars(self).items():
            shape = (value.shape[0], n, *value.shape[2:])
            pad = torch.full(shape, filling).to(value) if name == "x" else torch.zeros(shape)
            setattr(more, name, torch.cat([value, pad.to(value)], dim=1))
        return more


def run(model, array):
    """Latents, codes and reconstruction."""
    tokenizer = model.tokenizer
    sensors = tokenizer.embed_sensors(array.positions, array.orientations, array.types, array.mask)
    windows = tokenizer.cut(array.x)
    out = tokenizer(windows, sensors, sensors)
    return out.latents, out.quantized.codes, out.waveform


@pytest.fixture(scope="module", params=["brainfm", "brainomni"])
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def model(tiny_model, architecture):
    return tiny_model(architecture=architecture)


def test_shapes(model, architecture):
    latents, codes, waveform = run(model, Array())
    assert latents.shape == (2, 3, 3 * 4, 16)  # 300 samples: 3 windows of 4 frames, 3 sources
    assert codes.shape == (2, 3, 12, 2)
    assert waveform.shape == (2, 7, 3, 128)
    lengths = latents.norm(dim=-1)
    if architecture == "brainomni":
        torch.testing.assert_close(lengths, torch.ones(2, 3, 12))
    else:
        assert lengths.max() < 1


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(7)))
def test_the_order_of_sensors_does_not_matter(model, order):
    array = Array()
    latents, codes, waveform = run(model, array)
    other = run(model, array.pick(list(order)))
    torch.testing.assert_close(other[0], latents, **CLOSE)
    assert torch.equal(other[1], codes)
    torch.testing.assert_close(other[2], waveform[:, list(order)], **CLOSE)


@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 9), filling=st.sampled_from([0.0, 1e4, -3.0]))
def test_padding_does_not_matter(model, n, filling):
    """Nor do the values of sensors that are masked."""
    array = Array()
    latents, codes, waveform = run(model, array)
    other = run(model, array.padded(n, filling))
    torch.testing.assert_close(other[0], latents, **CLOSE)
    assert torch.equal(other[1], codes)
    torch.testing.assert_close(other[2][:, :7], waveform, **CLOSE)


def test_the_rest_of_the_batch_does_not_matter(model):
    array = Array(n_batch=5)
    latents, codes, waveform = run(model, array)
    for b in range(5):
        alone = run(model, array.rows(slice(b, b + 1)))
        torch.testing.assert_close(alone[0], latents[b : b + 1], **CLOSE)
        assert torch.equal(alone[1], codes[b : b + 1])
        torch.testing.assert_close(alone[2], waveform[b : b + 1], **CLOSE)


def test_masking_a_sensor_equals_leaving_it_out(model):
    array = Array()
    masked = Array()
    masked.mask[:, 2] = False
    kept = [0, 1, 3, 4, 5, 6]
    expected = run(model, array.pick(kept))
    found = run(model, masked)
    torch.testing.assert_close(found[0], expected[0], **CLOSE)
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[2][:, kept], expected[2], **CLOSE)


def test_a_hidden_sensor_is_reconstructed_from_the_others(model):
    """Its signal has no influence; its place has."""
    array, other = Array(), Array()
    other.x[:, 4] = 50.0
    results = []
    for a in (array, other):
        tokenizer = model.tokenizer
        wanted = tokenizer.embed_sensors(a.positions, a.orientations, a.types, a.mask)
        seen = a.mask.clone()
        seen[:, 4] = False
        results.append(tokenizer(tokenizer.cut(a.x), Sensors(wanted.embedding, seen), wanted))
    torch.testing.assert_close(results[0].waveform, results[1].waveform)
    assert torch.equal(results[0].quantized.codes, results[1].quantized.codes)
    waveform = results[0].waveform
    assert (waveform[:, 4] - waveform[:, 0]).abs().max() > 1e-4


def test_windows_are_encoded_by_themselves(model):
    array = Array(n_times=128 * 4)
    changed = Array(n_times=128 * 4)
    changed.x[..., 128 * 2 :] += 1.0
    before, after = run(model, array)[0], run(model, changed)[0]
    torch.testing.assert_close(before[:, :, :8], after[:, :, :8], **CLOSE)
    assert (before[:, :, 8:] - after[:, :, 8:]).abs().max() > 1e-3


def test_windows_by_hand():
    x = torch.arange(1.0, 8.0).view(1, 1, 7)
    assert cut_windows(x, 4, 4)[0, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 0]]
    assert cut_windows(x, 4, 3)[0, 0].tolist() == [[1, 2, 3, 4], [4, 5, 6, 7]]
    assert cut_windows(x[..., :2], 4, 3)[0, 0].tolist() == [[1, 2, 0, 0]]


def test_tokenize_equals_forward(model):
    array = Array()
    sensors = model.tokenizer.embed_sensors(
        array.positions, array.orientations, array.types, array.mask
    )
    assert torch.equal(model.tokenizer.tokenize(array.x, sensors), run(model, array)[1])


def test_overlapping_windows_begin_every_stride(tiny_model, architecture):
    overlapping = tiny_model(overlap=0.25, architecture=architecture)
    assert overlapping.tokenizer.cfg.stride == 96
    array = Array(n_times=96 + 128)
    _, codes, _ = run(overlapping, array)
    second = Array(n_times=96 + 128)
    second.x = second.x[..., 96:]
    assert torch.equal(codes[:, :, 4:], run(overlapping, second)[1])


def test_a_causal_tokenizer_takes_windows_as_one_signal(tiny_model, architecture):
    """The second window hears the first; no frame of the first the second."""
    causal = tiny_model(causal=True, architecture=architecture)
    array, changed = Array(n_times=256), Array(n_times=256)
    changed.x[..., 128:] += 1.0
    before, _, waveform = run(causal, array)
    assert waveform.shape == (2, 7, 2, 128)
    after = run(causal, changed)
    torch.testing.assert_close(before[:, :, :4], after[0][:, :, :4], **CLOSE)
    torch.testing.assert_close(waveform[:, :, 0], after[2][:, :, 0], **CLOSE)
    changed = Array(n_times=256)
    changed.x[..., :128] += 1.0
    assert (run(causal, changed)[0][:, :, 4:] - before[:, :, 4:]).abs().max() > 1e-4


def test_what_is_recomputed_changes_no_code(tiny_model):
    array = Array()
    models = [tiny_model(recompute=r, architecture="brainomni") for r in (None, False, True)]
    assert len({codes_digest(m.tokenizer) for m in models}) == 1
    first, *others = (run(m, array) for m in models)
    for other in others:
        torch.testing.assert_close(other, first)


def test_without_quantization_latents_pass(model):
    array = Array()
    tokenizer = model.tokenizer
    sensors = tokenizer.embed_sensors(array.positions, array.orientations, array.types, array.mask)
    out = tokenizer(tokenizer.cut(array.x), sensors, sensors, quantize=False)
    assert torch.equal(out.quantized.values, out.latents)
    assert out.quantized.codes.shape[-1] == 0
    assert out.quantized.commitment == 0


@pytest.mark.parametrize("n_sensors", [1, 6])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"code_dim": 4},
        {"causal": True},
        {"architecture": "brainomni"},
        {"architecture": "brainomni", "name_sources": False},
        {"architecture": "brainomni", "code_dim": 4},
        {"architecture": "brainomni", "causal": True},
        {"architecture": "brainomni", "recompute": True},
    ],
)
def test_every_parameter_gets_a_gradient(tiny_model, n_sensors, changes):
    """With one sensor too: its window trains. Its keys alone get none: it is the only choice."""
    tokenizer = tiny_model(**changes).tokenizer.train().requires_grad_(True)
    array = Array(n_batch=4, n_sensors=n_sensors)
    array.types = torch.arange(4)[:, None].expand(4, n_sensors).contiguous()
    sensors = tokenizer.embed_sensors(array.positions, array.orientations, array.types, array.mask)
    out = tokenizer(tokenizer.cut(array.x), sensors, sensors)
    (out.waveform.square().mean() + out.quantized.commitment).backward()
    without = {n for n, p in tokenizer.named_parameters() if p.grad is None or not p.grad.any()}
    choosing = {"gather.key.weight", "gather.key.bias", "gather.queries"}
    # A shift of all keys by one bias moves no softmax.
    allowed = choosing if n_sensors == 1 else {"gather.key.bias"}
    if tokenizer.cfg.architecture == "brainfm":
        allowed = set()
    assert without - allowed == set()
    assert all(torch.isfinite(p.grad).all() for p in tokenizer.parameters() if p.grad is not None)


def test_published_sizes():
    """5,050,338 parameters, and four codebooks of 512 x 256 (brainomni.md, section 1)."""
    from brainfm.brain_tokenizer import BrainTokenizer

    cfg = TokenizerConfig(
        architecture="brainomni",
        types={"eeg": 0, "mag": 1, "planar": 2, "axial": 2},
        fourier_bands=0,
        name_sources=False,
    )
    tokenizer = BrainTokenizer(cfg)
    assert sum(p.numel() for p in tokenizer.parameters()) == 5_050_338
    assert tokenizer.quantizer.codebooks.shape == (4, 512, 256)
    assert (cfg.hop, cfg.frames_per_window, cfg.stride) == (64, 8, 512)
    assert replace(cfg, overlap=0.25).stride == 384


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 500}, r"window \(500 samples\) must be a multiple .* = 64"),
        ({"overlap": 1.0}, "overlap"),
        ({"overlap": 0.25, "causal": True}, "overlap must be 0 if causal"),
        ({"width": 254}, "n_heads"),
        ({"types": {"eeg": 0, "nirs": 1}}, "types must name some of"),
        ({"types": {}}, "types"),
        ({"architecture": "conformer"}, "architecture must be 'brainfm' or 'brainomni'"),
        ({"depth": -1}, "depth must be at least 0"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TokenizerConfig(**changes)
