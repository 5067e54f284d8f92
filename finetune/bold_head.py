"""BOLD of all regions together from the EEG or MEG before each volume.

Features of every frame give a drive for each region; a response with weights of its own for each
region turns the drive into BOLD.

Shapes: B trials, P frames, N sources, D width, R regions, T = P D samples, S steps, K bands.
"""

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from brainfm.sensors import FloatArray

from .backbone import FeatureShape
from .bold_targets import recording_moments
from .head import known_training
from .lag_layers import LagConfig, Query, Response, Window, lags_of
from .pooling import PoolingConfig
from .regression import Regression, RegressionConfig
from .targets import Targets
from .trial_batch import TrialBatch

BANDS = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
"""Delta to gamma, Hz."""
FLOOR = 1e-6
"""Power that is added before the logarithm: signals are of order one."""


class BoldHead(Regression):
    """Values of regions, volume by volume.

    Each recording's values are learned with mean 0 and deviation 1 over its training volumes. A
    recording without any, of which nothing is learned, has its own, and only the validation loss
    sees them; predictions are in a scale that is the same for all recordings.

    Parameters
    ----------
    lag
        What responses are made of.
    bands
        Begin and end in Hz of each band whose power is the drive, where features are waveforms
        (``Pretrained`` with features ``sources``). None: the features are.
    step
        Seconds over which power is taken.
    regression, pooling, hidden, dropout
        As in :class:`~.regression.Regression`; of poolings ``flat`` and ``all``.
    """

    per_frame = True
    means: Tensor
    deviations: Tensor

    def __init__(
        self,
        lag: LagConfig | None = None,
        bands: list[tuple[float, float]] | None = None,
        step: float = 1.0,
        regression: RegressionConfig | None = None,
        pooling: PoolingConfig | None = None,
        hidden: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(regression, pooling or PoolingConfig(kind="flat"), hidden, dropout)
        if not step > 0:
            raise ValueError(f"step must be positive (s), got {step}")
        self.lag_config, self.bands, self.step = lag or LagConfig(), bands, step
        self.power: BandPower | None = None

    def build(
        self,
        shape: FeatureShape,
        targets: Targets,
        *,
        linear: bool = False,
        training: NDArray[np.int64] | None = None,
    ) -> None:
        """Make the layers and take mean and deviation of each recording's training volumes."""
        if targets.window is None:
            raise ValueError(
                "BoldHead decodes volumes of a series; take data.targets "
                "brainfm.finetune.bold_targets.BoldTargets"
            )
        self.window = targets.window
        if self.bands is not None:
            bands = tuple((float(low), float(high)) for low, high in self.bands)
            self.power = BandPower(shape, self.window, bands, self.step)
            shape = self.power.shape
        super().build(shape, targets, linear=linear, training=training)
        n_regions = self.n_outputs(targets)
        n_features = shape.sources * shape.width
        self.lag: Response | Query
        if self.lag_config.kind == "query":
            sizes = n_features, shape.frames, n_regions
            self.lag = Query(*sizes, self.lag_config.key_width)
        else:
            self.lag = Response(self.lag_config, self.window, shape.frames, n_regions)
        learned = known_training(self, training, "mean and deviation of recordings")
        mean, deviation = recording_moments(targets, learned.cpu().numpy())
        self.register_buffer("means", torch.from_numpy(mean), persistent=False)
        self.register_buffer("deviations", torch.from_numpy(deviation), persistent=False)

    def forward(self, features: Tensor, batch: TrialBatch) -> Tensor:
        """Return BOLD (B, R), standardised, of features (B, P, N, D)."""
        if self.power is not None:
            features = self.power(features)
        found: Tensor = self.lag(super().forward(features, batch), features)
        return found

    def lags(self) -> FloatArray:
        """Return by how many s each region's response is later than the canonical one, (R,).

        Raises
        ------
        ValueError
            Attention, which has no response.
        """
        if isinstance(self.lag, Query):
            raise ValueError("attention over frames has no lag; take lag kind canonical or fir")
        weight, basis = (x.detach().double().cpu() for x in (self.lag.weight, self.lag.basis))
        return lags_of(weight.numpy(), basis.numpy(), self.window)

    def ridge_targets(self) -> Tensor:
        """Refuse: drive and response are two maps, one after the other."""
        raise ValueError(
            "BoldHead has no closed form; use another adaptation than ridge, or the baseline "
            "lagged_power, which is ridge on all lags"
        )

    def _standardised(self, rows: Tensor) -> Tensor:
        return (self._values(rows) - self.means[rows]) / self.deviations[rows]


class BandPower(nn.Module):
    """Logarithm of the power of waveforms in bands, step by step, standardised over a batch.

    While training, normalisation is over the trials of a rank; on several ranks it equals that of
    one rank with ``trainer.sync_batchnorm``.

    Parameters
    ----------
    shape
        Of the features; frames follow each other as samples.
    window
        What they cover, seconds from the volume.
    bands
        Hz.
    step
        Seconds; the window is cut into equal steps of about this length.
    """

    def __init__(
        self,
        shape: FeatureShape,
        window: Window,
        bands: tuple[tuple[float, float], ...],
        step: float,
    ) -> None:
        super().__init__()
        length = window[1] - window[0]
        rate = shape.frames * shape.width / length
        n_steps = max(1, round(length / step))
        self.n_times = shape.frames * shape.width // n_steps
        frequency = np.fft.rfftfreq(max(self.n_times, 1), 1 / rate)
        inside = np.array([(frequency >= low) & (frequency < high) for low, high in bands])
        if not inside.any(axis=1).all():
            empty = bands[int(np.flatnonzero(~inside.any(axis=1))[0])]
            raise ValueError(
                f"band {empty} Hz holds no frequency of steps of {self.n_times / rate:g} s at "
                f"{rate:g} values per second; are the features waveforms (features: sources)?"
            )
        # Power of the sum of both halves of the spectrum, per sample.
        share = 2.0 * inside / self.n_times**2
        self.register_buffer("share", torch.as_tensor(share.T, dtype=torch.float32), False)
        self.register_buffer(
            "taper", torch.hann_window(self.n_times, periodic=True) * (8 / 3) ** 0.5, False
        )
        self.shape = FeatureShape(n_steps, shape.sources, len(bands))
        self.norm = nn.BatchNorm1d(shape.sources * len(bands), affine=False)

    share: Tensor
    taper: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Return standardised log power (B, S, N, K) of (B, P, N, D)."""
        waves = rearrange(features.float(), "b p n d -> b n (p d)")
        # What does not fill a step is left out at the begin, furthest from the volume.
        waves = waves[..., waves.shape[-1] - self.shape.frames * self.n_times :]
        waves = rearrange(waves, "b n (s t) -> b s n t", t=self.n_times)
        spectrum = torch.fft.rfft(waves * self.taper).abs().square()
        power = torch.log(spectrum @ self.share + FLOOR)
        flat = rearrange(power, "b s n k -> (b s) (n k)")
        if self.training and len(flat) < 2:
            return power
        return rearrange(
            self.norm(flat), "(b s) (n k) -> b s n k", b=len(power), n=self.shape.sources
        )
