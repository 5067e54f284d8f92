"""Waveforms of latent sources to latent frames and back.

Both directions start as a cosine transform of each frame and its inverse, so that signals pass from
the first step on, fast rhythms too, and learn what neighbouring frames and more than linear maps
add. A frame costs a few matrix products whatever the sampling rate; there is no layer at the rate
of the waveform.

Shapes: R rows (batch x sources x windows), T samples, P latent frames, H samples of a frame,
D width.
"""

from einops import rearrange
from torch import Tensor, nn

from brainfm.frame_layers import FrameBlock, FrameLinear, cosines, emphasis
from brainfm.seanet_layers import Past

KNEE = 4.0
"""Length of a latent at which it is compressed to about 0.7 of the largest length."""
LEAST_ROOM = 0.05
"""Of one minus a latent's squared length: bounds what a code near the edge can stand for."""


def compress(z: Tensor) -> Tensor:
    """Bring vectors (..., D) inside the unit ball: nearly linear below :data:`KNEE`, then slower.

    An artefact a hundred times larger than the signal would otherwise take codes for itself.
    """
    return z * (KNEE**2 + z.square().sum(-1, keepdim=True)).rsqrt()


def expand(z: Tensor) -> Tensor:
    """Undo :func:`compress`; sums of codes may lie outside of the ball and are held at its edge."""
    room = (1 - z.square().sum(-1, keepdim=True)).clamp_min(LEAST_ROOM)
    return KNEE * z * room.rsqrt()


class FrameEncoder(nn.Module):
    """Waveform (R, T) to latent frames (R, P, D) inside the unit ball.

    Parameters
    ----------
    hop
        H, samples of a frame.
    width
        D; not less than the number of cosines that are to pass.
    depth
        Residual blocks.
    sfreq
        Hz, for the emphasis of fast rhythms that it starts with.
    causal
        Let no frame depend on later samples.
    """

    def __init__(self, *, hop: int, width: int, depth: int, sfreq: float, causal: bool) -> None:
        super().__init__()
        self.hop = hop
        self.analysis = FrameLinear(hop, width, causal=causal)
        self.analysis.start_with((emphasis(hop, sfreq).unsqueeze(1) * cosines(hop))[:width])
        self.blocks = nn.ModuleList(FrameBlock(width, causal=causal) for _ in range(depth))

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, T) to (R, P, D)."""
        z = self.analysis(rearrange(x, "r (p h) -> r p h", h=self.hop), past)
        for block in self.blocks:
            z = block(z, past)
        return compress(z)


class FrameDecoder(nn.Module):
    """Latent frames (R, P, D) to waveform (R, T): the mirror of :class:`FrameEncoder`."""

    def __init__(self, *, hop: int, width: int, depth: int, sfreq: float, causal: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FrameBlock(width, causal=causal) for _ in range(depth))
        self.synthesis = FrameLinear(width, hop, causal=causal)
        inverse = (cosines(hop) / emphasis(hop, sfreq).unsqueeze(1))[:width]
        self.synthesis.start_with(inverse.T)

    def forward(self, z: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, P, D) to (R, P * H)."""
        z = expand(z)
        for block in self.blocks:
            z = block(z, past)
        return rearrange(self.synthesis(z, past), "r p h -> r (p h)")
