"""A linear readout in closed form, its penalty chosen on the validation side.

Features are standardised with what training trials show; the penalty is relative to the number of
trials, so that one grid serves all data. With fewer trials than features their products are solved
(the dual problem), else the normal equations; both in float64.

Shapes: n trials, F features, O outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class RidgeFit:
    """Collects training trials; :meth:`solve` gives weights for any number of penalties.

    Memory is that of the trials, or of (F, F) where they are more than features.
    """

    def __init__(self) -> None:
        self._x: list[Tensor] = []
        self._y: list[Tensor] = []
        self._n = 0
        self._sums: tuple[Tensor, ...] | None = None

    def add(self, x: Tensor, y: Tensor) -> None:
        """Take trials: features (n, F) and what the readout is to give (n, O)."""
        self._x.append(x.detach().double().cpu())
        self._y.append(y.detach().double().cpu())
        self._n += len(x)
        if self._sums is not None or self._n > x.shape[1]:
            self._add_up()

    def _add_up(self) -> None:
        x, y = torch.cat(self._x), torch.cat(self._y)
        self._x, self._y = [], []
        found = (x.T @ x, x.T @ y, x.sum(0), y.sum(0), y.square().sum(0))
        before = self._sums
        self._sums = found if before is None else tuple(map(torch.add, before, found))

    def solve(self, penalties: Sequence[float], n_inputs: int = 0) -> list[tuple[Tensor, Tensor]]:
        """Return weight (O, F) and bias (O,), float64, for each penalty.

        Minimises ``|Y - X W' - b|^2 + penalty n |S W'|^2`` with S the features' standard
        deviations; features that do not vary have weight zero. So have all but ``n_inputs``, those
        that explain most of the outputs by themselves; 0 keeps all.
        """
        if not self._n:
            raise ValueError("ridge has no training trial")
        if self._sums is None:
            return self._dual(penalties, n_inputs)
        gram, cross, sum_x, sum_y, squares_y = self._sums
        mean_x, mean_y = sum_x / self._n, sum_y / self._n
        variance = (gram.diagonal() / self._n - mean_x.square()).clamp_min(0)
        inverse = _inverse(variance.sqrt(), (gram.diagonal() / self._n).sqrt())
        cross = (cross / self._n - torch.outer(mean_x, mean_y)) * inverse[:, None]
        kept = best_inputs(cross, squares_y / self._n - mean_y.square(), n_inputs)
        gram, x, factor = gram[kept][:, kept] / self._n, mean_x[kept], inverse[kept]
        gram = (gram - torch.outer(x, x)) * torch.outer(factor, factor)
        values, vectors = torch.linalg.eigh(gram)
        projected = vectors.T @ cross[kept]
        values = values.clamp_min(0)
        weights = [vectors @ (projected / (values + p)[:, None]) for p in penalties]
        return [_unscaled(w, kept, inverse, mean_x, mean_y) for w in weights]

    def _dual(self, penalties: Sequence[float], n_inputs: int) -> list[tuple[Tensor, Tensor]]:
        x, y = torch.cat(self._x), torch.cat(self._y)
        mean_x, mean_y = x.mean(0), y.mean(0)
        inverse = _inverse(x.std(0, unbiased=False), x.square().mean(0).sqrt())
        x, y = (x - mean_x) * inverse, y - mean_y
        kept = best_inputs(x.T @ y / self._n, y.square().mean(0), n_inputs)
        x = x[:, kept]
        values, vectors = torch.linalg.eigh(x @ x.T / self._n)
        projected = vectors.T @ y
        values = values.clamp_min(0)
        weights = [
            x.T @ (vectors @ (projected / (values + p)[:, None])) / self._n for p in penalties
        ]
        return [_unscaled(w, kept, inverse, mean_x, mean_y) for w in weights]


def best_inputs(cross: Tensor, variance: Tensor, n_inputs: int) -> Tensor:
    """Return the places, rising, of the features that are used.

    Parameters
    ----------
    cross
        (F, O) covariance of standardised features with the outputs.
    variance
        (O,) of the outputs.
    n_inputs
        How many: those with the largest sum of squared correlations. 0: all.
    """
    if not 0 < n_inputs < len(cross):
        return torch.arange(len(cross))
    score = (cross.square() / variance.clamp_min(1e-30)).sum(1)
    # Stable, so that equal features are taken in their order on every machine.
    return score.argsort(descending=True, stable=True)[:n_inputs].sort().values


def _inverse(deviation: Tensor, size: Tensor) -> Tensor:
    """Return one over the standard deviation, 0 where it is nothing but rounding."""
    varies = deviation > 1e-7 * size
    return torch.where(varies, 1 / deviation.where(varies, torch.ones_like(deviation)), 0.0)


def _unscaled(
    weight: Tensor, kept: Tensor, inverse: Tensor, mean_x: Tensor, mean_y: Tensor
) -> tuple[Tensor, Tensor]:
    """Return weight (O, F) and bias for features as they are, from those of standardised ones."""
    whole = weight.new_zeros(len(inverse), weight.shape[1])
    whole[kept] = weight * inverse[kept, None]
    return whole.T, mean_y - whole.T @ mean_x


def mean_correlation(prediction: Tensor, target: Tensor) -> float:
    """Return the correlation of (n, O) with (n, O) per output, averaged over those that vary."""
    p, t = prediction - prediction.mean(0), target - target.mean(0)
    size = p.norm(dim=0) * t.norm(dim=0)
    varies = t.norm(dim=0) > 0
    if not varies.any():
        return 0.0
    r = torch.where(size > 0, (p * t).sum(0) / size.where(size > 0, torch.ones_like(size)), 0.0)
    return float(r[varies].mean())
