"""Rotary tables: frequencies by hand, relative positions, and the variant that lost its sine."""

import pytest
import torch

from brainfm.rotary import rotary_table, rotate


def angles(kind, n_heads=2, head_dim=4):
    """Angle of position 1, (heads, pairs)."""
    _, sin = rotary_table(2, n_heads, head_dim, kind)
    return sin[1].asin()


def test_every_head_has_all_frequencies_or_one_ladder_spans_them():
    per_head = torch.tensor([[1.0, 0.01], [1.0, 0.01]])  # 10000 ** -(0, 1/2)
    ladder = torch.tensor([[1.0, 0.1], [0.01, 0.001]])  # 10000 ** -(0, 1/4, 1/2, 3/4)
    torch.testing.assert_close(angles("per_head"), per_head, rtol=1e-3, atol=0)
    torch.testing.assert_close(angles("ladder"), ladder, rtol=1e-3, atol=0)


@pytest.mark.parametrize("kind", ["per_head", "ladder"])
def test_products_depend_on_relative_position_alone(kind):
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 3, 8).expand(2, 1, 40, 3, 8)
    cos, sin = rotary_table(40, 3, 8, kind)
    scores = torch.einsum("bmhd,bnhd->hmn", rotate(q, cos, sin), rotate(k, cos, sin))
    for shift in (0, 1, 7, -5):
        diagonal = scores.diagonal(shift, 1, 2)
        torch.testing.assert_close(diagonal, diagonal[:, :1].expand_as(diagonal))
    assert (scores[:, 0, 0] - scores[:, 0, 5]).abs().min() > 1e-3


def test_rotation_keeps_lengths_and_position_zero():
    x = torch.randn(2, 5, 3, 8)
    y = rotate(x, *rotary_table(5, 3, 8, "per_head"))
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(y[:, 0], x[:, 0])


def test_pairs_are_neighbours():
    cos, sin = torch.zeros(1, 1, 2), torch.ones(1, 1, 2)  # a quarter turn
    y = rotate(torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]]), cos, sin)
    assert y.flatten().tolist() == [-2.0, 1.0, -4.0, 3.0]


def test_cosine_only_scales_both_of_a_pair():
    x = torch.randn(1, 6, 2, 4)
    cos, sin = rotary_table(6, 2, 4, "cosine_only")
    true_cos, _ = rotary_table(6, 2, 4, "ladder")
    assert not sin.any()
    torch.testing.assert_close(rotate(x, cos, sin), x * true_cos.repeat_interleave(2, dim=-1))


def test_tables_are_float32_and_precise_far_out():
    cos, sin = rotary_table(5000, 1, 2, "per_head")
    assert cos.dtype == sin.dtype == torch.float32
    exact = torch.arange(5000).double().cos()
    assert (cos[:, 0, 0].double() - exact).abs().max() < 1e-7


def test_an_odd_head_is_refused():
    with pytest.raises(ValueError, match="even head size, got 3"):
        rotary_table(4, 2, 3, "ladder")
