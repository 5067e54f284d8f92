"""SEANet convolutional encoder and decoder (Défossez et al. 2022, EnCodec, arXiv:2210.13438).

One waveform at a time: what mixes channels stands in :mod:`brainfm.brain_tokenizer`.

Shapes: R rows (batch x channels x windows), F features, T samples, P latent frames, D width.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


def pad_reflect(x: Tensor, left: int, right: int) -> Tensor:
    """Pad the last axis by reflection, also where the signal is shorter than the padding.

    EnCodec's rule for short signals: zeros are appended, the result is reflected and cut.
    """
    missing = max(left, right) + 1 - x.shape[-1]
    if missing <= 0:
        return F.pad(x, (left, right), mode="reflect")
    padded = F.pad(F.pad(x, (0, missing)), (left, right), mode="reflect")
    return padded[..., : padded.shape[-1] - missing]


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
    """Weight-normed convolution whose output has ``ceil(T / stride)`` frames.

    Padding is split between both sides, the larger half on the left (EnCodec, non-causal).
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = normed(nn.Conv1d(n_in, n_out, kernel, stride=stride), n_in * kernel)
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (R, F_in, T) to (R, F_out, ceil(T / stride))."""
        total = self.kernel - self.stride
        right = total // 2
        extra = -x.shape[-1] % self.stride
        return self.conv(pad_reflect(x, total - right, right + extra))


class TransposedConv(nn.Module):
    """Weight-normed transposed convolution whose output has ``T * stride`` samples."""

    def __init__(self, n_in: int, n_out: int, kernel: int, *, stride: int) -> None:
        super().__init__()
        # Every output sample sees kernel / stride of the kernel's taps.
        conv = nn.ConvTranspose1d(n_in, n_out, kernel, stride=stride)
        self.conv = normed(conv, n_in * kernel / stride)
        self.overhang = kernel - stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (R, F_in, T) to (R, F_out, T * stride)."""
        right = self.overhang // 2
        y = self.conv(x)
        return y[..., self.overhang - right : y.shape[-1] - right]


class ResidualBlock(nn.Module):
    """ELU - conv 3 - ELU - conv 1 through half the width, plus a 1x1 shortcut."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.narrow = Conv(dim, dim // 2, 3)
        self.widen = Conv(dim // 2, dim, 1)
        self.shortcut = Conv(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (R, F, T) to (R, F, T)."""
        return self.shortcut(x) + self.widen(F.elu(self.narrow(F.elu(x))))


class SkipLSTM(nn.Module):
    """One-way LSTM over time with a skip around it."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, num_layers=layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (R, F, P) to (R, F, P)."""
        frames_first = x.permute(2, 0, 1)
        y, _ = self.lstm(frames_first)
        return (y + frames_first).permute(1, 2, 0)


class SEANetEncoder(nn.Module):
    """Waveform (R, T) to latent frames (R, P, D) with ``P = T / prod(ratios)``.

    Parameters
    ----------
    n_filters
        Features after the first convolution; every stride doubles them.
    ratios
        Strides of the *decoder*; the encoder uses them in reverse (EnCodec's convention).
    kernel_size, last_kernel_size
        Samples of the first and frames of the last kernel.
    width
        D, features of a latent frame.
    lstm_layers
        Layers of the recurrence over latent frames.
    """

    def __init__(
        self,
        *,
        n_filters: int,
        ratios: Sequence[int],
        kernel_size: int,
        last_kernel_size: int,
        width: int,
        lstm_layers: int = 2,
    ) -> None:
        super().__init__()
        self.hop = math.prod(ratios)
        layers: list[nn.Module] = [Conv(1, n_filters, kernel_size)]
        dim = n_filters
        for ratio in reversed(ratios):
            layers += [ResidualBlock(dim), nn.ELU(), Conv(dim, 2 * dim, 2 * ratio, stride=ratio)]
            dim *= 2
        layers += [SkipLSTM(dim, lstm_layers), nn.ELU(), Conv(dim, width, last_kernel_size)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (R, T) to (R, P, D)."""
        return self.layers(x.unsqueeze(1)).transpose(1, 2)


class SEANetDecoder(nn.Module):
    """Latent frames (R, P, D) to waveform (R, T): the mirror of :class:`SEANetEncoder`."""

    def __init__(
        self,
        *,
        n_filters: int,
        ratios: Sequence[int],
        kernel_size: int,
        last_kernel_size: int,
        width: int,
        lstm_layers: int = 2,
    ) -> None:
        super().__init__()
        dim = n_filters * 2 ** len(ratios)
        layers: list[nn.Module] = [Conv(width, dim, kernel_size), SkipLSTM(dim, lstm_layers)]
        for ratio in ratios:
            layers += [nn.ELU(), TransposedConv(dim, dim // 2, 2 * ratio, stride=ratio)]
            layers += [ResidualBlock(dim // 2)]
            dim //= 2
        layers += [nn.ELU(), Conv(dim, 1, last_kernel_size)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Map (R, P, D) to (R, P * prod(ratios))."""
        return self.layers(z.transpose(1, 2)).squeeze(1)


def fold_weight_norm(module: nn.Module) -> nn.Module:
    """Bake every weight norm below ``module`` into plain weights, in place, for inference."""
    for child in module.modules():
        if torch.nn.utils.parametrize.is_parametrized(child, "weight"):
            torch.nn.utils.parametrize.remove_parametrizations(child, "weight")
    return module
