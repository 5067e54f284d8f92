"""Logits from code vectors: by hand, and that alike codes share what is learned."""

import torch

from brainfm.codebook_head import CodebookHead

Q, K, D, E = 2, 5, 6, 3


def made():
    torch.manual_seed(0)
    return CodebookHead(D, E, Q, K), torch.randn(Q + 1, K, E) * torch.tensor([1.0, 0.1, 1])[
        :, None, None
    ]


def test_logits_by_hand():
    head, codebooks = made()
    torch.nn.init.normal_(head.bias)
    x = torch.randn(2, 4, D)
    found = head(x, codebooks)
    assert found.shape == (2, 4, Q, K)
    y = x[1, 2] / (x[1, 2].square().mean() + 1e-6).sqrt()
    vectors = (head.vectors.weight @ y + head.vectors.bias).view(Q, E)
    for q in range(Q):
        length = codebooks[q].square().sum(-1).mean().sqrt()
        expected = codebooks[q] @ vectors[q] / length + head.bias[q]
        torch.testing.assert_close(found[1, 2, q], expected)


def test_the_size_of_a_level_does_not_matter():
    head, codebooks = made()
    x = torch.randn(7, D)
    torch.testing.assert_close(head(x, codebooks), head(x, 0.01 * codebooks))


def test_what_is_learned_of_a_code_helps_its_neighbour():
    """Two codes are nearly one: a step for the first raises the second, and no far one."""
    head, codebooks = made()
    codebooks[0, 1] = codebooks[0, 0] + 0.01
    codebooks[0, 2] = -codebooks[0, 0]
    x = torch.randn(1, D)
    before = head(x, codebooks)[0, 0].detach()
    loss = -head(x, codebooks)[0, 0].log_softmax(-1)[0]
    loss.backward()
    with torch.no_grad():
        head.vectors.weight -= 0.1 * head.vectors.weight.grad
    change = head(x, codebooks)[0, 0].detach() - before
    assert change[0] > 0 < change[1]
    assert change[2] < 0
