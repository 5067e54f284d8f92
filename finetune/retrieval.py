"""Which content of a gallery a trial was about: queries near the features of their content.

Shapes: B trials of all ranks, M things to decode, T' frames of their features, F features, W width
of what is compared, R rivals, U contents in a batch.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from .backbone import FeatureShape
from .contrastive import clip, clip_one_sided, siglip
from .gathering import gather_rows
from .head import Head, known_training
from .pooling import PoolingConfig
from .standardisation import moments
from .targets import Targets
from .trial_batch import TrialBatch

Loss = Literal["clip_one_sided", "clip", "siglip", "dsiglip"]
Time = Literal["pooled", "kept", "flat"]
Negatives = Literal["batch", "rivals", "both"]
START = {"clip": 1 / 0.07, "clip_one_sided": 1 / 0.07, "siglip": 10.0, "dsiglip": 10.0}
"""Learned scale of similarities at the start, as in the papers; at most 100."""


@dataclass(frozen=True, kw_only=True)
class ContrastConfig:
    """How queries are compared with contents.

    Parameters
    ----------
    loss
        ``clip_one_sided``: find the content of a query; ``clip``: also the query of a content;
        ``siglip``: every pair by itself; ``dsiglip``: likewise, a content that occurs several times
        in a batch counts once. None takes the same content for a negative of itself.
    temperature
        ``none``: a query keeps its length, which sharpens the comparison; ``learned``: it has unit
        length and similarities are multiplied by a learned number. ``auto``: none for
        ``clip_one_sided``, learned for the others.
    mse
        Weight of the mean squared error added, from 0.
    time
        What becomes of features with frames (M, T', F). ``pooled``: their mean; ``kept``: an output
        for every frame, resampled to T', compared over features and frames; ``flat``: T' F outputs
        of the pooled trial.
    negatives
        What a query is compared with: contents of the batch, what was there at the same time but
        not attended (``rivals``), or both.
    target_width
        Width of a learned linear map of the contents' features; 0: none.
    standardise
        Whether features have mean 0, at every frame if they have frames, and deviation 1 over the
        training trials. If not, what all contents share decides the cosine.
    """

    loss: Loss = "clip_one_sided"
    temperature: Literal["auto", "none", "learned"] = "auto"
    mse: float = 0.0
    time: Time = "pooled"
    negatives: Negatives = "batch"
    target_width: int = 0
    standardise: bool = True

    def __post_init__(self) -> None:
        known = (("loss", Loss), ("time", Time), ("negatives", Negatives))
        for name, choice in known:
            if getattr(self, name) not in get_args(choice):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(choice))}, got "
                    f"{getattr(self, name)!r}"
                )
        if self.temperature not in ("auto", "none", "learned"):
            raise ValueError(f"temperature must be auto, none or learned, got {self.temperature!r}")
        if not 0 <= self.mse < math.inf:
            raise ValueError(f"mse must be a weight from 0, got {self.mse}")
        if self.target_width < 0:
            raise ValueError(f"target_width must be at least 0, got {self.target_width}")
        if self.mse and self.target_width:
            raise ValueError("mse with target_width is least where all contents become one point")

    @property
    def learns_temperature(self) -> bool:
        """Return whether queries have unit length and similarities a learned scale."""
        if self.temperature == "auto":
            return self.loss != "clip_one_sided"
        return self.temperature == "learned"


class Retrieval(Head):
    """Queries that are near the features of their content, far from others'.

    Parameters
    ----------
    contrast
        How they are compared.
    pooling, hidden, dropout
        As in :class:`~.head.Head`.
    """

    kind = "retrieval"
    global_loss = True
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        contrast: ContrastConfig | None = None,
        pooling: PoolingConfig | None = None,
        hidden: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(pooling, hidden, dropout)
        self.contrast = contrast or ContrastConfig()
        self.per_frame = self.contrast.time == "kept"

    def build(
        self,
        shape: FeatureShape,
        targets: Targets,
        *,
        linear: bool = False,
        training: NDArray[np.int64] | None = None,
    ) -> None:
        """Make the layers and take mean and deviation of the training trials' contents."""
        cfg = self.contrast
        if cfg.negatives != "batch" and (targets.rivals is None or not targets.rivals.shape[1]):
            raise ValueError(
                f"negatives are {cfg.negatives!r}, but the targets have no rivals; use 'batch'"
            )
        super().build(shape, targets, linear=linear, training=training)
        n_features = self.values.shape[-1]
        mean, deviation = torch.zeros(n_features), torch.ones(n_features)
        if cfg.standardise:
            rows, counts = known_training(self, training, "mean and deviation of features").unique(
                return_counts=True
            )
            mean, deviation = moments(self._in_time(rows), counts)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.project: nn.Module = nn.Identity()
        if cfg.target_width:
            self.project = nn.Linear(n_features, cfg.target_width, bias=False)
        if cfg.learns_temperature:
            self.log_scale = nn.Parameter(torch.tensor(math.log(START[cfg.loss])))
            if cfg.loss in ("siglip", "dsiglip"):
                self.bias = nn.Parameter(torch.tensor(-10.0))

    def n_outputs(self, targets: Targets) -> int:
        """Return W, times T' if ``flat``."""
        values = targets.values
        if values is None or values.ndim not in (2, 3):
            raise ValueError(
                "retrieval needs features of every content, (contents, features) or (contents, "
                f"frames, features), got {None if values is None else values.shape}"
            )
        if not np.isfinite(values).all():
            bad = targets.ids[np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(1))]
            raise ValueError(f"the features of {len(bad)} contents are not finite, e.g. {bad[0]}")
        if self.contrast.time != "pooled" and values.ndim == 2:
            raise ValueError(
                f"time is {self.contrast.time!r}, but the features have no frames; use 'pooled'"
            )
        width = self.contrast.target_width or values.shape[-1]
        return int(width * values.shape[1]) if self.contrast.time == "flat" else int(width)

    def loss(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return the loss over the trials of all ranks."""
        cfg = self.contrast
        queries = gather_rows(self.predict(output, batch))
        target, rivals = gather_rows(batch.target), gather_rows(batch.rivals)
        if not len(target):
            return queries.sum()
        shown = target if cfg.negatives == "batch" else torch.cat([target, rivals.flatten()])
        contents, counts = shown.unique(return_counts=True)
        same = target[:, None] == contents
        allowed = None
        if cfg.negatives == "rivals":
            allowed = (rivals[:, :, None] == contents).any(1)
        with torch.autocast(queries.device.type, enabled=False):
            similarity = self._similarity(queries, self.gallery(contents).float())
            loss = self._contrast(similarity, same, allowed, counts)
            if cfg.mse:
                loss = loss + cfg.mse * F.mse_loss(queries, self.gallery(target).float())
        return loss

    def predict(self, output: Tensor, batch: TrialBatch) -> Tensor:
        """Return queries (B, W), or (B, T' W) where time is kept or flat."""
        if not self.per_frame:
            return output.float()
        n_frames = self.values.shape[1]
        in_time = rearrange(output.float(), "b p w -> b w p")
        in_time = F.interpolate(in_time, n_frames, mode="linear", align_corners=False)
        return rearrange(in_time, "b w t -> b (t w)")

    def gallery(self, rows: Tensor) -> Tensor:
        """Return features of contents as queries are to be, (M', W) or (M', T' W)."""
        features = (self._in_time(rows) - self.mean) / self.deviation
        return self.project(features).flatten(1)

    def ridge_targets(self) -> Tensor:
        """Return the standardised features of all contents."""
        if self.contrast.target_width or self.per_frame:
            raise ValueError(
                "ridge needs one vector of given features for a trial: no target_width, and time "
                "'pooled' or 'flat'"
            )
        return self.gallery(torch.arange(len(self.values), device=self.values.device))

    def _in_time(self, rows: Tensor) -> Tensor:
        """Return float features of rows, (M', F) or with frames (M', T', F)."""
        features = self.values[rows.to(self.values.device)].float()
        pooled = features.ndim == 3 and self.contrast.time == "pooled"
        return features.mean(1) if pooled else features

    def _similarity(self, queries: Tensor, candidates: Tensor) -> Tensor:
        candidates = F.normalize(candidates, dim=-1)
        if not self.contrast.learns_temperature:
            return queries @ candidates.T
        scale = self.log_scale.clamp(max=math.log(100)).exp()
        similarity = scale * F.normalize(queries, dim=-1) @ candidates.T
        return similarity + self.bias if hasattr(self, "bias") else similarity

    def _contrast(
        self, similarity: Tensor, same: Tensor, allowed: Tensor | None, counts: Tensor
    ) -> Tensor:
        if self.contrast.loss == "clip_one_sided":
            return clip_one_sided(similarity, same, allowed)
        if self.contrast.loss == "clip":
            return clip(similarity, same, allowed)
        weight = counts if self.contrast.loss == "siglip" else None
        return siglip(similarity, same, allowed, weight)
