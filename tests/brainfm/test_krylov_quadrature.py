"""Quadratic forms and traces agree with dense algebra."""

import torch

from brainfm.krylov_quadrature import lanczos, quadratic_forms


def matrices(b=3, k=20, seed=0):
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(b, k, 2 * k, generator=g, dtype=torch.float64)
    return a @ a.mT / (2 * k), torch.randn(b, 2, k, generator=g, dtype=torch.float64)


def test_as_many_steps_as_rows_are_exact():
    gram, start = matrices()
    shifts = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)[:, None].expand(-1, 3)
    on, off = lanczos(gram, start, 20)
    forms = quadratic_forms(on, off, start.square().sum(-1), shifts)
    for row, shift in enumerate(shifts[:, 0]):
        inverse = torch.linalg.inv(gram + shift * torch.eye(20, dtype=torch.float64))
        once = torch.einsum("bvk,bkl,bvl->bv", start, inverse, start)
        twice = torch.einsum("bvk,bkl,bvl->bv", start, inverse @ inverse, start)
        torch.testing.assert_close(forms.once[row], once, rtol=1e-6, atol=0)
        torch.testing.assert_close(forms.twice[row], twice, rtol=1e-6, atol=0)


def test_a_few_steps_come_close_and_more_than_needed_do_no_harm():
    gram, start = matrices(k=60)
    shifts = torch.full((1, 3), 0.3, dtype=torch.float64)
    power = start.square().sum(-1)
    right = torch.linalg.solve(gram + 0.3 * torch.eye(60, dtype=torch.float64), start.mT)
    right = (right.mT * start).sum(-1)
    for steps, tolerance in ((12, 1e-2), (100, 1e-5)):
        on, off = lanczos(gram.float(), start.float(), steps)
        once = quadratic_forms(on, off, power, shifts).once[0]
        torch.testing.assert_close(once, right, rtol=tolerance, atol=0)


def test_the_trace_of_a_diagonal_matrix_needs_one_probe_of_signs():
    diagonal = torch.tensor([[0.5, 1.0, 2.0, 4.0]], dtype=torch.float64)
    signs = torch.tensor([[[1.0, -1.0, -1.0, 1.0]]], dtype=torch.float64)
    on, off = lanczos(torch.diag_embed(diagonal), signs, 4)
    forms = quadratic_forms(on, off, torch.full((1, 1), 4.0), torch.ones(1, 1))
    torch.testing.assert_close(forms.once[0, 0, 0], (1 / (diagonal + 1)).sum())


def test_zero_vectors_and_low_rank_give_what_they_are():
    gram = torch.ones(1, 4, 4, dtype=torch.float64)
    start = torch.stack([torch.zeros(4), torch.ones(4)])[None].double()
    on, off = lanczos(gram, start, 6)
    forms = quadratic_forms(on, off, start.square().sum(-1), torch.full((1, 1), 2.0))
    # Along (1,1,1,1) the matrix is 4: 4 / (4 + 2).
    torch.testing.assert_close(forms.once[0, 0], torch.tensor([0.0, 4 / 6]).double())
