"""Vector quantization: gradients, averages in float32, codes that die and come back."""

import pytest
import torch
import torch.nn.functional as F

from brainfm.quantizers import QuantizerConfig, ResidualQuantizer


def quantizer(levels=2, size=8, width=6, seed=0, **changes):
    torch.manual_seed(seed)
    cfg = QuantizerConfig(n_quantizers=levels, codebook_size=size, **changes)
    made = ResidualQuantizer(cfg, width)
    made.initialise(F.normalize(torch.randn(400, width), dim=-1))
    return made


def latents(*shape, width=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, width, generator=generator), dim=-1)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_the_straight_through_gain_is_one(levels, training):
    model = quantizer(levels).train(training)
    z = latents(3, 40).requires_grad_()
    model(z).values.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


def test_values_are_the_sums_of_the_code_vectors():
    model = quantizer(3).eval()
    out = model(latents(2, 5, 7))
    assert out.values.shape == (2, 5, 7, 6)
    assert out.codes.shape == (2, 5, 7, 3)
    by_hand = sum(model.codebooks[q][out.codes[..., q]] for q in range(3))
    torch.testing.assert_close(out.values, by_hand)
    torch.testing.assert_close(model.decode(out.codes), by_hand)


def test_each_level_takes_the_nearest_code_of_what_is_left():
    model = quantizer(2).eval()
    z = latents(20)
    first = torch.cdist(z, model.codebooks[0]).argmin(-1)
    second = torch.cdist(z - model.codebooks[0][first], model.codebooks[1]).argmin(-1)
    assert torch.equal(model(z).codes, torch.stack([first, second], -1))


def test_more_levels_leave_less_error():
    z = latents(300)
    errors = [(quantizer(n, 16).eval()(z).values - z).norm() for n in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2]


def test_evaluation_changes_nothing_and_repeats():
    model = quantizer().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = model(latents(50)), model(latents(50))
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.codes, second.codes)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_codes_do_not_depend_on_the_batch():
    model = quantizer().eval()
    z = latents(64)
    one_by_one = torch.cat([model(row[None]).codes for row in z])
    assert torch.equal(model(z).codes, one_by_one)


def test_averages_stay_float32_and_move_under_bfloat16():
    """A step of 1 % is below half of bfloat16's last digit: there it would be lost."""
    model = quantizer(1, 2, dead_below=0.0).train()
    before = model.codebooks.clone()
    z = latents(200).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(z)
    assert out.values.dtype == torch.bfloat16
    state = {name: v for name, v in model.state_dict().items() if v.is_floating_point()}
    assert {v.dtype for v in state.values()} == {torch.float32}
    move = (model.codebooks - before).norm() / before.norm()
    assert 0 < move < 0.05


def test_a_step_moves_codes_by_the_decay():
    """One vector, one code: 400 earlier assignments decay to 99 %, the new one adds 1 %."""
    model = quantizer(1, 2, dead_below=0.0).train()
    codebook = model.rvq.layers[0]._codebook
    codebook.cluster_size.copy_(torch.tensor([[100.0, 300.0]]))
    codebook.embed.copy_(torch.tensor([[[1.0, 0, 0, 0, 0, 0], [-1.0, 0, 0, 0, 0, 0]]]))
    codebook.embed_avg.copy_(codebook.embed * codebook.cluster_size[..., None])
    model(torch.tensor([[2.0, 0, 0, 0, 0, 0]]))
    assert codebook.cluster_size[0, 0].item() == pytest.approx(0.99 * 100 + 0.01)
    expected = (0.99 * 100 + 0.01 * 2) / (0.99 * 100 + 0.01)
    assert codebook.embed[0, 0, 0].item() == pytest.approx(expected, rel=1e-4)


def clusters(n, steps, seed=0):
    """Batches of latents around ``n`` fixed directions."""
    generator = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(n, 6, generator=generator), dim=-1)
    for _ in range(steps):
        which = torch.randint(n, (128,), generator=generator)
        noise = 0.02 * torch.randn(128, 6, generator=generator)
        yield F.normalize(centres[which] + noise, dim=-1)


@pytest.mark.parametrize(("dead_below", "fewest", "most"), [(0.1, 15, 16), (0.0, 1, 10)])
def test_codes_that_nobody_chooses_are_revived(dead_below, fewest, most):
    """Twelve of sixteen codes start far from everything; averages over ten steps soon tell."""
    model = quantizer(1, 16, dead_below=dead_below, decay=0.9).train()
    codebook = model.rvq.layers[0]._codebook
    codebook.embed[0, 4:] = 100.0
    codebook.embed_avg.copy_(codebook.embed * codebook.cluster_size[..., None])
    for z in clusters(16, 200):
        model(z)
    model.eval()
    used = torch.cat([model(z).codes for z in clusters(16, 10)]).unique()
    assert fewest <= len(used) <= most


def test_codebooks_are_set_from_data_once():
    torch.manual_seed(0)
    model = ResidualQuantizer(QuantizerConfig(n_quantizers=2, codebook_size=8), 6)
    assert not model.initialised
    model.initialise(latents(100))
    assert model.initialised
    assert model.codebooks.any(-1).all()
    assert model.training


@pytest.mark.parametrize("levels", [1, 3])
def test_narrow_codes_have_a_projection_at_every_level(levels):
    model = quantizer(levels, codebook_dim=2)
    assert model.codebooks.shape == (levels, 8, 6)
    z = latents(50).requires_grad_()
    out = model.train()(z)
    (out.values.square().sum() + out.commitment).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert len(list(model.parameters())) == 4 * levels
    model.eval()
    out = model(z)
    torch.testing.assert_close(model.decode(out.codes), out.values)
    assert not model.codebooks.requires_grad


def test_no_projection_where_codes_are_as_wide_as_latents():
    assert list(quantizer(codebook_dim=6).parameters()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_quantizers": 0}, "n_quantizers must be at least 1, got 0"),
        ({"codebook_size": 1}, "codebook_size"),
        ({"codebook_size": 65537}, "codebook_size"),
        ({"decay": 1.0}, "decay"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        QuantizerConfig(**changes)
