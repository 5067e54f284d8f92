"""Pictures that are drawn, not taken: shapes and textures in random colours, sizes and places.

They cost nothing, belong to nobody, and there is always a kind that a network was not trained on.

Shapes: N pictures, H height, W width, K kinds.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Field = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Signed distance from an outline, positive inside, at places (N, H, W) of shapes of sizes."""


def _star(u: Tensor, v: Tensor, r: Tensor) -> Tensor:
    edge = r * (0.65 + 0.35 * torch.cos(5 * torch.atan2(v, u)))
    return edge - torch.hypot(u, v)


def _box(u: Tensor, v: Tensor, half_u: Tensor, half_v: Tensor) -> Tensor:
    return torch.minimum(half_u - u.abs(), half_v - v.abs())


KINDS: dict[str, Field] = {
    "disc": lambda u, v, r: r - torch.hypot(u, v),
    "ring": lambda u, v, r: 0.3 * r - (torch.hypot(u, v) - 0.8 * r).abs(),
    "square": lambda u, v, r: 0.85 * r - torch.maximum(u.abs(), v.abs()),
    "triangle": lambda u, v, r: 0.55 * r - torch.maximum(u.abs() * 0.866 + v * 0.5, -v),
    "stripes": lambda u, v, r: 0.3 * r * torch.sin(4 * u / r),
    "checks": lambda u, v, r: 0.3 * r * torch.sin(3 * u / r) * torch.sin(3 * v / r),
    "halves": lambda u, v, r: u,
    "cross": lambda u, v, r: torch.maximum(_box(u, v, r, 0.3 * r), _box(u, v, 0.3 * r, r)),
    "star": _star,
    "corner": lambda u, v, r: torch.maximum(
        _box(u, v + 0.6 * r, 0.9 * r, 0.3 * r), _box(u + 0.6 * r, v, 0.3 * r, 0.9 * r)
    ),
}
"""All kinds by name."""
UNSEEN = ("cross", "star", "corner")
"""Kinds that the bundled networks (:mod:`~brainfm.small_image_networks`) were not trained on."""
SEEN = tuple(name for name in KINDS if name not in UNSEEN)


def draw_pictures(
    n: int, *, kinds: Sequence[str] = SEEN, pixels: int = 64, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return pictures (N, 3, H, W) in [0, 1] and the place (N,) in ``kinds`` of each one's kind.

    Colours, size, place, direction and the cloudy background are random.

    Raises
    ------
    ValueError
        A kind that there is not; no pictures or pixels.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise ValueError(f"kinds must be among {', '.join(KINDS)}, got {unknown or 'none'}")
    if n < 1 or pixels < 8:
        raise ValueError(f"draw 1 or more pictures of 8 or more pixels, got {n} of {pixels}")

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    kind = torch.randint(len(kinds), (n,), generator=generator)
    angle, size = uniform(0, 6.2832, 1, 1), uniform(0.3, 0.6, 1, 1)
    at = torch.linspace(-1, 1, pixels)
    y, x = torch.meshgrid(at, at, indexing="ij")
    y, x = y - uniform(-0.3, 0.3, 1, 1), x - uniform(-0.3, 0.3, 1, 1)
    u = x * torch.cos(angle) + y * torch.sin(angle)
    v = y * torch.cos(angle) - x * torch.sin(angle)
    inside = torch.empty(n, pixels, pixels)
    for number, name in enumerate(kinds):
        these = kind == number
        inside[these] = KINDS[name](u[these], v[these], size[these])
    # An edge of about a pixel, as a lens would make it.
    cover = torch.sigmoid(inside * pixels * 1.5)[:, None]
    coarse = torch.randn(n, 1, 4, 4, generator=generator)
    clouds = F.interpolate(coarse, (pixels, pixels), mode="bicubic", align_corners=False)
    ground = uniform(0, 1, 3, 1, 1) + 0.12 * clouds
    light = 1 + 0.15 * (x * uniform(-1, 1, 1, 1) + y * uniform(-1, 1, 1, 1))[:, None]
    colour = uniform(0, 1, 3, 1, 1)
    return (light * (cover * colour + (1 - cover) * ground)).clamp(0, 1), kind
