"""How features of frames and sources become one vector.

An oscillation has no fixed phase: its mean over frames says nothing, its power and how it goes
along between sources do. ``power`` and ``covariance`` make these readable for a linear map.

Shapes: B trials, P frames, N sources, D width, F pooled features.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from einops import rearrange
from torch import Tensor, nn

from .attention_pooling import AttentionPooling
from .backbone import FeatureShape
from .course_pooling import CoursePooling
from .covariance_pooling import CovariancePooling
from .power_pooling import PowerPooling
from .spectral_pooling import Band, BandCovariance, CanonicalSpectrum, check_band

PoolingKind = Literal[
    "flat",
    "mean",
    "moments",
    "all",
    "power",
    "covariance",
    "attention",
    "spectrum",
    "bands",
    "course",
]
WITHOUT_FRAMES = ("power", "covariance", "attention", "spectrum", "bands", "course")
BANDS: dict[str, tuple[Band, ...]] = {
    "spectrum": ((1 / 32, 3 / 8),),
    "bands": ((1 / 16, 1 / 8), (1 / 8, 1 / 4)),
}
"""Where none are given: at 256 Hz, 4 to 48 Hz, and 8 to 16 and 16 to 32 Hz."""
Inner = (
    PowerPooling
    | CovariancePooling
    | AttentionPooling
    | CanonicalSpectrum
    | BandCovariance
    | CoursePooling
)


@dataclass(frozen=True, kw_only=True)
class PoolingConfig:
    """How to pool.

    Parameters
    ----------
    kind
        ``flat``: nothing is lost, (P N D). ``mean``: over frames, (N D). ``moments``: mean and
        standard deviation over frames, (2 N D). ``all``: mean over frames and sources, (D).
        ``power``: logarithm of the mean square over frames. ``covariance``: logarithm of the
        covariance of sources over frames. ``attention``: learned weights of frames and sources.
        Of features that are waveforms (``Pretrained`` with features ``sources``), ``spectrum``:
        canonical correlation with each frequency of a band; ``bands``: logarithm of the covariance
        of sources in each band; ``course``: means over equal stretches of the trial, (N S).
        Heads with an output for every frame keep (N D) of each, or (D) if ``all``.
    filters
        Of ``power``: learned filters over ``taps`` frames, sources and width whose power is taken;
        0: the power of every feature by itself, (N D), nothing learned.
    taps
        Frames that a filter of ``power`` sees, odd.
    components
        Of ``covariance``: learned directions in D with a covariance each; 0: one covariance over
        all of D, nothing learned.
    shrinkage
        Of ``covariance``, ``spectrum`` and ``bands``: share of the mean variance in it, in (0, 1].
    queries
        Of ``attention``: weightings, D features each.
    bands
        Of ``bands`` and ``spectrum`` (which has one): begin and end of each, as shares of half the
        sampling rate. None: 1/16 to 1/8 and 1/8 to 1/4; 1/32 to 3/8.
    stretches
        S of ``course``.
    """

    kind: PoolingKind = "moments"
    filters: int = 40
    taps: int = 3
    components: int = 0
    shrinkage: float = 0.1
    queries: int = 4
    bands: tuple[tuple[float, float], ...] | None = None
    stretches: int = 16

    def __post_init__(self) -> None:
        if self.kind not in get_args(PoolingKind):
            kinds = ", ".join(get_args(PoolingKind))
            raise ValueError(f"pooling kind must be one of {kinds}, got {self.kind!r}")
        leasts = {"filters": 0, "taps": 1, "components": 0, "queries": 1, "stretches": 1}
        for name, least in leasts.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.taps % 2 == 0:
            raise ValueError(f"taps must be odd, got {self.taps}")
        if not 0 < self.shrinkage <= 1:
            raise ValueError(f"shrinkage must lie in (0, 1], got {self.shrinkage}")
        if self.bands is not None:
            if self.kind not in BANDS or not self.bands:
                raise ValueError(f"bands {self.bands} do not belong to pooling kind {self.kind!r}")
            if self.kind == "spectrum" and len(self.bands) > 1:
                raise ValueError(f"pooling kind 'spectrum' has one band, got {self.bands}")
            for band in self.bands:
                check_band(band)


class Pooling(nn.Module):
    """Pool features; with ``per_frame``, over sources only."""

    def __init__(self, cfg: PoolingConfig, shape: FeatureShape, *, per_frame: bool = False) -> None:
        super().__init__()
        self.cfg, self.per_frame = cfg, per_frame
        frames, sources, width = shape
        if per_frame and cfg.kind in WITHOUT_FRAMES:
            raise ValueError(
                f"pooling {cfg.kind!r} leaves no frames, but the head has an output for every "
                "frame; use 'flat' or 'all'"
            )
        sizes = {"flat": frames, "mean": 1, "moments": 2}
        whole = sources * width
        self.n_features = width if cfg.kind == "all" else sizes.get(cfg.kind, 1) * whole
        if per_frame and cfg.kind != "all":
            self.n_features = whole
        self.inner: Inner | None = None
        if cfg.kind == "power":
            self.inner = PowerPooling(shape, cfg.filters, cfg.taps)
        elif cfg.kind == "covariance":
            self.inner = CovariancePooling(shape, cfg.components, cfg.shrinkage)
        elif cfg.kind == "attention":
            self.inner = AttentionPooling(shape, cfg.queries)
        elif cfg.kind == "spectrum":
            self.inner = CanonicalSpectrum(shape, self.bands[0], cfg.shrinkage)
        elif cfg.kind == "bands":
            self.inner = BandCovariance(shape, self.bands, cfg.shrinkage)
        elif cfg.kind == "course":
            self.inner = CoursePooling(shape, cfg.stretches)
        if self.inner is not None:
            self.n_features = self.inner.n_features

    @property
    def bands(self) -> tuple[Band, ...]:
        """Return the bands that are looked at."""
        return self.cfg.bands or BANDS[self.cfg.kind]

    @property
    def learned(self) -> bool:
        """Return whether it has weights; a closed-form readout leaves them as they start."""
        return any(True for _ in self.parameters())

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, F), or (B, P, F) if per frame, of (B, P, N, D)."""
        kind = self.cfg.kind
        if self.inner is not None:
            pooled: Tensor = self.inner(features)
            return pooled
        if self.per_frame:
            if kind == "all":
                return features.mean(2)
            return rearrange(features, "b p n d -> b p (n d)")
        if kind == "flat":
            return rearrange(features, "b p n d -> b (p n d)")
        if kind == "all":
            return features.mean((1, 2))
        mean = features.mean(1)
        if kind == "moments":
            mean = torch.cat([mean, standard_deviation(features)], dim=-1)
        return rearrange(mean, "b n d -> b (n d)")


def standard_deviation(features: Tensor) -> Tensor:
    """Return the deviation over frames (B, N, D) of (B, P, N, D); its gradient is always finite."""
    # The root's slope at 0 (one frame, a dead source) is infinite.
    away = features.float() - features.float().mean(1, keepdim=True)
    return (away.square().mean(1) + 1e-12).sqrt()
