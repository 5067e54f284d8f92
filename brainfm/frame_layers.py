"""Layers on latent frames: a waveform becomes frames and back by linear maps that see neighbours.

Shapes: R rows (batch x sources x windows), P frames, F features, H samples of a frame, D width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainfm.seanet_layers import Past, behind

CENTRE_HZ = 20.0
"""Frequency that is emphasised most, between slow waves and noise."""

NEIGHBOURS = 3
"""Frames that a layer sees: one before, itself, one after; causal, itself and two before."""


def cosines(n: int) -> Tensor:
    """Return the orthonormal cosine transform (n, n) of n samples (DCT-II), slowest first."""
    k, t = torch.arange(n).unsqueeze(1), torch.arange(n) + 0.5
    table = (math.pi / n * k * t).cos() * (2 / n) ** 0.5
    table[0] /= 2**0.5
    return table


def emphasis(n: int, sfreq: float) -> Tensor:
    """Return the weight (n,) of every cosine of n samples, largest at :data:`CENTRE_HZ`.

    Codes go where latents are large. Amplitudes fall about as one over frequency, so that slow
    waves would take them all: below the centre the weight nearly makes up for that. Above it falls
    with the frequency: there are many cosines, and most of what they hold is noise.
    """
    frequency = (torch.arange(n) + 0.5) * (sfreq / 2 / n)
    rising = (frequency / CENTRE_HZ).clamp_min(0.05) ** 0.75
    return torch.minimum(rising, CENTRE_HZ / frequency) * 2**0.5


class FrameLinear(nn.Module):
    """Linear map from each frame and its neighbours, a convolution over frames.

    Parameters
    ----------
    n_in, n_out
        Features.
    causal
        See the two frames before instead of one on each side.
    """

    def __init__(self, n_in: int, n_out: int, *, causal: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(NEIGHBOURS * n_in, n_out)
        self.causal = causal
        self.own = NEIGHBOURS - 1 if causal else NEIGHBOURS // 2

    @torch.no_grad()
    def start_with(self, weight: Tensor) -> None:
        """Start as the map (n_out', n_in') of the frame itself; all other weights are zero."""
        n_in = self.linear.in_features // NEIGHBOURS
        rows, columns = weight.shape
        self.linear.weight.zero_()
        self.linear.bias.zero_()
        self.linear.weight[:rows, self.own * n_in : self.own * n_in + columns] = weight

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, P, F_in) to (R, P, F_out); before and after the frames there is zero."""
        around = (0, 0, self.own, self.own)
        x = behind(self, x, self.own, past) if self.causal else F.pad(x, around)
        n_frames = x.shape[1] - NEIGHBOURS + 1
        return self.linear(torch.cat([x[:, k : k + n_frames] for k in range(NEIGHBOURS)], dim=-1))


class FrameBlock(nn.Module):
    """Residual: neighbouring frames mixed, then a feed-forward in each."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.time_norm, self.mlp_norm = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.time = FrameLinear(width, width, causal=causal)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        # Nearly the identity, so that training starts from the cosine transform.
        for layer in (self.time.linear, self.narrow):
            nn.init.normal_(layer.weight, std=0.02 * layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, P, D) to (R, P, D)."""
        x = x + self.time(self.time_norm(x), past)
        return x + self.narrow(F.gelu(self.widen(self.mlp_norm(x))))
