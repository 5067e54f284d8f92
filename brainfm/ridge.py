"""Ridge regression in closed form, every target with a penalty of its own (Hoerl, Kennard 1970).

One decomposition of the inputs serves all targets and penalties: with X = U S V' (centred),
weights are V S (S^2 + penalty)^-1 U'y, and the error of every penalty is a weighted sum of squares
of U'y. Targets come in blocks, never one at a time.

Shapes: N trials, P inputs, Q targets, R rank, L penalties.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

PENALTIES = tuple(10.0 ** (k / 2) for k in range(-6, 9))
RANK_TOLERANCE = 1e-10
"""Share of the largest eigenvalue below which a direction counts as absent."""


@dataclass(frozen=True, kw_only=True)
class RidgeConfig:
    """How the penalty of each target is chosen.

    Parameters
    ----------
    penalties
        Candidates, in units of the mean sum of squares of a centred input: the same numbers serve
        any scale of the inputs and any number of trials.
    choose
        "gcv": the least generalised cross-validation error (Golub, Heath, Wahba 1979); "folds":
        the least squared error of trials left out.
    folds
        Number of folds, consecutive trials each, where none are given.
    block
        Targets at once; bounds the memory.
    """

    penalties: tuple[float, ...] = PENALTIES
    choose: Literal["gcv", "folds"] = "gcv"
    folds: int = 5
    block: int = 8192

    def __post_init__(self) -> None:
        if not self.penalties or not all(0 < value < float("inf") for value in self.penalties):
            raise ValueError(f"penalties must be positive numbers, got {self.penalties}")
        if self.choose not in ("gcv", "folds"):
            raise ValueError(f"choose must be gcv or folds, got {self.choose!r}")
        for name in ("folds", "block"):
            least = 2 if name == "folds" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


class RidgeFit(NamedTuple):
    """``weights`` (P, Q), ``intercept`` (Q,), ``penalty`` (Q,) chosen, ``error`` (Q,) of it.

    The error is an estimate of the mean squared error of new trials.
    """

    weights: Tensor
    intercept: Tensor
    penalty: Tensor
    error: Tensor

    def predict(self, x: Tensor) -> Tensor:
        """Return predictions (N, Q) of inputs (N, P)."""
        return x.to(self.weights.dtype) @ self.weights + self.intercept


class NormalEquations(NamedTuple):
    """All that ridge needs to know of trials; those of parts of the data add up.

    ``n`` trials, sums ``x`` (P,) and ``y`` (Q,), products ``xx`` (P, P), ``xy`` (P, Q) and ``yy``
    (Q,), in float64.
    """

    n: int
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> "NormalEquations":
        """Return those of inputs (N, P) and targets (N, Q)."""
        x, y = checked(x, y)
        return cls(len(x), x.sum(0), y.sum(0), x.T @ x, x.T @ y, y.square().sum(0))

    def joined(self, other: "NormalEquations") -> "NormalEquations":
        """Return those of both sets of trials."""
        return NormalEquations(
            self.n + other.n,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
        )


class Spectrum(NamedTuple):
    """Centred inputs and targets along the principal directions of the inputs.

    ``basis`` (P, R) directions V, ``squares`` (R,) singular values squared, ``z`` (R, Q) = U'y,
    ``rest`` (Q,) squares of the targets that no direction reaches, ``unit`` the penalty called 1.
    """

    n: int
    basis: Tensor
    squares: Tensor
    z: Tensor
    rest: Tensor
    unit: float

    def weights(self, penalties: Tensor) -> Tensor:
        """Return weights (P, Q) for a penalty per target (Q,), not in units."""
        root = self.squares.sqrt()[:, None]
        return self.basis @ (root / (self.squares[:, None] + penalties) * self.z)

    def gcv(self, penalties: Tensor) -> Tensor:
        """Return the generalised cross-validation error (L, Q) of penalties (L,), not in units."""
        shrunk = penalties[:, None] / (self.squares + penalties[:, None])
        freedom = self.n - 1 - (1 - shrunk).sum(1, keepdim=True)
        left = self.rest + shrunk.square() @ self.z.square()
        # Without freedom left every error is fitted away and nothing is known of new trials.
        return torch.where(freedom > 1e-6 * self.n, self.n * left / freedom.square(), torch.inf)


def checked(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return inputs (N, P) and targets (N, Q) in float64.

    Raises
    ------
    ValueError
        They are no two tables with the same trials, three or more; a value is not finite.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 3:
        raise ValueError(
            "inputs and targets must be tables with the same 3 or more trials, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    x, y = x.to(torch.float64), y.to(torch.float64)
    for name, values in (("inputs", x), ("targets", y)):
        if not torch.isfinite(values).all():
            bad = int((~torch.isfinite(values)).any(dim=1).nonzero()[0, 0])
            raise ValueError(f"{name} hold a value that is not finite, first in trial {bad}")
    return x, y


def spectrum(x: Tensor, y: Tensor) -> Spectrum:
    """Decompose centred inputs (N, P), by the smaller of their two Gram matrices."""
    n, p = x.shape
    unit = float(x.square().sum()) / p or 1.0
    if n < p:
        squares, u = _kept(x @ x.T)
        basis, z = (x.T @ u) / squares.sqrt(), u.T @ y
    else:
        squares, basis = _kept(x.T @ x)
        z = basis.T @ (x.T @ y) / squares.sqrt()[:, None]
    rest = (y.square().sum(0) - z.square().sum(0)).clamp_min(0)
    return Spectrum(n, basis, squares, z, rest, unit)


def _kept(gram: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(gram)
    keep = values > RANK_TOLERANCE * values[-1].clamp_min(torch.finfo(values.dtype).tiny)
    return values[keep], vectors[:, keep]


def fit_ridge(
    x: Tensor, y: Tensor, config: RidgeConfig | None = None, *, folds: Tensor | None = None
) -> RidgeFit:
    """Fit all targets.

    Parameters
    ----------
    x, y
        (N, P) and (N, Q), on one device; computed in float64.
    config
        The penalties.
    folds
        (N,) number of each trial's fold (its run, session or stimulus), for ``choose="folds"``.

    Raises
    ------
    ValueError
        Shapes or values that cannot be used; fewer than two folds.
    """
    cfg = config or RidgeConfig()
    x, y = checked(x, y)
    x_mean, y_mean = x.mean(0), y.mean(0)
    errors = choice_errors(x, y, cfg, folds)
    best = errors.argmin(0)
    ours = spectrum(x - x_mean, y - y_mean)
    chosen = torch.tensor(cfg.penalties, dtype=x.dtype, device=x.device)[best]
    return _finished(ours, x_mean, y_mean, chosen, errors.amin(0), cfg.block)


def fit_normal_equations(total: NormalEquations, config: RidgeConfig | None = None) -> RidgeFit:
    """Fit all targets from sums over trials, the penalties by generalised cross-validation.

    Raises
    ------
    ValueError
        ``choose`` is not "gcv" (folds need the trials); fewer than three trials.
    """
    cfg = config or RidgeConfig()
    if cfg.choose != "gcv" or total.n < 3:
        raise ValueError(
            f"normal equations of {total.n} trials allow choose='gcv' from 3 trials on, "
            f"got {cfg.choose!r}"
        )
    n, x_mean, y_mean = total.n, total.x / total.n, total.y / total.n
    gram = total.xx - n * torch.outer(x_mean, x_mean)
    squares, basis = _kept(gram)
    z = basis.T @ (total.xy - n * torch.outer(x_mean, y_mean)) / squares.sqrt()[:, None]
    power = total.yy - n * y_mean.square()
    unit = float(gram.diagonal().mean()) or 1.0
    ours = Spectrum(n, basis, squares, z, (power - z.square().sum(0)).clamp_min(0), unit)
    penalties = torch.tensor(cfg.penalties, dtype=gram.dtype, device=gram.device)
    errors = ours.gcv(penalties * unit)
    return _finished(ours, x_mean, y_mean, penalties[errors.argmin(0)], errors.amin(0), cfg.block)


def choice_errors(x: Tensor, y: Tensor, cfg: RidgeConfig, folds: Tensor | None = None) -> Tensor:
    """Return the error (L, Q) by which a penalty is chosen; inputs and targets need no centring."""
    penalties = torch.tensor(cfg.penalties, dtype=x.dtype, device=x.device)
    if cfg.choose == "gcv":
        ours = spectrum(x - x.mean(0), y - y.mean(0))
        return ours.gcv(penalties * ours.unit)
    errors = x.new_zeros(len(penalties), y.shape[1])
    for out in _sides(x, cfg, folds):
        x_mean, y_mean = x[~out].mean(0), y[~out].mean(0)
        ours = spectrum(x[~out] - x_mean, y[~out] - y_mean)
        seen = (x[out] - x_mean) @ ours.basis
        root = ours.squares.sqrt()
        for row, penalty in enumerate(penalties * ours.unit):
            predicted = (seen * (root / (ours.squares + penalty))) @ ours.z
            errors[row] += (y[out] - y_mean - predicted).square().sum(0)
    return errors / len(x)


def _sides(x: Tensor, cfg: RidgeConfig, folds: Tensor | None) -> Iterator[Tensor]:
    """Yield which trials (N,) are left out, fold after fold."""
    if folds is None:
        folds = torch.arange(len(x), device=x.device) * cfg.folds // len(x)
    if folds.shape != (len(x),) or len(folds.unique()) < 2:
        raise ValueError(
            f"folds must number {len(x)} trials and be two or more, got {tuple(folds.shape)} with "
            f"{len(folds.unique())}"
        )
    for fold in folds.unique():
        yield (folds == fold).to(x.device)


def _finished(
    ours: Spectrum, x_mean: Tensor, y_mean: Tensor, chosen: Tensor, error: Tensor, block: int
) -> RidgeFit:
    weights = ours.basis.new_empty(len(x_mean), len(y_mean))
    for start in range(0, len(y_mean), block):
        part = slice(start, start + block)
        here = ours._replace(z=ours.z[:, part])
        weights[:, part] = here.weights(chosen[part] * ours.unit)
    return RidgeFit(weights, y_mean - x_mean @ weights, chosen, error)
