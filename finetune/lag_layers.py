"""From what a brain does, frame by frame, to the BOLD of the volume after it.

A trial's frames lie before its volume. Each is as much seconds before it as the response to it has
lasted, so a response is a weight for every frame.

Shapes: B trials, P frames, R regions, A functions of a basis, F features of a frame, E key width.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from einops import einsum, rearrange
from torch import Tensor, nn

from brainfm.hrf import ResponseConfig, response_basis
from brainfm.sensors import FloatArray

Window = tuple[float, float]
"""Begin and end of what a trial sees, seconds from its volume; both 0 or less."""
RESPONSE_S = 32.0
"""Seconds after which the canonical response is over."""
FINE = 20.0
"""Samples per second, at least, at which responses are computed before they are put into frames."""
LAGS = tuple(np.arange(-2.0, 6.01, 0.05).round(2).tolist())
"""Candidates in s for what :func:`lags_of` finds."""


@dataclass(frozen=True, kw_only=True)
class LagConfig:
    """What a response is made of.

    Parameters
    ----------
    kind
        ``canonical``: the double gamma and its derivatives, weighted for each region; ``fir``: a
        weight for every stretch of ``width`` s up to ``length`` s, for each region; ``query``:
        attention of each region over frames, by their features and their places.
    derivatives
        Of the canonical one: 0 none, 1 by time, 2 by dispersion too.
    length, width
        Of ``fir``, in s.
    key_width
        Of ``query``: size of the keys that a region's query is compared with.
    """

    kind: Literal["canonical", "fir", "query"] = "canonical"
    derivatives: int = 2
    length: float = 20.0
    width: float = 2.0
    key_width: int = 16

    def __post_init__(self) -> None:
        if self.kind not in ("canonical", "fir", "query"):
            raise ValueError(f"lag kind must be canonical, fir or query, got {self.kind!r}")
        if self.key_width < 1:
            raise ValueError(f"key_width must be at least 1, got {self.key_width}")
        self.response  # noqa: B018  # its own rules

    @property
    def response(self) -> ResponseConfig:
        """Return the functions of ``canonical`` and ``fir``."""
        if self.kind == "fir":
            return ResponseConfig(kind="fir", length=self.length, width=self.width)
        return ResponseConfig(derivatives=self.derivatives, length=RESPONSE_S)


def in_frames(responses: FloatArray, rate: float, window: Window, n_frames: int) -> FloatArray:
    """Return what frames weigh, (A, P), for responses (A, K) at ``rate`` Hz from lag 0 on.

    A frame's weight is the response's sum over the lags that it covers; the last frame is the one
    right before the volume.
    """
    # The sum up to any lag, on straight lines between samples.
    total = np.concatenate([np.zeros((len(responses), 1)), responses.cumsum(axis=1)], axis=1)
    lags = -np.linspace(*window, n_frames + 1)
    known = np.arange(total.shape[1]) / rate
    until = np.stack([np.interp(lags, known, row) for row in total])
    return np.asarray(until[:, :-1] - until[:, 1:])


def basis_in_frames(config: ResponseConfig, window: Window, n_frames: int) -> FloatArray:
    """Return the functions of a response as weights of frames, (A, P).

    Raises
    ------
    ValueError
        The window begins after the response is over, or ends after the volume.
    """
    if window[1] > 0 or window[0] >= window[1]:
        raise ValueError(f"a window (begin, end) must lie before its volume, got {window} s")
    rate = max(FINE, np.ceil(n_frames / (window[1] - window[0])))
    weights = in_frames(response_basis(rate, config), rate, window, n_frames)
    # Boxes that end before the window begins, seen from the volume, weigh nothing.
    kept = np.abs(weights).sum(axis=1) > 1e-6
    if not kept[0]:
        raise ValueError(f"a window of {window} s holds nothing of a response of {config.length} s")
    return np.asarray(weights[kept])


def lags_of(weights: FloatArray, basis: FloatArray, window: Window) -> FloatArray:
    """Return by how many s the responses of regions are later than the canonical one, (R,).

    The delay at which the canonical response, as far as the basis can form it, is most like the
    region's in the frames there are.

    Parameters
    ----------
    weights
        (R, A) of each region.
    basis
        (A, P) of :func:`basis_in_frames`.
    window
        What frames cover.
    """
    one = response_basis(FINE, ResponseConfig(derivatives=0, length=RESPONSE_S))[0]
    times = np.arange(round((RESPONSE_S + max(LAGS)) * FINE)) / FINE
    late = np.stack(
        [np.interp(times - lag, np.arange(len(one)) / FINE, one, left=0, right=0) for lag in LAGS]
    )
    candidates = in_frames(late, FINE, window, basis.shape[1])
    formed = candidates @ np.linalg.pinv(basis) @ basis
    formed /= np.linalg.norm(formed, axis=1, keepdims=True).clip(1e-12)
    likeness = np.abs((weights @ basis) @ formed.T)
    return np.array(LAGS)[likeness.argmax(axis=1)]


class Response(nn.Module):
    """Weights of a basis for each region; they start as the canonical response.

    Parameters
    ----------
    config
        What it is made of.
    window
        What frames cover.
    n_frames, n_regions
        P and R.
    """

    basis: Tensor

    def __init__(self, config: LagConfig, window: Window, n_frames: int, n_regions: int) -> None:
        super().__init__()
        basis = basis_in_frames(config.response, window, n_frames)
        canonical = ResponseConfig(derivatives=0, length=RESPONSE_S)
        start = basis_in_frames(canonical, window, n_frames)[0] @ np.linalg.pinv(basis)
        self.register_buffer("basis", torch.as_tensor(basis, dtype=torch.float32), persistent=False)
        first = torch.as_tensor(start, dtype=torch.float32)
        self.weight = nn.Parameter(first.repeat(n_regions, 1))

    def forward(self, drive: Tensor, features: Tensor) -> Tensor:
        """Return BOLD (B, R) of a drive (B, P, R); ``features`` do not count."""
        return einsum(drive, self.weight, self.basis, "b p r, r a, a p -> b r")


class Query(nn.Module):
    """Attention of each region over frames.

    Parameters
    ----------
    n_features
        F.
    n_frames, n_regions
        P and R.
    width
        E.
    """

    def __init__(self, n_features: int, n_frames: int, n_regions: int, width: int) -> None:
        super().__init__()
        self.key = nn.Linear(n_features, width)
        self.place = nn.Parameter(torch.zeros(n_frames, width))
        self.query = nn.Parameter(torch.randn(n_regions, width) / width**0.5)

    def forward(self, drive: Tensor, features: Tensor) -> Tensor:
        """Return BOLD (B, R) of a drive (B, P, R) and features (B, P, N, D)."""
        keys = self.key(rearrange(features, "b p n d -> b p (n d)")) + self.place
        weight = einsum(keys, self.query, "b p e, r e -> b p r").softmax(dim=1)
        return (weight * drive).sum(1)
