"""How like the images that were seen decoded images are, as MindEye2 measures it (2403.11207).

Per-image measures (pixel correlation, structural similarity, distance of features) have no fixed
level of chance, because images of one set resemble each other; it is taken from images paired with
others. Identification and retrieval among n have one, and ties count as chance would have it.

Shapes: N images, H height, W width, D features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from brainfm.decoding_metrics import Metric
from brainfm.retrieval_metrics import Retrieval, RetrievalConfig, retrieval_metrics
from brainfm.sensors import FloatArray

GREY = (0.2125, 0.7154, 0.0721)
"""Luminance of red, green and blue (ITU-R 709)."""


@dataclass(frozen=True, kw_only=True)
class ImageMetricsConfig:
    """How images are compared.

    Parameters
    ----------
    pixels
        Height and width that all images are brought to before pixels are compared.
    sigma
        Of the Gaussian window of structural similarity, in pixels of that size.
    ways
        n of n-way identification; those above the number of images are left out and all images
        are always one.
    gallery_size, draws
        Retrieval among so many images, drawn so often; fewer images: among all, once.
    shuffles
        Pairings with other images that chance is the mean of.
    """

    pixels: int = 425
    sigma: float = 1.5
    ways: tuple[int, ...] = (2, 10, 50)
    gallery_size: int = 300
    draws: int = 30
    shuffles: int = 10

    def __post_init__(self) -> None:
        if self.pixels < 11 or not 0 < self.sigma < self.pixels / 8:
            raise ValueError(
                "pixels must be at least 11 and sigma in (0, pixels / 8), got "
                f"{self.pixels} and {self.sigma}"
            )
        for name in ("gallery_size", "draws", "shuffles"):
            least = 2 if name == "gallery_size" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


class ImageScore(NamedTuple):
    """A measure by its name, of how many images or gallery, with its chance level."""

    name: str
    value: float
    chance: float
    higher_is_better: bool = True


def resized(images: Tensor, pixels: int) -> Tensor:
    """Return images (N, 3, H, W) in [0, 1] as float64 (N, 3, ``pixels``, ``pixels``).

    Raises
    ------
    ValueError
        No colour images, or values outside [0, 1].
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"images must be floating (N, 3, H, W), got {images.dtype} {tuple(images.shape)}"
        )
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images must lie in [0, 1], got [{float(images.min())}, {float(images.max())}]; "
            "divide bytes by 255, clip what was generated"
        )
    images = images.double()
    if images.shape[-2:] == (pixels, pixels):
        return images
    size = (pixels, pixels)
    scaled = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    return scaled.clamp(0, 1)


def correlations(a: Tensor, b: Tensor) -> FloatArray:
    """Return the correlation (N,) of each row of one table (N, ...) with that of the other.

    Rows without variation have none with anything: 0.
    """
    if a.shape != b.shape or a.ndim < 2:
        raise ValueError(f"tables {tuple(a.shape)} and {tuple(b.shape)} cannot be compared")
    product: FloatArray = (_standard(a) * _standard(b)).sum(1).cpu().numpy()
    return product


def correlation_matrix(a: Tensor, b: Tensor) -> FloatArray:
    """Return the correlation (N, M) of every row of (N, ...) with every row of (M, ...)."""
    matrix: FloatArray = (_standard(a) @ _standard(b).T).cpu().numpy()
    return matrix


def _standard(rows: Tensor) -> Tensor:
    rows = rows.flatten(1).double()
    if rows.shape[1] < 2 or not torch.isfinite(rows).all():
        raise ValueError(f"rows must be two or more finite numbers, got {tuple(rows.shape)}")
    apart = rows - rows.mean(1, keepdim=True)
    size = apart.norm(dim=1, keepdim=True)
    # What is left of a constant after subtracting its mean is rounding, not variation.
    there = size > 1e-12 * rows.norm(dim=1, keepdim=True)
    return torch.where(there, apart / size.clamp_min(torch.finfo(rows.dtype).tiny), 0.0)


def structural_similarity(a: Tensor, b: Tensor, *, sigma: float = 1.5) -> FloatArray:
    """Return the SSIM (N,) of grey versions of images (N, 3, H, W) in [0, 1] (Wang et al. 2004).

    Gaussian weights, population covariance, no border: what scikit-image gives with
    ``gaussian_weights=True, use_sample_covariance=False, data_range=1``.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    weights = torch.tensor(GREY, dtype=torch.float64, device=a.device)
    grey = [torch.einsum("nchw,c->nhw", images.double(), weights)[:, None] for images in (a, b)]
    pad, means = int(3.5 * sigma + 0.5), []
    # One by one: torchmetrics pads and stacks five filtered copies of all it gets.
    for x, y in zip(*grey, strict=True):
        both = structural_similarity_index_measure(
            x[None], y[None], sigma=sigma, data_range=1.0, return_full_image=True
        )
        # Its own mean counts the border too, where the window sees mirrored pixels.
        means.append(float(both[1][..., pad:-pad, pad:-pad].mean()))
    return np.array(means)


def identification(similarity: FloatArray, cfg: ImageMetricsConfig) -> list[Retrieval]:
    """Return n-way identification and top-1 of all for queries (N, N), the right ones diagonal."""
    size = len(similarity)
    ways = tuple(sorted({n for n in cfg.ways if n <= size} | {size}))
    found = retrieval_metrics(similarity, RetrievalConfig(top=(1,), ways=ways))
    return [each for each in found if each.metric.name.endswith("-way")]


def retrieval_of_draws(
    similarity: FloatArray, *, size: int, draws: int, generator: np.random.Generator
) -> FloatArray:
    """Return top-1 retrieval (R,) of every draw of ``size`` of the N images, without repeats.

    Transpose the similarity to look for the decoded ones by the true ones.
    """
    if not 2 <= size <= len(similarity):
        raise ValueError(f"cannot draw a gallery of {size} from {len(similarity)} images")
    values, cfg = [], RetrievalConfig(top=(1,), ways=())
    for _ in range(draws):
        some = generator.choice(len(similarity), size, replace=False)
        first = retrieval_metrics(similarity[np.ix_(some, some)], cfg)[0]
        values.append(first.metric.compute(first.credit, np.arange(size)))
    return np.array(values)


def pixel_scores(
    decoded: Tensor,
    truth: Tensor,
    cfg: ImageMetricsConfig | None = None,
    *,
    generator: np.random.Generator,
) -> list[ImageScore]:
    """Return pixel correlation and structural similarity of images (N, 3, H, W) in [0, 1].

    ``generator`` pairs images with others, for chance.
    """
    cfg = cfg or ImageMetricsConfig()
    a, b = resized(decoded, cfg.pixels), resized(truth, cfg.pixels)
    measures: Mapping[str, Callable[[Tensor, Tensor], FloatArray]] = {
        "PixCorr": correlations,
        "SSIM": lambda x, y: structural_similarity(x, y, sigma=cfg.sigma),
    }
    pairings = _pairings(len(a), cfg.shuffles, generator)
    return [
        ImageScore(
            name,
            float(of(a, b).mean()),
            float(np.mean([of(a, b[other]).mean() for other in pairings])),
        )
        for name, of in measures.items()
    ]


def feature_scores(
    decoded: Tensor,
    truth: Tensor,
    cfg: ImageMetricsConfig | None = None,
    *,
    generator: np.random.Generator,
) -> list[ImageScore]:
    """Return identification, retrieval and correlation distance of features (N, ...) of images.

    Features of decoded images, or features that were decoded. ``generator`` draws galleries and
    pairs images with others.
    """
    cfg = cfg or ImageMetricsConfig()
    similarity = correlation_matrix(decoded, truth)
    size = len(similarity)
    right = np.arange(size)
    scores = [
        ImageScore(m.metric.name, m.metric.compute(m.credit, right), _level(m.metric))
        for m in identification(similarity, cfg)
    ]
    among = min(size, cfg.gallery_size)
    drawn = retrieval_of_draws(
        similarity, size=among, draws=cfg.draws if among < size else 1, generator=generator
    )
    scores.append(ImageScore(f"top-1 of {among}", float(drawn.mean()), 1 / among))
    pairings = _pairings(size, cfg.shuffles, generator)
    others = float(np.mean([similarity[right, other].mean() for other in pairings]))
    distance = 1 - float(similarity[right, right].mean())
    scores.append(ImageScore("correlation distance", distance, 1 - others, False))
    return scores


def _level(metric: Metric) -> float:
    assert metric.chance is not None
    return metric.chance


def _pairings(size: int, shuffles: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Return permutations (N,) that leave no image with itself."""
    if size < 2:
        raise ValueError(f"{size} image cannot be told from others; give two or more")
    pairings = []
    for _ in range(shuffles):
        order = generator.permutation(size)
        other = np.empty(size, dtype=np.int64)
        other[order] = np.roll(order, 1)
        pairings.append(other)
    return pairings
