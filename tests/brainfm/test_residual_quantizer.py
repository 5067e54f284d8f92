"""Residual levels, averages in float32, codes that die and come back to stay."""

import pytest
import torch
import torch.nn.functional as F

from brainfm import residual_quantizer
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


def test_each_level_takes_the_nearest_code_of_what_is_left():
    model = quantizer(2).eval()
    z = latents(20)
    first = torch.cdist(z, model.codebooks[0]).argmin(-1)
    second = torch.cdist(z - model.codebooks[0][first], model.codebooks[1]).argmin(-1)
    out = model(z)
    assert torch.equal(out.codes, torch.stack([first, second], -1))
    left = z - model.codebooks[0][first]
    expected = left.square().mean() + (left - model.codebooks[1][second]).square().mean()
    torch.testing.assert_close(out.commitment, expected)


@pytest.mark.parametrize("levels", [1, 3])
def test_narrow_codes_have_a_projection_at_every_level(levels):
    model = quantizer(levels, codebook_dim=2)
    assert model.codebooks.shape == (levels, 8, 6)
    assert len(list(model.parameters())) == 4 * levels


def test_no_projection_where_codes_are_as_wide_as_latents():
    assert list(quantizer(codebook_dim=6).parameters()) == []


def test_averages_move_under_bfloat16():
    """A step of 1 % is below half of bfloat16's last digit: there it would be lost."""
    model = quantizer(1, 2, dead_below=0.0).train()
    before = model.codebooks.clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(latents(200).bfloat16())
    state = [value for value in model.state_dict().values() if value.is_floating_point()]
    assert {value.dtype for value in state} == {torch.float32}
    move = (model.codebooks - before).norm() / before.norm()
    assert 0 < move < 0.05


def test_a_step_moves_codes_by_the_decay():
    """One vector, one code: 100 earlier assignments decay to 99 %, the new one adds 1 %."""
    model = quantizer(1, 2, dead_below=0.0).train()
    codebook = model.rvq.layers[0]._codebook
    codebook.cluster_size.copy_(torch.tensor([[100.0, 300.0]]))
    codebook.embed.copy_(torch.tensor([[[1.0, 0, 0, 0, 0, 0], [-1.0, 0, 0, 0, 0, 0]]]))
    codebook.embed_avg.copy_(codebook.embed * codebook.cluster_size[..., None])
    model(torch.tensor([[2.0, 0, 0, 0, 0, 0]]))
    assert codebook.cluster_size[0, 0].item() == pytest.approx(0.99 * 100 + 0.01)
    expected = (0.99 * 100 + 0.01 * 2) / (0.99 * 100 + 0.01)
    assert codebook.embed[0, 0, 0].item() == pytest.approx(expected, rel=1e-4)


def clusters(n, sizes, seed=0):
    """Batches of latents around ``n`` fixed directions."""
    generator = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(n, 6, generator=generator), dim=-1)
    for size in sizes:
        which = torch.randint(n, (size,), generator=generator)
        noise = 0.02 * torch.randn(size, 6, generator=generator)
        yield F.normalize(centres[which] + noise, dim=-1)


@pytest.fixture
def revivals(monkeypatch):
    """Count the codes that are replaced."""
    counts = []
    draw = residual_quantizer.draw

    def counting(x, n, n_ranks):
        counts.append(n)
        return draw(x, n, n_ranks)

    monkeypatch.setattr(residual_quantizer, "draw", counting)
    return counts


def kill(model, first):
    """Move all codes from ``first`` on far away from everything."""
    codebook = model.rvq.layers[0]._codebook
    codebook.embed[0, first:] = 100.0
    codebook.embed_avg.copy_(codebook.embed * codebook.cluster_size[..., None])


@pytest.mark.parametrize(("dead_below", "fewest", "most"), [(0.1, 15, 16), (0.0, 1, 10)])
def test_codes_that_nobody_chooses_are_revived(dead_below, fewest, most):
    """Twelve of sixteen codes start far from everything; averages over ten steps soon tell."""
    model = quantizer(1, 16, dead_below=dead_below, decay=0.9).train()
    kill(model, 4)
    for z in clusters(16, [128] * 200):
        model(z)
    model.eval()
    used = torch.cat([model(z).codes for z in clusters(16, [128] * 10)]).unique()
    assert fewest <= len(used) <= most


def test_revived_codes_stay_alive(revivals):
    """Each of the clusters gets its code; from then on there is nothing left to revive."""
    model = quantizer(1, 16, decay=0.9).train()
    kill(model, 4)
    batches = list(clusters(12, [256] * 300))
    for z in batches[:200]:
        model(z)
    assert sum(revivals) >= 12
    shares = []
    for z in batches[200:]:
        shares.append(torch.bincount(model(z).codes[:, 0], minlength=16))
    usage = torch.stack(shares).sum(0) / (100 * 256)
    assert (usage > 0.1 / 16).sum() >= 12


def test_a_large_batch_after_small_ones_kills_nothing(revivals):
    """A batch of 2048 vectors holds 64 times what the averages of batches of 32 do."""
    model = quantizer(1, 8, decay=0.9)
    model.initialise(torch.cat(list(clusters(8, [512] * 4))))
    for z in clusters(8, [4096] * 20):  # until each cluster has a code
        model.train()(z)
    used = [len(model.eval()(z).codes.unique()) for z in clusters(8, [256])]
    revivals.clear()
    model.train()
    for z in clusters(8, [256] * 30 + [8192, 256] * 10):
        model(z)
    assert revivals == []
    assert [len(model.eval()(z).codes.unique()) for z in clusters(8, [256])] == used


def test_fewer_vectors_than_dead_codes_revive_some_of_them():
    model = quantizer(1, 16, decay=0.5).train()
    kill(model, 2)
    z = latents(3)
    for _ in range(16):
        model(z)
    assert model.codebooks.isfinite().all()
    assert (model.codebooks.norm(dim=-1) < 2).sum() >= 3 + 2


def test_revived_codes_are_chosen_in_many_dimensions():
    """Without clusters too, where a vector is no neighbour of any other."""
    torch.manual_seed(0)
    model = ResidualQuantizer(QuantizerConfig(n_quantizers=1, codebook_size=64), 64).train()
    model.initialise(torch.randn(4096, 64))
    codebook = model.rvq.layers[0]._codebook
    for state in (codebook.embed, codebook.embed_avg):
        state[0, 32:] = 100.0 * codebook.cluster_size[0].mean()
    codebook.cluster_size[0, 32:] = 0.0
    for _ in range(60):
        model(torch.randn(2048, 64))
    counts = torch.bincount(model.eval()(torch.randn(8192, 64)).codes.flatten(), minlength=64)
    assert (counts > 0).sum() >= 60
