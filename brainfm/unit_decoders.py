"""Linear decoders of the units of a network, each from its own best inputs (Shen et al. 2019).

Every unit is decoded from the inputs (voxels, latents) whose correlation with it is largest on the
training trials, by ridge with a penalty of its own chosen by generalised cross-validation.

What makes 10^5 units feasible: the Gram matrix of all inputs is computed once and each unit's is
cut out of it; the errors of all penalties come from a few products with it, in a batch, instead of
a decomposition per unit (:mod:`brainfm.krylov_quadrature`); and one Cholesky solve per unit, in a
batch too, gives the weights.

Shapes: N trials, P inputs, Q units, K inputs of a unit, L penalties.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from brainfm.krylov_quadrature import lanczos, quadratic_forms
from brainfm.ridge import RidgeConfig, fit_ridge


@dataclass(frozen=True, kw_only=True)
class UnitDecoderConfig:
    """How units are decoded.

    Parameters
    ----------
    inputs
        K best-correlated inputs of each unit; all, if there are no more.
    penalties
        Candidates, in units of the number of trials times the variance of an input.
    errors
        How the errors of the penalties are found. "quadrature": traces from ``probes`` random
        vectors, some percent off; "exact": from eigenvalues, about five times slower.
    probes
        Random vectors of the quadrature.
    steps
        Of the quadrature.
    block
        Units at once. Small blocks stay in the processor's cache; a GPU wants some hundred.
    """

    inputs: int = 500
    penalties: tuple[float, ...] = tuple(10.0 ** (k / 2) for k in range(-4, 7))
    errors: Literal["quadrature", "exact"] = "quadrature"
    probes: int = 7
    steps: int = 40
    block: int = 16

    def __post_init__(self) -> None:
        if self.errors not in ("quadrature", "exact"):
            raise ValueError(f"errors must be quadrature or exact, got {self.errors!r}")
        if not self.penalties or not all(0 < value < float("inf") for value in self.penalties):
            raise ValueError(f"penalties must be positive numbers, got {self.penalties}")
        for name in ("inputs", "probes", "steps", "block"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class UnitDecoders(NamedTuple):
    """Decoders of Q units.

    ``chosen`` (Q, K) inputs, sorted, ``weights`` (Q, K), ``intercept`` (Q,), ``penalty`` (Q,),
    ``mean`` (Q,) of the units in training and ``spread``, the mean over training trials of the
    standard deviation over units about it; ``n_inputs`` P.
    """

    chosen: Tensor
    weights: Tensor
    intercept: Tensor
    penalty: Tensor
    mean: Tensor
    spread: float
    n_inputs: int

    def predict(self, x: Tensor, *, block: int = 4096) -> Tensor:
        """Return decoded units (N, Q) of inputs (N, P)."""
        if x.ndim != 2 or x.shape[1] != self.n_inputs:
            raise ValueError(f"inputs must be (N, {self.n_inputs}), got {tuple(x.shape)}")
        x, parts = x.to(self.weights.dtype), []
        for chosen, weights in zip(
            self.chosen.split(block), self.weights.split(block), strict=True
        ):
            dense = weights.new_zeros(len(chosen), self.n_inputs).scatter_(1, chosen, weights)
            parts.append(x @ dense.T)
        return torch.cat(parts, 1) + self.intercept

    def with_deviation(self, decoded: Tensor) -> Tensor:
        """Return decoded units (N, Q) as far from the training mean as real ones are.

        Regression shrinks; each trial's difference from the mean is scaled so that its standard
        deviation over the units is ``spread``. Fit a layer (or channel) at a time for that.
        """
        apart = decoded - self.mean
        size = apart.std(dim=1, keepdim=True, correction=0)
        return self.mean + apart * (self.spread / size.clamp_min(torch.finfo(size.dtype).tiny))


def fit_unit_decoders(
    x: Tensor,
    y: Tensor,
    config: UnitDecoderConfig | None = None,
    *,
    generator: torch.Generator | None = None,
) -> UnitDecoders:
    """Fit the decoders of all units.

    Parameters
    ----------
    x, y
        Inputs (N, P) and units (N, Q) of the training trials, on one device, float32 or float64;
        computed in that precision.
    config
        How.
    generator
        Draws the probes, on the CPU; the same ones without.

    Raises
    ------
    ValueError
        Shapes do not fit; a value is not finite; no unit varies or no input does.
    """
    cfg = config or UnitDecoderConfig()
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 3:
        raise ValueError(
            "inputs and units must be tables with the same 3 or more trials, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    x_mean, x_size = x.mean(0), x.std(0, correction=0)
    y_mean = y.mean(0)
    if not (torch.isfinite(x_size).all() and torch.isfinite(y_mean).all()):
        raise ValueError("inputs or units hold values that are not finite")
    varies = x_size > 1e-6 * x_size.max()
    if not varies.any():
        raise ValueError("no input varies over the trials: there is nothing to decode from")
    scale = torch.where(varies, 1 / x_size, 0.0)
    z, apart = (x - x_mean) * scale, y - y_mean
    k = min(cfg.inputs, x.shape[1])
    if k == x.shape[1]:
        chosen, weights, penalty = _of_all(z, apart, cfg, share=float(varies.double().mean()))
    else:
        chosen, weights, penalty = _of_best(z, apart, k, cfg, generator)
    weights = weights * scale[chosen]
    intercept = y_mean - (weights * x_mean[chosen]).sum(1)
    spread = float(apart.std(dim=1, correction=0).mean())
    return UnitDecoders(chosen, weights, intercept, penalty, y_mean, spread, x.shape[1])


def _of_all(
    z: Tensor, y: Tensor, cfg: UnitDecoderConfig, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    # Constant inputs lower the mean square that fit_ridge counts penalties in.
    ridge = RidgeConfig(penalties=tuple(value / share for value in cfg.penalties))
    fit = fit_ridge(z, y, ridge)
    chosen = torch.arange(z.shape[1], device=z.device).expand(y.shape[1], -1)
    return chosen, fit.weights.T.to(z.dtype), fit.penalty.to(z.dtype) * share


def _of_best(
    z: Tensor, y: Tensor, k: int, cfg: UnitDecoderConfig, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    n, n_units = y.shape
    generator = generator or torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (cfg.probes, k), generator=generator) * 2.0 - 1.0
    signs = signs.to(z)
    gram = (z.T @ z) / n
    candidates = torch.tensor(cfg.penalties, dtype=z.dtype, device=z.device)
    chosen = torch.empty(n_units, k, dtype=torch.int64, device=z.device)
    weights, penalty = z.new_empty(n_units, k), z.new_empty(n_units)
    many = max(cfg.block, 1024)
    for first in range(0, n_units, many):
        # Inputs have variance one: covariances are in the order of correlations.
        covariance = (y[:, first : first + many].T @ z) / n
        best = covariance.abs().topk(k, dim=1, sorted=False).indices.sort(dim=1).values
        power = y[:, first : first + many].square().mean(0)
        chosen[first : first + many] = best
        for start in range(0, len(best), cfg.block):
            here = slice(start, start + cfg.block)
            of_units = slice(first + start, first + start + len(best[here]))
            weights[of_units], penalty[of_units] = _solved(
                _cut(gram, best[here]),
                covariance[here].gather(1, best[here]),
                power[here],
                _Choice(candidates, n, signs, cfg),
            )
    return chosen, weights, penalty


class _Choice(NamedTuple):
    penalties: Tensor
    n: int
    signs: Tensor
    cfg: UnitDecoderConfig


def _cut(gram: Tensor, chosen: Tensor) -> Tensor:
    """Return the Gram matrix of each unit's inputs, (B, K, K)."""
    return gram[chosen[:, :, None], chosen[:, None, :]]


def _solved(gram: Tensor, target: Tensor, power: Tensor, choice: _Choice) -> tuple[Tensor, Tensor]:
    """Return weights (B, K) and penalty (B,) of units with covariances (B, K), all over N."""
    forms = _exact if choice.cfg.errors == "exact" else _quadrature
    once, twice, trace = forms(gram, target, choice)
    left = power - once - choice.penalties[:, None] * twice
    fitted = gram.shape[-1] - choice.penalties[:, None] * trace
    freedom = choice.n - 1 - fitted
    error = torch.where(freedom > 1e-3 * choice.n, left.clamp_min(0) / freedom.square(), torch.inf)
    penalty = choice.penalties[error.argmin(0)]
    # The block is this call's own: no copy is needed.
    gram.diagonal(dim1=1, dim2=2).add_(penalty[:, None])
    factor = torch.linalg.cholesky(gram)
    return torch.cholesky_solve(target[..., None], factor)[..., 0], penalty


def _quadrature(gram: Tensor, target: Tensor, choice: _Choice) -> tuple[Tensor, Tensor, Tensor]:
    start = torch.cat([target[:, None], choice.signs.expand(len(gram), -1, -1)], 1)
    on, off = lanczos(gram, start, choice.cfg.steps)
    shifts = choice.penalties[:, None].expand(-1, len(gram))
    forms = quadratic_forms(on, off, start.double().square().sum(-1), shifts)
    return forms.once[..., 0], forms.twice[..., 0], forms.once[..., 1:].mean(-1)


def _exact(gram: Tensor, target: Tensor, choice: _Choice) -> tuple[Tensor, Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(gram)
    along = torch.bmm(target[:, None], vectors)[:, 0].double().square()
    inverse = 1 / (values.double().clamp_min(0) + choice.penalties[:, None, None])
    return (along * inverse).sum(-1), (along * inverse.square()).sum(-1), inverse.sum(-1)
