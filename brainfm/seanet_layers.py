"""Layers of SEANet: what convolves, resamples and remembers (EnCodec, arXiv:2210.13438).

Features lie last in memory; the ELU before a convolution is part of it
(:mod:`brainfm.time_convolution`).

Causal layers look back only. What they have to remember from one block of samples to the next
stands in ``past``, a dictionary from layer to tensor; empty at the beginning of a signal, when it
stands for silence. Layers that look ahead leave it alone.

Shapes: R rows (batch x channels x windows), F features, T samples, P latent frames.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from brainfm.time_convolution import TimeConv, TimeConvTransposed

Past = dict[nn.Module, Any]


def normed(conv: nn.Conv1d | nn.ConvTranspose1d, fan_in: float) -> nn.Module:
    """Start a convolution so that it keeps its input's variance, then weight-norm it.

    torch's default shrinks the signal in every layer; after ten of them the latents hold little but
    biases, and training starts on a plateau.
    """
    nn.init.normal_(conv.weight, std=fan_in**-0.5)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return weight_norm(conv)


class Conv(nn.Module):
    """Weight-normed convolution to ``ceil(T / stride)`` frames, after an ELU if asked.

    Padding is split between both sides, the larger half on the left (EnCodec, non-causal), and
    reflects the signal; causal, all of it is on the left and holds the samples before.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        stride: int = 1,
        elu: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.conv = normed(TimeConv(n_in, n_out, kernel, stride=stride), n_in * kernel)
        self.kernel, self.stride = kernel, stride
        self.elu, self.causal = elu, causal

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, T, F_in) to (R, ceil(T / stride), F_out); causal, T must be whole strides."""
        total = self.kernel - self.stride
        if not self.causal:
            right = total // 2
            extra = -x.shape[1] % self.stride
            return self.conv(x, (total - right, right + extra), elu=self.elu)
        if total:
            x = behind(self, x, total, past)
        return self.conv(x, elu=self.elu)


def behind(layer: nn.Module, x: Tensor, n: int, past: Past | None) -> Tensor:
    """Put the ``n`` samples before (R, T, F) in front of it and remember its last ones."""
    before = None if past is None else past.get(layer)
    if before is None:
        before = x.new_zeros(x.shape[0], n, x.shape[2])
    joined = torch.cat([before, x], dim=1)
    if past is not None:
        past[layer] = joined[:, joined.shape[1] - n :].clone()
    return joined


class TransposedConv(nn.Module):
    """ELU and weight-normed transposed convolution whose output has ``T * stride`` samples.

    Of the samples that reach over the ends, the smaller half is cut off on the right (EnCodec);
    causal, all of them: an output then hears inputs of its own time and before.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: int, *, stride: int, causal: bool = False
    ) -> None:
        super().__init__()
        # Every output sample sees kernel / stride of the kernel's taps.
        conv = TimeConvTransposed(n_in, n_out, kernel, stride=stride)
        self.conv = normed(conv, n_in * kernel / stride)
        self.overhang = kernel - stride
        self.stride = stride
        self.memory = math.ceil(self.overhang / stride) if causal else 0

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, T, F_in) to (R, T * stride, F_out)."""
        n_times = x.shape[1] * self.stride
        if self.memory:
            y = self.conv(behind(self, x, self.memory, past), elu=True)
            return y[:, self.memory * self.stride :][:, :n_times]
        trim = self.overhang // 2
        y = self.conv(x, trim, elu=True)
        return y if y.shape[1] == n_times else y[:, self.overhang - 2 * trim :]


class ResidualBlock(nn.Module):
    """ELU - conv 3 - ELU - conv 1 through half the width, plus a 1x1 shortcut."""

    def __init__(self, dim: int, *, causal: bool = False) -> None:
        super().__init__()
        self.narrow = Conv(dim, dim // 2, 3, elu=True, causal=causal)
        self.widen = Conv(dim // 2, dim, 1, elu=True)
        self.shortcut = Conv(dim, dim, 1)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, T, F) to (R, T, F)."""
        y = self.widen(self.narrow(x, past))
        return y + self.shortcut(x) if y.requires_grad else y.add_(self.shortcut(x))


class SkipLSTM(nn.Module):
    """One-way LSTM over time with a skip around it."""

    def __init__(self, dim: int, layers: int, *, causal: bool = False) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, num_layers=layers)
        self.causal = causal

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, P, F) to (R, P, F)."""
        frames_first = x.transpose(0, 1)
        if self.causal and past is not None:
            y, past[self] = self.lstm(frames_first, past.get(self))
        else:
            y, _ = self.lstm(frames_first)
        return (y + frames_first).transpose(0, 1)


class Numbered(nn.Identity):
    """Nothing, where the published layers, by whose numbers ours are named, have an ELU."""

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Return ``x``."""
        return x
