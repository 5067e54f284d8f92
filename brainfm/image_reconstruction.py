"""Deep image reconstruction: the picture whose features are those that were decoded.

Shen et al. 2019 (doi:10.1371/journal.pcbi.1006633): minimise over a point z of a space G

    sum over layers l of w_l ||phi_l(G(z)) - y_l||^2 / ||y_l||^2

with phi_l the features of a network in layer l and y_l what a decoder made of brain activity.

Shapes: N pictures, R starts, H height, W width, D features of a layer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from brainfm.image_spaces import ImageSpace, evaluation
from brainfm.network_features import ImageInput, check_layers, layer_outputs
from brainfm.sensors import FloatArray


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """How the picture is looked for.

    Parameters
    ----------
    method
        ``momentum``: gradient descent with momentum, the gradient of each picture divided by its
        mean magnitude, the rate falling linearly to a hundredth; ``lbfgs``: L-BFGS within bounds.
    iterations
        Steps.
    rate
        Of the first step, as a share of the space's range.
    momentum
        In [0, 1).
    restarts
        Starts of each picture, the first from the middle of the space, others drawn; the one that
        comes nearest counts.
    weights
        w_l by layer; layers that are not named have 1. They are divided by their sum.
    batch
        Points at once, for ``momentum``.
    every
        Iterations between two calls of ``watch``.
    """

    method: Literal["momentum", "lbfgs"] = "momentum"
    iterations: int = 200
    rate: float = 0.02
    momentum: float = 0.9
    restarts: int = 1
    weights: Mapping[str, float] = field(default_factory=dict)
    batch: int = 16
    every: int = 50

    def __post_init__(self) -> None:
        if self.method not in ("momentum", "lbfgs"):
            raise ValueError(f"method must be momentum or lbfgs, got {self.method!r}")
        for name in ("iterations", "restarts", "batch", "every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (0 < self.rate <= 1 and 0 <= self.momentum < 1):
            raise ValueError(
                "rate must lie in (0, 1] and momentum in [0, 1), got "
                f"{self.rate} and {self.momentum}"
            )
        if any(not 0 <= w < float("inf") for w in self.weights.values()):
            raise ValueError(f"weights must be numbers from 0, got {dict(self.weights)}")


class Reconstruction(NamedTuple):
    """``images`` (N, 3, H, W) in [0, 1], ``points`` (N, ...) of the space, ``loss`` (N,)."""

    images: Tensor
    points: Tensor
    loss: Tensor


class Step(NamedTuple):
    """Where it stands: pictures ``first`` to ``first`` + N, ``start`` (from 0), ``iteration``."""

    first: int
    start: int
    iteration: int
    loss: Tensor
    images: Tensor


Watch = Callable[[Step], None]


def reconstruct(
    features: Mapping[str, Tensor],
    network: nn.Module,
    space: ImageSpace,
    config: ReconstructionConfig | None = None,
    *,
    given: ImageInput | None = None,
    generator: torch.Generator | None = None,
    watch: Watch | None = None,
) -> Reconstruction:
    """Find pictures by features, on the device of the network; results are on the CPU.

    Parameters
    ----------
    features
        By layer, (N, D) as :func:`~brainfm.network_features.image_features` gives them.
    network
        What the features are of.
    space
        Where pictures are looked for, on the same device.
    config
        How.
    given
        How the network wants pictures.
    generator
        Draws further starts, on the CPU; the same ones without.
    watch
        Called at the first iteration, every so many, and at the last if so many are needed.

    Raises
    ------
    ValueError
        Unknown layers, features of other sizes, none that are not zero, values that are not finite.
    """
    cfg, generator = config or ReconstructionConfig(), generator or torch.Generator().manual_seed(0)
    distance = _Distance(features, network, space, given or ImageInput(), cfg)
    best: Reconstruction | None = None
    descend = _momentum if cfg.method == "momentum" else _lbfgs
    at_once = cfg.batch if cfg.method == "momentum" else 1
    with evaluation([network, *space.networks]):
        for start in range(cfg.restarts):
            n = distance.n
            begin = space.drawn(n, generator) if start else space.middle(n)
            points = [
                descend(distance, begin[k : k + at_once], k, start, cfg, watch)
                for k in range(0, n, at_once)
            ]
            found = distance.finished(torch.cat(points), cfg.batch)
            best = found if best is None else _nearer(best, found)
    assert best is not None
    return best


class _Distance:
    """How far pictures are from the wanted features."""

    def __init__(
        self,
        features: Mapping[str, Tensor],
        network: nn.Module,
        space: ImageSpace,
        given: ImageInput,
        cfg: ReconstructionConfig,
    ) -> None:
        check_layers(network, list(features))
        unknown = sorted(set(cfg.weights) - set(features))
        weights = {name: cfg.weights.get(name, 1.0) for name in features}
        if unknown or not sum(weights.values()):
            raise ValueError(
                f"weights must be of layers {', '.join(features)}, one above 0; got "
                f"{dict(cfg.weights)}"
            )
        first = next(network.parameters(), torch.zeros(()))
        self.device, self.network, self.space, self.given = first.device, network, space, given
        self.weights = {name: w / sum(weights.values()) for name, w in weights.items() if w}
        self.n = len(next(iter(features.values())))
        with torch.no_grad(), evaluation([network, *space.networks]):
            sizes = {name: v.shape[1] for name, v in self.of(space.middle(1)).items()}
        self.wanted: dict[str, Tensor] = {}
        for name, size in sizes.items():
            value = features[name]
            if value.shape != (self.n, size):
                raise ValueError(
                    f"features of layer {name} must be ({self.n}, {size}), got {tuple(value.shape)}"
                )
            power = value.double().square().sum(1)
            if not (torch.isfinite(power).all() and (power > 0).all()):
                raise ValueError(f"features of layer {name} are not finite, or all zero, somewhere")
            self.wanted[name] = value.detach().float().to(self.device)

    def of(self, points: Tensor) -> dict[str, Tensor]:
        """Return features (N, D) by layer."""
        images = self.space.images(points.to(self.device))
        found = layer_outputs(self.network, self.given.prepared(images), list(self.weights))
        return {name: value.flatten(1) for name, value in found.items()}

    def loss(self, points: Tensor, first: int) -> Tensor:
        """Return the loss (N,) of points for the pictures from ``first`` on."""
        total = torch.zeros(len(points), device=self.device)
        for name, value in self.of(points).items():
            wanted = self.wanted[name][first : first + len(points)]
            share = (value.float() - wanted).square().sum(1) / wanted.square().sum(1)
            total = total + self.weights[name] * share
        return total

    def finished(self, points: Tensor, batch: int) -> Reconstruction:
        images, losses = [], []
        with torch.no_grad():
            for first in range(0, len(points), batch):
                some = points[first : first + batch]
                images.append(self.space.images(some.to(self.device)).float().cpu())
                losses.append(self.loss(some, first).cpu())
        return Reconstruction(torch.cat(images), points, torch.cat(losses))


def _momentum(
    distance: _Distance,
    begin: Tensor,
    first: int,
    start: int,
    cfg: ReconstructionConfig,
    watch: Watch | None,
) -> Tensor:
    space = distance.space
    point = begin.to(distance.device)
    velocity = torch.zeros_like(point)
    for iteration in range(cfg.iterations):
        point = point.detach().requires_grad_()
        loss = distance.loss(point, first)
        _tell(watch, space, point, loss, first, start, iteration, cfg)
        (slope,) = torch.autograd.grad(loss.sum(), point)
        slope = slope / slope.abs().mean(tuple(range(1, point.ndim)), keepdim=True).clamp_min(1e-30)
        rate = cfg.rate * (space.high - space.low) * (1 - 0.99 * iteration / cfg.iterations)
        velocity = cfg.momentum * velocity - (1 - cfg.momentum) * rate * slope
        point = (point.detach() + velocity).clamp(space.low, space.high)
    return point.cpu()


def _lbfgs(
    distance: _Distance,
    begin: Tensor,
    first: int,
    start: int,
    cfg: ReconstructionConfig,
    watch: Watch | None,
) -> Tensor:
    from scipy.optimize import minimize

    space, iteration = distance.space, 0

    def at(flat: FloatArray) -> Tensor:
        return torch.from_numpy(np.asarray(flat)).float().reshape(begin.shape).to(distance.device)

    def slope_at(flat: FloatArray) -> tuple[float, FloatArray]:
        point = at(flat).requires_grad_()
        loss = distance.loss(point, first)
        (slope,) = torch.autograd.grad(loss.sum(), point)
        return float(loss.detach().sum()), slope.flatten().double().cpu().numpy()

    def told(flat: FloatArray) -> None:
        nonlocal iteration
        if watch is not None:
            with torch.no_grad():
                loss = distance.loss(at(flat), first)
            _tell(watch, space, at(flat), loss, first, start, iteration, cfg)
        iteration += 1

    flat = begin.flatten().double().numpy()
    found = minimize(
        slope_at,
        flat,
        jac=True,
        method="L-BFGS-B",
        bounds=[(space.low, space.high)] * len(flat),
        callback=told,
        options={"maxiter": cfg.iterations, "maxfun": 2 * cfg.iterations, "ftol": 1e-9},
    )
    return at(found.x).cpu()


def _tell(
    watch: Watch | None,
    space: ImageSpace,
    point: Tensor,
    loss: Tensor,
    first: int,
    start: int,
    iteration: int,
    cfg: ReconstructionConfig,
) -> None:
    if watch is None or (iteration % cfg.every and iteration != cfg.iterations - 1):
        return
    with torch.no_grad():
        images = space.images(point).float().cpu()
    watch(Step(first, start, iteration, loss.detach().cpu(), images))


def _nearer(one: Reconstruction, other: Reconstruction) -> Reconstruction:
    better = other.loss < one.loss
    return Reconstruction(
        *(
            torch.where(better.reshape(-1, *[1] * (a.ndim - 1)), b, a)
            for a, b in zip(one, other, strict=True)
        )
    )
