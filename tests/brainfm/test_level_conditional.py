"""Level after level: what each level sees, and that a chain of predictions is consistent."""

import pytest
import torch

from brainfm.level_conditional import LevelConditionalHead, pick_codes

D, E, Q, K = 12, 6, 3, 5


@pytest.fixture
def head():
    torch.manual_seed(0)
    return LevelConditionalHead(D, E, Q, K)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 7, D, generator=generator)
    codes = torch.randint(K, (4, 7, Q), generator=generator)
    return x, codes, torch.randn(Q, K, E, generator=generator)


def test_a_level_sees_the_levels_below_and_no_other(head, inputs):
    x, codes, codebooks = inputs
    logits = head(x, codes, codebooks)
    assert logits.shape == (4, 7, Q, K)
    for changed in range(Q):
        other = codes.clone()
        other[..., changed] = (other[..., changed] + 1) % K
        differs = (head(x, other, codebooks) != logits).any(-1)
        assert not differs[..., : changed + 1].any()
        assert differs[..., changed + 1 :].all()


def test_a_token_sees_no_other_token(head, inputs):
    x, codes, codebooks = inputs
    other = codes.clone()
    other[0, 0] = (other[0, 0] + 1) % K
    differs = (head(x, other, codebooks) != head(x, codes, codebooks)).flatten(2).any(-1)
    assert differs.nonzero().tolist() == [[0, 0]]


def test_the_size_of_the_code_vectors_does_not_matter(head, inputs):
    x, codes, codebooks = inputs
    expected = head(x, codes, codebooks)
    torch.testing.assert_close(head(x, codes, 1e3 * codebooks), expected, atol=1e-3, rtol=1e-3)


def test_greedy_prediction_is_the_best_code_given_its_own_choices(head, inputs):
    x, _, codebooks = inputs
    found = head.predict(x, codebooks)
    assert found.shape == (4, 7, Q)
    assert torch.equal(head(x, found, codebooks).argmax(-1), found)


def test_sampling_draws_by_the_chain_of_probabilities(head, inputs):
    """One token 20,000 times: shares of pairs of the first two levels, standard error < .0036."""
    x, _, codebooks = inputs
    many = x[0, :1].expand(20000, -1)
    found = head.predict(many, codebooks, generator=torch.Generator().manual_seed(0))
    share = torch.bincount(found[:, 0] * K + found[:, 1], minlength=K * K) / 20000
    pairs = torch.cartesian_prod(torch.arange(K), torch.arange(K), torch.zeros(1).long())
    p = head(x[0, :1].expand(len(pairs), -1), pairs, codebooks).softmax(-1)
    expected = p[:, 0].gather(1, pairs[:, :1]) * p[:, 1].gather(1, pairs[:, 1:2])
    assert (share - expected[:, 0]).abs().max() < 0.015


def test_picking_keeps_leading_axes():
    logits = torch.randn(2, 3, 4, K, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pick_codes(logits, None), logits.argmax(-1))
    certain = torch.where(logits == logits.amax(-1, keepdim=True), 0.0, -torch.inf)
    assert torch.equal(pick_codes(certain, torch.Generator()), logits.argmax(-1))
