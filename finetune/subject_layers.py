"""A linear map of the features for every subject, one for subjects not seen, and one from minutes.

Brains differ in where things lie; a map per subject lets the rest of the decoder be shared
(Defossez et al. 2023, doi:10.1038/s42256-023-00714-5). Slot 0 is for subjects not in training: in
training, trials fall to it at random.

Shapes: B trials, P frames, N sources, D width, S subjects, M things to decode.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class SubjectLayerConfig:
    """Maps of subjects.

    Parameters
    ----------
    enabled
        Whether there are any.
    dropout
        Probability in training that a trial goes through the map for unseen subjects, in (0, 1].
    """

    enabled: bool = False
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.dropout <= 1:
            raise ValueError(
                "subject_layer.dropout must lie in (0, 1], or the map for unseen subjects is never "
                f"trained: got {self.dropout}"
            )


class SubjectLayers(nn.Module):
    """Multiply features by the matrix of the trial's subject; all are the identity at first."""

    def __init__(self, cfg: SubjectLayerConfig, n_subjects: int, width: int) -> None:
        super().__init__()
        self.dropout = cfg.dropout
        self.maps = nn.Parameter(torch.eye(width).repeat(n_subjects + 1, 1, 1))

    def forward(self, features: Tensor, subject: Tensor) -> Tensor:
        """Map (B, P, N, D) by subjects (B,), slots from 1, 0 for all others."""
        if self.training:
            dropped = torch.rand(len(subject), device=subject.device) < self.dropout
            subject = subject.masked_fill(dropped, 0)
        return torch.einsum("bpnd,bde->bpne", features, self.maps[subject].to(features.dtype))

    @torch.no_grad()
    def add(self, matrix: Tensor) -> int:
        """Append the map (D, D) of one more subject and return its slot."""
        self.maps = nn.Parameter(torch.cat([self.maps, matrix.to(self.maps).unsqueeze(0)]))
        return len(self.maps) - 1


def mean_by_target(features: Tensor, target: Tensor, n_targets: int) -> tuple[Tensor, Tensor]:
    """Return the mean features (M, ...) of trials (B, ...) by target, and which there are (M,)."""
    counts = torch.bincount(target, minlength=n_targets)
    sums = features.new_zeros(n_targets, *features.shape[1:]).index_add_(0, target, features)
    return sums / counts.clamp_min(1).view(-1, *[1] * (features.ndim - 1)), counts > 0


def fit_subject_layer(
    features: Tensor,
    target: Tensor,
    reference: Tensor,
    known: Tensor | None = None,
    *,
    penalty: float = 0.1,
) -> Tensor:
    """Return a new subject's map (D, D) from a few labelled trials, in closed form.

    Minimises ``||X M - Z||^2 + lambda ||M - I||^2`` with X the subject's features and Z the mean
    features that training subjects have for the same target; without trials it is the identity.

    Parameters
    ----------
    features
        (B, P, N, D) of the subject, before any subject layer.
    target
        (B,) what was right.
    reference
        (M, P, N, D) mean features of training subjects, :func:`mean_by_target` of what their own
        maps give.
    known
        (M,) bool: which references there are; trials of others are left out. None: all.
    penalty
        Lambda relative to the mean power of a feature over all trials, positive.
    """
    if penalty <= 0:
        raise ValueError(f"penalty must be positive, got {penalty}")
    if known is not None:
        features, target = features[known[target]], target[known[target]]
    width = features.shape[-1]
    x, z = (v.reshape(-1, width).double() for v in (features, reference[target]))
    identity = torch.eye(width, dtype=x.dtype, device=x.device)
    gram = x.T @ x
    power = gram.diagonal().mean()
    if len(x) == 0 or power == 0:
        return identity.to(features.dtype)
    shrink = penalty * power * identity
    return torch.linalg.solve(gram + shrink, x.T @ z + shrink).to(features.dtype)
