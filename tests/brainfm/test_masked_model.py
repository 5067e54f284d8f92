"""The masked model: what it sees, what it must not see, what it keeps."""

from dataclasses import replace
from importlib import resources

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch._dynamo.testing import CompileCounter

from brainfm.criss_cross import CrissCrossBlock
from brainfm.layer_mixture import LayerMixture
from brainfm.masked_model import MaskedBrainModel, MaskedModelConfig
from brainfm.rotary import rotary_table

CFG = MaskedModelConfig(width=24, n_heads=4, depth=3)
Q, K, E, N = 2, 8, 16, 3


def model(seed=0, **changes):
    torch.manual_seed(seed)
    made = MaskedBrainModel(replace(CFG, **changes), torch.randn(Q, K, E), torch.randn(N, E))
    return made.eval()


def codes(n_batch=2, n_frames=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(K, (n_batch, N, n_frames, Q), generator=generator)


def hidden(seed=0, n_batch=2, n_frames=10):
    return torch.rand(n_batch, N, n_frames, generator=torch.Generator().manual_seed(seed)) < 0.5


@pytest.mark.parametrize("rotary", ["per_head", "ladder", "cosine_only"])
def test_shapes(rotary):
    m = model(rotary=rotary)
    assert m(codes()).shape == (2, N, 10, Q, K)
    assert m.features(codes()).shape == (2, N, 10, 24)


def test_hidden_codes_have_no_influence():
    m, where = model(), hidden()
    one, other = codes(), codes(seed=1)
    other = torch.where(where[..., None], other, one)
    assert not torch.equal(one, other)
    assert torch.equal(m(one, where), m(other, where))
    assert not torch.allclose(m(one), m(other))


def test_the_wanted_tokens_alone_give_the_same_logits():
    m, where = model(), hidden()
    at = where.flatten().nonzero().squeeze(1)
    torch.testing.assert_close(m(codes(), where, at=at), m(codes(), where)[where])


def test_conditional_prediction_sees_the_token_s_own_lower_levels_alone():
    m, where = model(prediction="conditional"), hidden()
    truth = codes(seed=1)
    logits = m(codes(), where, truth=truth)
    assert logits.shape == (2, N, 10, Q, K)
    at = where.flatten().nonzero().squeeze(1)
    wanted = m(codes(), where, at=at, truth=truth.flatten(0, 2)[at])
    torch.testing.assert_close(wanted, logits[where])
    other = truth.clone()
    other[0, 0, 0] = (other[0, 0, 0] + 1) % K
    differs = (m(codes(), where, truth=other) != logits).any(-1)
    assert differs.nonzero().tolist() == [[0, 0, 0, 1]]
    with pytest.raises(ValueError, match="needs the true codes"):
        m(codes(), where)


@pytest.mark.parametrize("prediction", ["parallel", "conditional"])
def test_predicted_codes(prediction):
    m, where = model(prediction=prediction), hidden()
    found = m.predict(codes(), where)
    assert found.shape == (2, N, 10, Q)
    assert torch.equal(m(codes(), where, truth=found).argmax(-1), found)
    at = torch.tensor([3, 0])
    assert torch.equal(m.predict(codes(), where, at=at), found.flatten(0, 2)[at])
    drawn = m.predict(codes(), where, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == found.shape
    assert not torch.equal(drawn, found)


def test_every_token_sees_every_other():
    """Time and sources cross: after two blocks nothing is out of reach."""
    m = model()
    with torch.no_grad():
        for p in m.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    one, other = codes(1), codes(1)
    other[0, 0, 0, 0] = (other[0, 0, 0, 0] + 1) % K
    change = (m(one) - m(other)).abs().amax((3, 4))
    assert (change > 0).all()


def test_the_rest_of_the_batch_does_not_matter():
    m, batch = model(), codes(5)
    for b in range(5):
        torch.testing.assert_close(m(batch[b : b + 1]), m(batch)[b : b + 1], atol=1e-5, rtol=1e-5)


def test_sources_are_known_by_their_vectors_not_their_place():
    m, order = model(), torch.tensor([2, 0, 1])
    expected = m(codes())[:, order]
    m.sources.copy_(m.sources[order])
    torch.testing.assert_close(m(codes()[:, order]), expected, atol=1e-5, rtol=1e-5)


def test_code_vectors_are_summed_over_levels():
    m = model()
    expected = m.codebooks[0][codes()[..., 0]] + m.codebooks[1][codes()[..., 1]]
    torch.testing.assert_close(m.embed_codes(codes()), expected)
    torch.testing.assert_close(m.embed_codes(codes().to(torch.uint16)), expected)


def test_tokens_are_the_quantized_latents(tiny_model):
    """The tokenizer's sum of code vectors and the masked model's are the same, projected or not."""
    for code_dim in (None, 4):
        brain = tiny_model(code_dim=code_dim)
        z = F.normalize(torch.randn(2, 3, 12, 16), dim=-1)
        out = brain.tokenizer.quantizer(z)
        torch.testing.assert_close(brain.masked_model.embed_codes(out.codes), out.values)


def test_features_are_the_normalised_states():
    m = model()
    start = m.embed(m.embed_codes(codes()))
    states = [start]
    rotary = rotary_table(10, 2, 6, "per_head")
    for block in m.blocks:
        states.append(block(states[-1], rotary))
    for layer in (0, 1, 3, -1, -2, -4):
        expected = states[layer] / states[layer].norm(dim=-1, keepdim=True)
        torch.testing.assert_close(m.features(codes(), layer), expected)
    assert torch.equal(m.features(codes()), m.features(codes(), 2))
    mixture = LayerMixture(4)
    torch.testing.assert_close(m.features(codes(), mixture), mixture(states))
    torch.testing.assert_close(m.features(codes(), "mixture"), mixture(states))
    for layer in (4, -5):
        with pytest.raises(ValueError, match=r"layer must lie in \[-4, 3\] for 3 blocks"):
            m.features(codes(), layer)
    with pytest.raises(ValueError, match="'mixture' or a LayerMixture, got 'last'"):
        m.features(codes(), "last")


def test_halves_swap_places_as_published():
    """With weights of zero, time attention adds its bias 1 and source attention its bias 2."""
    for swap, expected in ((False, [1.0, 2.0]), (True, [2.0, 1.0])):
        block = CrissCrossBlock(24, 4, dropout=0.0, swap=swap)
        for p in block.parameters():
            torch.nn.init.zeros_(p)
        torch.nn.init.constant_(block.time.out.bias, 1.0)
        torch.nn.init.constant_(block.source.out.bias, 2.0)
        y = block(torch.zeros(1, N, 4, 24), rotary_table(4, 2, 6, "per_head"))
        assert y[0, 0, 0, [0, -1]].tolist() == expected


def test_a_longer_context_keeps_what_does_not_depend_on_it():
    """Positions are relative: a sequence looks the same wherever it begins."""
    m = model(depth=1)
    first = m.blocks[0].time(torch.randn(1, 5, 12), rotary_table(5, 2, 6, "per_head"))
    torch.manual_seed(1)
    x = torch.randn(1, 5, 12)
    cos, sin = rotary_table(25, 2, 6, "per_head")
    early = m.blocks[0].time(x, (cos[:5], sin[:5]))
    late = m.blocks[0].time(x, (cos[20:], sin[20:]))
    torch.testing.assert_close(early, late, atol=1e-5, rtol=1e-5)
    assert first.shape == x.shape


def test_evaluation_is_deterministic_whatever_the_dropout():
    m = model(dropout=0.5)
    assert torch.equal(m(codes()), m(codes()))
    m.train()
    assert not torch.equal(m(codes()), m(codes()))


@pytest.mark.parametrize("prediction", ["parallel", "conditional"])
@pytest.mark.parametrize("width", [24, E])
def test_every_parameter_gets_a_gradient(width, prediction):
    m = model(width=width, n_heads=4, prediction=prediction).train()
    logits = m(codes(), hidden(), truth=codes())
    F.cross_entropy(logits.flatten(0, 3), codes().flatten()).backward()
    without = [n for n, p in m.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert not m.codebooks.requires_grad


def test_activation_checkpointing_changes_no_gradient():
    gradients = []
    for on in (False, True):
        m = model().train()
        m.activation_checkpointing = on
        m(codes(), hidden()).square().sum().backward()
        gradients.append([p.grad for p in m.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_the_published_architecture_has_its_accidents():
    cfg = MaskedModelConfig(architecture="brainomni")
    assert (cfg.rotary_kind, cfg.swaps_halves) == ("ladder", True)
    assert (MaskedModelConfig().rotary_kind, MaskedModelConfig().swaps_halves) == (
        "per_head",
        False,
    )
    exported = MaskedModelConfig(architecture="brainomni", rotary="cosine_only")
    assert exported.rotary_kind == "cosine_only"
    named = model(architecture="brainomni")
    assert isinstance(named.head, torch.nn.Linear)
    x = torch.randn(2, N, 10, named.codebooks.shape[2])
    by_hand = named.project(x + named.sources[:, None])  # sizes as they are
    assert torch.equal(named.embed(x), by_hand)
    assert not torch.equal(named(codes()), model()(codes()))


def test_sums_over_blocks_are_not_short_under_autocast():
    """The products are bf16; what is added up over the blocks has the weights' precision."""
    m = model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = list(m.layers(m.embed(m.embed_codes(codes()))))
        assert m.blocks[0].mlp(states[0]).dtype == torch.bfloat16
    assert {x.dtype for x in states} == {torch.float32}
    whole = m.to(torch.bfloat16)
    assert {x.dtype for x in whole.layers(whole.embed(whole.embed_codes(codes())))} == {
        torch.bfloat16
    }


def test_one_compilation_serves_all_blocks_and_renames_nothing():
    """More blocks than compilations that torch would try before it gives up."""
    m, plain = model(depth=12).train(), model(depth=12).train()
    counter = CompileCounter()
    m.compile_blocks(counter)
    assert list(m.state_dict()) == list(plain.state_dict())
    assert torch.equal(m(codes(), hidden()), plain(codes(), hidden()))
    assert counter.frame_count == 1


def test_codebooks_belong_to_the_tokenizer():
    assert not {"codebooks", "sources"} & set(model().state_dict())


def test_the_head_may_predict_the_first_levels_only():
    m = model(predicted_levels=1)
    assert m(codes()).shape == (2, N, 10, 1, K)
    assert m.head.bias.shape == (1, K)
    with pytest.raises(ValueError, match="predicted_levels is 3, the tokenizer has 2"):
        model(predicted_levels=3)


def test_published_sizes():
    """Tiny has 13,475,042 parameters with the tokenizer's 5,050,338 (brainomni.md, section 2)."""
    cfg = MaskedModelConfig(architecture="brainomni", width=256, n_heads=8, depth=12)
    m = MaskedBrainModel(cfg, torch.zeros(4, 512, 256), torch.zeros(16, 256))
    assert sum(p.numel() for p in m.parameters()) == 13_475_042 - 5_050_338


@pytest.mark.parametrize(
    ("preset", "millions"), [("nano", 0.66), ("tiny", 8.2), ("base", 32.3), ("large", 296.3)]
)
def test_sizes_of_the_presets(preset, millions):
    text = (resources.files("brainfm.configs") / f"pretrain_{preset}.yaml").read_text()
    cfg = MaskedModelConfig(**yaml.safe_load(text)["model"]["model"])
    with torch.device("meta"):
        m = MaskedBrainModel(cfg, torch.zeros(4, 512, 256), torch.zeros(16, 256))
    count = sum(p.numel() for p in m.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_heads": 3}, "n_heads"),
        ({"width": 36}, "n_heads=8, width=36"),
        ({"dropout": 1.0}, "dropout"),
        ({"predicted_levels": 0}, "predicted_levels"),
        ({"depth": 0}, "depth"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MaskedModelConfig(**changes)
