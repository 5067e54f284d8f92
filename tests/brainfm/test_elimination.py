"""Elimination gives what LAPACK gives, in any batch, with any number of right-hand sides."""

import pytest
import torch

from brainfm.elimination import eliminate, solve_definite


def system(n, batch=(3,), columns=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*batch, n, n + 4, generator=generator)
    a = x @ x.mT + torch.eye(n)
    return a, torch.randn(*batch, n, columns, generator=generator)


@pytest.mark.parametrize("n", [1, 2, 16, 40])
@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
def test_the_solution_solves(n, batch):
    a, b = system(n, batch)
    exact = torch.linalg.solve(a.double(), b.double())
    error = (eliminate(a, b) - exact).abs().max()
    assert error <= 1e-5 * exact.abs().max()
    assert error <= 8 * (torch.linalg.solve(a, b) - exact).abs().max() + 1e-6


def test_eager_results_are_those_of_lapack_to_the_bit():
    a, b = system(16)
    assert torch.equal(solve_definite(a, b), torch.linalg.solve(a, b))


def test_a_traced_function_calls_no_lapack():
    class Solve(torch.nn.Module):
        def forward(self, a, b):
            return solve_definite(a, b)

    traced = torch.export.export(Solve(), system(4), strict=False)
    assert "linalg" not in traced.graph_module.code
    a, b = system(4, seed=1)
    assert torch.allclose(traced.module()(a, b), torch.linalg.solve(a, b), atol=1e-5)
