"""Ridge with a penalty per band of inputs and target (Nunez-Elizalde et al. 2019).

Bands are feature spaces that explain different parts of a response: shape and sound, layers of a
network, delays. A small penalty on one band and a large one on another is the same as ridge on
columns scaled by the root of the band's share, so candidates of shares are tried for all targets at
once and every target keeps its best.

Shapes: N trials, P inputs, Q targets, A bands, M candidates.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from brainfm.ridge import RidgeConfig, RidgeFit, checked, choice_errors, fit_ridge


class BandedFit(NamedTuple):
    """``ridge`` for the inputs as they were given; ``shares`` (A, Q) of each band, sum one."""

    ridge: RidgeFit
    shares: Tensor


def draw_shares(n_bands: int, n_candidates: int, *, generator: torch.Generator) -> Tensor:
    """Draw shares (M, A): equal, each band nearly alone, then points of the simplex at random."""
    even = torch.full((1, n_bands), 1 / n_bands, dtype=torch.float64)
    alone = torch.eye(n_bands, dtype=torch.float64)
    parts = -torch.rand(n_candidates, n_bands, generator=generator, dtype=torch.float64).log()
    drawn = parts / parts.sum(1, keepdim=True)
    return torch.cat([even, alone, drawn])[: max(n_candidates, 1 + n_bands)]


def fit_banded_ridge(
    x: Tensor,
    y: Tensor,
    bands: Tensor,
    config: RidgeConfig | None = None,
    *,
    generator: torch.Generator,
    n_candidates: int = 30,
    folds: Tensor | None = None,
) -> BandedFit:
    """Fit all targets, each with the best candidate of shares and penalty.

    Parameters
    ----------
    x, y
        (N, P) and (N, Q).
    bands
        (P,) number of each input's band.
    config
        Penalties and how they are chosen; the shares are chosen in the same way.
    generator
        Draws candidates, on the CPU.
    n_candidates
        M, at least one more than bands.
    folds
        As in :func:`~brainfm.ridge.fit_ridge`.

    Raises
    ------
    ValueError
        ``bands`` does not number the inputs.
    """
    cfg = config or RidgeConfig()
    x, y = checked(x, y)
    if bands.shape != (x.shape[1],):
        raise ValueError(f"bands must number {x.shape[1]} inputs, got {tuple(bands.shape)}")
    place = bands.unique(return_inverse=True)[1].to(x.device)
    n_bands = int(place.max()) + 1
    # Bands of many or of loud inputs would otherwise weigh more at equal shares.
    power = torch.zeros(n_bands, dtype=x.dtype, device=x.device)
    power = power.index_add(0, place, (x - x.mean(0)).square().sum(0))
    scale = (power.mean() / power.clamp_min(torch.finfo(x.dtype).tiny))[place]
    shares = draw_shares(n_bands, n_candidates, generator=generator).to(x.device)

    columns = [(scale * row[place]).sqrt() for row in shares]
    errors = torch.stack([choice_errors(x * c, y, cfg, folds).amin(0) for c in columns])
    best = errors.argmin(0)

    weights = x.new_zeros(x.shape[1], y.shape[1])
    penalty = x.new_zeros(y.shape[1])
    for candidate in best.unique().tolist():
        mine = best == candidate
        fit = fit_ridge(x * columns[candidate], y[:, mine], cfg, folds=folds)
        weights[:, mine] = columns[candidate][:, None] * fit.weights
        penalty[mine] = fit.penalty
    intercept = y.mean(0) - x.mean(0) @ weights
    ridge = RidgeFit(weights, intercept, penalty, errors.amin(0))
    return BandedFit(ridge, shares[best].T)
