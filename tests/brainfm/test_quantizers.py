"""What all kinds of quantizers have in common."""

import pytest
import torch
import torch.nn.functional as F

from brainfm.quantizers import KINDS, QuantizerConfig, build_quantizer

WIDTH = 12
SETTINGS = {
    "rvq": {"codebook_size": 9},
    "rvq, projected": {"codebook_size": 9, "codebook_dim": 3},
    "fsq": {"kind": "fsq", "codebook_size": 9, "scalar_levels": (3, 3)},
    "fsq, uneven": {"kind": "fsq", "codebook_size": 12, "scalar_levels": (4, 3)},
    "quantile": {"kind": "quantile", "codebook_size": 9, "scalar_levels": (3, 3)},
    "quantile, uneven": {"kind": "quantile", "codebook_size": 12, "scalar_levels": (4, 3)},
}
every_kind = pytest.mark.parametrize("name", SETTINGS)


def empty(name, levels=2, seed=0):
    torch.manual_seed(seed)
    return build_quantizer(QuantizerConfig(n_quantizers=levels, **SETTINGS[name]), WIDTH)


def quantizer(name, levels=2, seed=0):
    made = empty(name, levels, seed)
    made.initialise(latents(400, seed=seed + 100))
    return made


def latents(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.linspace(2, 0.5, WIDTH)
    return F.normalize(torch.randn(*shape, WIDTH, generator=generator) * spread, dim=-1)


def test_every_kind_is_tested():
    assert {settings.get("kind", "rvq") for settings in SETTINGS.values()} == set(KINDS)


@every_kind
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_the_straight_through_gain_is_one(name, training, levels):
    model = quantizer(name, levels).train(training)
    z = latents(3, 40).requires_grad_()
    model(z).values.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


@every_kind
def test_values_are_the_sums_of_the_code_vectors(name):
    model = quantizer(name, 3).eval()
    out = model(latents(2, 5, 7))
    assert out.values.shape == (2, 5, 7, WIDTH)
    assert out.codes.shape == (2, 5, 7, 3)
    assert model.codebooks.shape == (3, model.cfg.codebook_size, WIDTH)
    assert not model.codebooks.requires_grad
    by_hand = sum(model.codebooks[q][out.codes[..., q]] for q in range(3))
    torch.testing.assert_close(out.values, by_hand)
    torch.testing.assert_close(model.decode(out.codes), by_hand)


@every_kind
def test_codes_use_all_of_their_range_and_stay_in_it(name):
    model = quantizer(name).eval()
    codes = model(latents(2000)).codes
    assert codes.dtype == torch.int64
    for level in range(2):
        assert len(codes[:, level].unique()) == model.cfg.codebook_size
        assert codes[:, level].amax() == model.cfg.codebook_size - 1


@pytest.mark.parametrize("name", [n for n in SETTINGS if n != "rvq, projected"])
def test_more_levels_leave_less_error(name):
    """Projections of residual levels are random before they have learned: not those."""
    z = latents(300)
    errors = [(quantizer(name, n).eval()(z).values - z).norm() for n in (1, 2, 4)]
    assert z.norm() > errors[0] > errors[1] > errors[2]


@every_kind
def test_evaluation_changes_nothing_and_repeats(name):
    model = quantizer(name).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first, second = model(latents(50)), model(latents(50))
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.codes, second.codes)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@every_kind
def test_codes_do_not_depend_on_the_batch(name):
    model = quantizer(name).eval()
    z = latents(64)
    one_by_one = torch.cat([model(row[None]).codes for row in z])
    assert torch.equal(model(z).codes, one_by_one)


@every_kind
def test_every_parameter_learns(name):
    model = quantizer(name).train()
    z = latents(50).requires_grad_()
    out = model(z)
    (out.values.square().sum() + out.commitment).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    has_parameters = name.startswith(("fsq", "rvq, projected"))
    assert bool(list(model.parameters())) == has_parameters


@every_kind
def test_commitment_draws_latents_towards_their_values(name):
    model = quantizer(name, 1).eval()
    z = latents(50).requires_grad_()
    model(z).commitment.backward()
    step = z.detach() - 0.01 * z.grad / z.grad.norm()
    assert model(step).commitment < model(z).commitment


@every_kind
def test_skipped_latents_pass_and_every_parameter_is_touched(name):
    model = empty(name).train()
    z = latents(5, 4).requires_grad_()
    out = model.skip(z)
    assert out.values is z
    assert out.codes.shape == (5, 4, 0)
    (out.values.sum() + out.commitment).backward()
    assert out.commitment == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


@every_kind
def test_codes_are_set_from_data_once(name):
    model = empty(name).train()
    assert not model.initialised
    model(latents(200))
    assert model.initialised
    assert model.training
    assert model.codebooks.any(-1).all()


@every_kind
def test_latents_that_are_not_finite_leave_no_trace(name):
    broken = latents(200)
    broken[::7] = torch.nan
    model = empty(name).train()
    model.initialise(torch.full((20, WIDTH), torch.nan))
    assert not model.initialised
    model.initialise(broken)
    model(broken)
    assert model.codebooks.isfinite().all()
    model(torch.full((20, WIDTH), torch.inf))
    assert model.codebooks.isfinite().all()


@every_kind
def test_a_loaded_state_gives_the_same_codes(name):
    model = quantizer(name).eval()
    loaded = empty(name, seed=5).eval()
    loaded.load_state_dict(model.state_dict())
    assert loaded.initialised
    assert torch.equal(loaded(latents(50)).codes, model(latents(50)).codes)


@every_kind
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_buffers_stay_float32_and_exact_in_a_module_of_another_precision(name, dtype):
    model = quantizer(name)
    before = {key: value.clone() for key, value in model.named_buffers()}
    moved = torch.nn.Sequential(model).to(dtype)[0]
    for key, value in moved.named_buffers():
        assert value.dtype == before[key].dtype, key
        assert torch.equal(value, before[key]), key
    assert all(p.dtype == dtype for p in moved.parameters())
    out = moved.train()(latents(50).to(dtype))
    assert out.values.dtype == dtype


@every_kind
def test_codes_under_autocast_are_those_of_float32(name):
    model = quantizer(name).eval()
    z = latents(200).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(z)
    assert out.values.dtype == torch.bfloat16
    assert torch.equal(out.codes, model(z.float()).codes)


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_spend_36_bits_on_a_token_by_default(kind):
    """Four levels of 512 codes, nine bits each."""
    cfg = QuantizerConfig(kind=kind)
    assert cfg.bits_per_token == 36
    assert build_quantizer(cfg, 32).codebooks.shape == (4, 512, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "vq"}, "kind must be 'rvq', 'fsq' or 'quantile', got 'vq'"),
        ({"n_quantizers": 0}, "n_quantizers must be at least 1, got 0"),
        ({"codebook_size": 1}, "codebook_size"),
        ({"codebook_size": 65537}, "codebook_size"),
        ({"decay": 1.0}, "decay"),
        ({"dead_below": 1.0}, r"dead_below must lie in \[0, 1\), got 1.0"),
        ({"kind": "fsq", "codebook_size": 1024}, "is 512; it must be codebook_size, 1024"),
        ({"kind": "fsq", "scalar_levels": (2, 256)}, "scalar_levels must all be at least 3"),
        ({"kind": "quantile", "codebook_dim": 4}, "codebook_dim .4. is a setting of 'rvq'"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        QuantizerConfig(**changes)


def test_more_axes_than_the_latents_have_are_refused():
    with pytest.raises(ValueError, match="12 axes; the latents have only 8"):
        build_quantizer(QuantizerConfig(kind="fsq"), 8)
