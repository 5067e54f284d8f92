"""Where a picture may be looked for: latents of a generator, or pixels.

Shapes: N points, one picture each, H height, W width.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ImageSpace(ABC):
    """Points that stand for pictures.

    Attributes
    ----------
    shape
        Of one point.
    low, high
        Least and largest value of a point's coordinates.
    """

    shape: tuple[int, ...]
    low: float
    high: float

    @abstractmethod
    def images(self, points: Tensor) -> Tensor:
        """Return pictures (N, 3, H, W) in [0, 1] of points (N, ...); gradients pass."""

    @abstractmethod
    def middle(self, n: int) -> Tensor:
        """Return the point (N, ...) to start from when nothing is known, N times."""

    @abstractmethod
    def drawn(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random points (N, ...): what the space holds without any brain."""

    @property
    def networks(self) -> Sequence[nn.Module]:
        """Return the networks that make pictures of points."""
        return ()


class LatentSpace(ImageSpace):
    """Latents of a generator, standard normal, at most ``clip`` standard deviations from 0.

    Parameters
    ----------
    generator
        From latents (N, ...) to pictures: a tensor, or an object with one in ``sample`` (the
        autoencoders of diffusers).
    shape
        Of one latent.
    method
        Name of the generator's method that does it ("decode" in diffusers).
    values
        Least and largest value of its pictures; what lies outside is clipped.
    clip
        Standard deviations.
    scale
        Latents are divided by it before the generator gets them (``scaling_factor`` in diffusers).
    """

    def __init__(
        self,
        generator: nn.Module,
        shape: tuple[int, ...],
        *,
        method: str = "forward",
        values: tuple[float, float] = (0.0, 1.0),
        clip: float = 3.0,
        scale: float = 1.0,
    ) -> None:
        if clip <= 0 or scale <= 0 or values[0] >= values[1] or not shape:
            raise ValueError(
                "clip and scale must be positive, values increase, shape not be empty; got "
                f"{clip}, {scale}, {values}, {shape}"
            )
        if not callable(getattr(generator, method, None)):
            raise ValueError(f"{type(generator).__name__} has no method {method!r}")
        self.generator, self.method, self.values, self.scale = generator, method, values, scale
        self.shape, self.low, self.high = shape, -clip, clip

    def images(self, points: Tensor) -> Tensor:
        """Return pictures; see :class:`ImageSpace`."""
        # Through the call of the module where it is its forward, so that hooks run.
        call = self.generator if self.method == "forward" else getattr(self.generator, self.method)
        made = call(points / self.scale)
        pictures: Tensor = made if isinstance(made, Tensor) else made.sample
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise ValueError(
                f"{type(self.generator).__name__} gives {tuple(pictures.shape)}, no pictures "
                "(N, 3, H, W)"
            )
        low, high = self.values
        return ((pictures - low) / (high - low)).clamp(0, 1)

    def middle(self, n: int) -> Tensor:
        """Return latents of 0."""
        return torch.zeros(n, *self.shape)

    def drawn(self, n: int, generator: torch.Generator) -> Tensor:
        """Return standard normal latents, clipped."""
        return torch.randn(n, *self.shape, generator=generator).clamp(self.low, self.high)

    @property
    def networks(self) -> Sequence[nn.Module]:
        """Return the generator."""
        return (self.generator,)


class PixelSpace(ImageSpace):
    """All pictures of one size, from the mean of some pictures.

    Parameters
    ----------
    pictures
        (M, 3, H, W) in [0, 1], of the training side: their mean is the start, and each of them what
        is drawn without a brain.
    """

    low, high = 0.0, 1.0

    def __init__(self, pictures: Tensor) -> None:
        if pictures.ndim != 4 or pictures.shape[1] != 3 or not len(pictures):
            raise ValueError(f"pictures must be (M, 3, H, W), got {tuple(pictures.shape)}")
        self.pictures = pictures.detach().cpu().float()
        self.shape = tuple(pictures.shape[1:])

    def images(self, points: Tensor) -> Tensor:
        """Return the points themselves."""
        return points.clamp(0, 1)

    def middle(self, n: int) -> Tensor:
        """Return the mean picture."""
        return self.pictures.mean(0).expand(n, *self.shape).clone()

    def drawn(self, n: int, generator: torch.Generator) -> Tensor:
        """Return pictures of the training side at random."""
        return self.pictures[torch.randint(len(self.pictures), (n,), generator=generator)]


@contextmanager
def evaluation(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Put networks in evaluation mode for the time."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
