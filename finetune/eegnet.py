"""A small convolutional network for a fixed array (Lawhern et al. 2018, arXiv:1611.08024).

A filter bank over time, spatial filters for each of its bands, and a separable convolution over
what is left. A few thousand parameters, which a few dozen trials can train.

Shapes: B trials, C sensors, T samples, P frames, F filters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from brainfm.processing_config import ProcessingConfig

from .backbone import Backbone
from .trial_batch import TrialBatch

SAME_PLACE_M = 0.01
"""How much nearer a sensor may be to the place of another channel than to that of its own: heads
and caps differ, the order of channels does not."""


@dataclass(frozen=True, kw_only=True)
class EEGNetConfig:
    """Sizes of the network; defaults are the published ones (EEGNet-8,2, 128 Hz).

    Parameters
    ----------
    filters
        Over time.
    spatial
        Spatial filters for each of them.
    kernel
        Samples of a filter over time; half a second as published.
    late_kernel
        Samples of the separable convolution, after the first pooling.
    pools
        Samples that are averaged, twice.
    dropout
        In [0, 1): 0.5 within subjects, 0.25 across them.
    """

    filters: int = 8
    spatial: int = 2
    kernel: int = 64
    late_kernel: int = 16
    pools: tuple[int, int] = (4, 8)
    dropout: float = 0.5

    def __post_init__(self) -> None:
        for name in ("filters", "spatial", "kernel", "late_kernel"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if min(self.pools) < 1:
            raise ValueError(f"pools must be at least 1, got {self.pools}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")


class EEGNet(Backbone):
    """The network as a backbone; its features are (B, P, 1, F). Use it with pooling ``flat``.

    The channels are those of the first batch, in that order. Normalisation is over a batch: on
    several ranks, training equals that of one rank with ``trainer.sync_batchnorm``.

    Parameters
    ----------
    config
        Sizes.
    prepare
        How recordings are prepared; not given: 128 Hz, 1 to 45 Hz.
    """

    def __init__(
        self, config: EEGNetConfig | None = None, prepare: ProcessingConfig | None = None
    ) -> None:
        super().__init__()
        self.config = config or EEGNetConfig()
        self.prepare = prepare or ProcessingConfig(sfreq=128.0, l_freq=1.0, h_freq=45.0)
        self.positions: Tensor

    @property
    def processing(self) -> ProcessingConfig:
        """Return how recordings must be prepared for it."""
        return self.prepare

    def build(self, example: TrialBatch, n_subjects: int) -> None:
        """Make the layers for the channels of ``example``; subjects share all of them."""
        cfg, (_, n_channels, n_times) = self.config, example.signal.x.shape
        if n_times < cfg.pools[0] * cfg.pools[1]:
            raise ValueError(
                f"a trial has {n_times} samples, fewer than the {cfg.pools[0] * cfg.pools[1]} of "
                f"one frame; lower pools, now {cfg.pools}"
            )
        n_mixed = cfg.filters * cfg.spatial
        self.register_buffer("positions", example.signal.positions[0].clone())
        self.over_time = nn.Conv2d(1, cfg.filters, (1, cfg.kernel), padding="same", bias=False)
        self.over_space = nn.Conv2d(
            cfg.filters, n_mixed, (n_channels, 1), groups=cfg.filters, bias=False
        )
        late = (1, cfg.late_kernel)
        self.late = nn.Conv2d(n_mixed, n_mixed, late, padding="same", groups=n_mixed, bias=False)
        self.mix = nn.Conv2d(n_mixed, n_mixed, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (cfg.filters, n_mixed, n_mixed))

    def forward(self, batch: TrialBatch) -> Tensor:
        """Return features (B, P, 1, F).

        Raises
        ------
        ValueError
            Other channels than the network was made for.
        """
        signal, cfg = batch.signal, self.config
        self._check(batch)
        x = signal.x.masked_fill(~signal.mask.unsqueeze(-1), 0.0).unsqueeze(1)
        x = self.norms[0](self.over_time(x))
        # A spatial filter has length 1 at most, as published.
        norm = self.over_space.weight.flatten(1).norm(dim=1).clamp_min(1.0)
        weight = self.over_space.weight / norm[:, None, None, None]
        x = F.elu(self.norms[1](F.conv2d(x, weight, groups=cfg.filters)))
        x = F.dropout(F.avg_pool2d(x, (1, cfg.pools[0])), cfg.dropout, self.training)
        x = F.elu(self.norms[2](self.mix(self.late(x))))
        x = F.dropout(F.avg_pool2d(x, (1, cfg.pools[1])), cfg.dropout, self.training)
        return rearrange(x, "b f 1 p -> b p 1 f")

    def _check(self, batch: TrialBatch) -> None:
        there, wanted = batch.signal.positions, self.positions
        if there.shape[1] != len(wanted):
            # Trials of a batch are padded to the one with most channels.
            trial = int(batch.trial[int(batch.signal.mask.sum(1).argmax())])
            raise ValueError(
                f"EEGNet was made for {len(wanted)} channels and {self.named(trial)} has "
                f"{there.shape[1]}; it needs the same array in every recording: pick channels, or "
                "use ConvNet"
            )
        apart = torch.cdist(there, wanted.expand(len(there), -1, -1))
        own = apart.diagonal(dim1=1, dim2=2)
        wrong = torch.nonzero((own > apart.amin(2) + SAME_PLACE_M) & batch.signal.mask)
        if len(wrong):
            trial, channel = wrong[0].tolist()
            raise ValueError(
                f"channel {channel} of {self.named(int(batch.trial[trial]))} lies "
                f"{100 * float(own[trial, channel]):.1f} cm from where EEGNet was made for, and "
                "nearer to another channel; give every recording the same channels in the same "
                "order, or use ConvNet"
            )

    def layers(self) -> Sequence[Sequence[nn.Parameter]]:
        """Return the parameters from input to output."""
        parts = [
            (self.over_time, self.norms[0]),
            (self.over_space, self.norms[1]),
            (self.late, self.mix, self.norms[2]),
        ]
        return [[p for module in part for p in module.parameters()] for part in parts]
