"""What sources that are waveforms say of rhythms, in closed form; nothing is learned.

Both poolings take features whose frames follow each other as samples (``Pretrained`` with features
``sources``). Neither looks at phase or amplitude alone, so both carry over between people.

Shapes: B trials, P frames, N sources, D samples of a frame, T = P D samples, K frequencies.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from .backbone import FeatureShape
from .covariance_pooling import UpperTriangle, matrix_log, shrunk

Band = tuple[float, float]
"""Begin and end, as shares of the highest frequency there is, half the sampling rate."""


def check_band(band: Band) -> None:
    """Raise ValueError unless a band lies within the frequencies that there are."""
    if not 0 <= band[0] < band[1] <= 1:
        raise ValueError(
            f"a band must be (begin, end) with 0 <= begin < end <= 1, in shares of half the "
            f"sampling rate, got {band}"
        )


def bins_of(band: Band, n_times: int) -> tuple[int, int]:
    """Return first and last + 1 frequency of a band among those of ``n_times`` samples.

    The mean is none of them, nor is the highest, which has no phase.
    """
    half = n_times / 2
    begin, end = max(1, math.ceil(band[0] * half)), min(math.ceil(half), math.ceil(band[1] * half))
    if begin >= end:
        raise ValueError(
            f"band {band} holds no frequency of a trial of {n_times} samples; make it wider or "
            "the trial longer"
        )
    return begin, end


def spectra(features: Tensor, bins: tuple[int, int]) -> Tensor:
    """Return the Fourier transform (B, N, K), complex, of features (B, P, N, D).

    Its squared magnitude is the power at each frequency, for an amplitude of 1 one half.
    """
    x = rearrange(features.double(), "b p n d -> b n (p d)")
    return torch.fft.rfft(x)[..., bins[0] : bins[1]] * (math.sqrt(2) / x.shape[-1])


class CanonicalSpectrum(nn.Module):
    """Canonical correlation of the sources with every frequency of a band.

    At each frequency, the largest correlation that a weighted sum of the sources can have with a
    sinusoid of any phase (Lin et al. 2006, TBME 53:2610), the sources being limited to the band.
    No linear mixing of the sources changes it, up to the shrinkage.

    Parameters
    ----------
    shape
        Of the features.
    band
        Which frequencies.
    shrinkage
        Share of the mean variance in the covariance of the sources, in (0, 1].
    """

    def __init__(self, shape: FeatureShape, band: Band, shrinkage: float) -> None:
        super().__init__()
        self.bins, self.shrinkage = bins_of(band, shape.frames * shape.width), shrinkage
        self.n_features = self.bins[1] - self.bins[0]

    def forward(self, features: Tensor) -> Tensor:
        """Return correlations (B, K) in [0, 1] of (B, P, N, D)."""
        with torch.autocast(features.device.type, enabled=False):
            z = spectra(features, self.bins)
            covariance = shrunk((z @ z.mH).real, self.shrinkage)
            root = torch.linalg.cholesky(covariance)
            re, im = torch.linalg.solve_triangular(
                root, torch.cat([z.real, z.imag], dim=-1), upper=False
            ).chunk(2, dim=-1)
            # Largest eigenvalue of the 2 x 2 matrix of cosine and sine, the sources white.
            a, b, c = re.square().sum(1), im.square().sum(1), (re * im).sum(1)
            half = (a - b) / 2
            largest = (a + b) / 2 + (half.square() + c.square() + 1e-30).sqrt()
            # The root's slope at 0 is infinite.
            return (largest + 1e-12).sqrt().clamp(max=1.0).float()


class BandCovariance(nn.Module):
    """Logarithm of the covariance of the sources within each of some bands.

    Parameters
    ----------
    shape
        Of the features.
    bands
        Which frequencies.
    shrinkage
        Share of the mean variance in every covariance, in (0, 1].
    """

    def __init__(self, shape: FeatureShape, bands: tuple[Band, ...], shrinkage: float) -> None:
        super().__init__()
        n_times = shape.frames * shape.width
        self.bins = [bins_of(band, n_times) for band in bands]
        self.shrinkage = shrinkage
        self.upper = UpperTriangle(shape.sources)
        self.n_features = len(self.bins) * self.upper.n_features

    def forward(self, features: Tensor) -> Tensor:
        """Return upper triangles (B, bands x N (N + 1) / 2) of (B, P, N, D)."""
        with torch.autocast(features.device.type, enabled=False):
            found = []
            for bins in self.bins:
                z = spectra(features, bins)
                found.append(self.upper(matrix_log(shrunk((z @ z.mH).real, self.shrinkage))))
        return torch.cat(found, dim=-1).float()
