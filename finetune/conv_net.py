"""The convolutional network that decoders are compared with (Défossez et al. 2023, section 4.3).

Attention over sensor positions, a linear map of its virtual channels, a linear map of each subject,
ten dilated residual convolutions, and a readout of each time step. Trained from scratch, on sensors
of any device.

Shapes: B trials, C sensors, T samples, V virtual channels, P frames, D outputs, S subjects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from brainfm.processing_config import ProcessingConfig

from .backbone import Backbone
from .spatial_attention import SpatialAttention
from .trial_batch import TrialBatch

DILATIONS = 5
"""The dilation of convolution k is 2 to the power of k modulo this."""


@dataclass(frozen=True, kw_only=True)
class ConvNetConfig:
    """Sizes of the network; defaults are the published ones.

    Parameters
    ----------
    virtual_channels
        V, of the attention over sensors.
    harmonics
        Of its Fourier series, in each direction.
    spatial_dropout
        Radius within which sensors are left out in training; the head is about 0.8 wide.
    width
        Channels of the convolutions.
    blocks
        Of two residual convolutions and a gate each.
    outputs
        D.
    pool
        Samples that are averaged into a frame.
    dropout
        Of the outputs of each block, in [0, 1).
    subject_layer
        Whether every subject in training has a linear map of its own.
    subject_dropout
        Share of training trials that take the map of unknown subjects instead.
    """

    virtual_channels: int = 270
    harmonics: int = 32
    spatial_dropout: float = 0.1
    width: int = 320
    blocks: int = 5
    outputs: int = 1024
    pool: int = 1
    dropout: float = 0.0
    subject_layer: bool = True
    subject_dropout: float = 0.2

    def __post_init__(self) -> None:
        for name in ("virtual_channels", "harmonics", "width", "blocks", "outputs", "pool"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("spatial_dropout", "dropout", "subject_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")


class SubjectMaps(nn.Module):
    """A linear map for every subject; slot 0 is for all who are not known."""

    def __init__(self, width: int, n_subjects: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        noise = torch.randn(1 + n_subjects, width, width) * 0.1 * width**-0.5
        self.maps = nn.Parameter(torch.eye(width) + noise)

    def forward(self, x: Tensor, subject: Tensor) -> Tensor:
        """Map (B, V, T) of subjects (B,)."""
        if self.training and self.dropout:
            unknown = torch.rand(len(subject), device=subject.device) < self.dropout
            subject = subject.masked_fill(unknown, 0)
        return torch.einsum("bwv,bvt->bwt", self.maps[subject], x)


class ConvBlock(nn.Module):
    """Two residual dilated convolutions, then a gated one."""

    def __init__(self, n_in: int, width: int, number: int, dropout: float) -> None:
        super().__init__()
        dilations = [2 ** ((2 * number + k) % DILATIONS) for k in range(2)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(n, width, 3, padding=d, dilation=d)
            for n, d in zip((n_in, width), dilations, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in dilations)
        self.gate = nn.Conv1d(width, 2 * width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, T) to (B, width, T)."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = F.gelu(norm(convolution(x)))
            x = x + y if x.shape == y.shape else y
        gated: Tensor = self.dropout(F.glu(self.gate(x), dim=1))
        return gated


class ConvNet(Backbone):
    """The convolutional network as a backbone; its features are (B, P, 1, D).

    Normalisation is over a batch: on several ranks, training equals that of one rank with
    ``trainer.sync_batchnorm``.

    Parameters
    ----------
    config
        Sizes.
    prepare
        How recordings are prepared; not given: 120 Hz as published, up to 48 Hz.
    """

    def __init__(
        self, config: ConvNetConfig | None = None, prepare: ProcessingConfig | None = None
    ) -> None:
        super().__init__()
        self.config = config or ConvNetConfig()
        self.prepare = prepare or ProcessingConfig(sfreq=120.0, h_freq=48.0)

    @property
    def processing(self) -> ProcessingConfig:
        """Return how recordings must be prepared for it."""
        return self.prepare

    def build(self, example: TrialBatch, n_subjects: int) -> None:
        """Make the layers; only the slots of subjects depend on the data."""
        cfg = self.config
        n_times = example.signal.x.shape[-1]
        if n_times < cfg.pool:
            raise ValueError(
                f"a trial has {n_times} samples, fewer than the {cfg.pool} of one frame; lower pool"
            )
        v = cfg.virtual_channels
        self.attention = SpatialAttention(v, cfg.harmonics, cfg.spatial_dropout)
        self.mix = nn.Conv1d(v, v, 1)
        self.subjects = (
            SubjectMaps(v, n_subjects, cfg.subject_dropout) if cfg.subject_layer else None
        )
        self.blocks = nn.ModuleList(
            ConvBlock(cfg.width if k else v, cfg.width, k, cfg.dropout) for k in range(cfg.blocks)
        )
        self.readout = nn.Sequential(
            nn.Conv1d(cfg.width, 2 * cfg.width, 1),
            nn.GELU(),
            nn.Conv1d(2 * cfg.width, cfg.outputs, 1),
        )

    def forward(self, batch: TrialBatch) -> Tensor:
        """Return features (B, P, 1, D)."""
        x = self.mix(self.attention(batch.signal))
        if self.subjects is not None:
            x = self.subjects(x, batch.subject)
        for block in self.blocks:
            x = block(x)
        x = F.avg_pool1d(self.readout(x), self.config.pool)
        return rearrange(x, "b d p -> b p 1 d")

    def layers(self) -> Sequence[Sequence[nn.Parameter]]:
        """Return the parameters from input to output."""
        parts: list[nn.Module] = [self.attention, self.mix]
        if self.subjects is not None:
            parts.append(self.subjects)
        parts += [*self.blocks, self.readout]
        return [list(part.parameters()) for part in parts]
