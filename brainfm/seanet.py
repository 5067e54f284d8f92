"""SEANet convolutional encoder and decoder (Défossez et al. 2022, EnCodec, arXiv:2210.13438).

One waveform at a time: what mixes channels stands in :mod:`brainfm.brain_tokenizer`.

Shapes: R rows (batch x channels x windows), F features, T samples, P latent frames, D width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from torch.utils.checkpoint import checkpoint

from brainfm.seanet_layers import Conv, Numbered, Past, ResidualBlock, SkipLSTM, TransposedConv

SAMPLES_AT_ONCE = {"cpu": 2**16, "cuda": 2**22}
"""Rows x samples of waveform whose layers are computed together: bounds memory."""

BYTES_PER_SAMPLE = 34
"""Of activations that one direction keeps for a backward pass, per sample and filter (float32)."""

KEPT_BYTES = 128e6
"""Activations that a CPU keeps at most in one direction if nothing else is asked for."""


class LayerStack(nn.Module):
    """Layers on rows that do not know of each other, some rows at a time.

    Parameters
    ----------
    layers
        Modules of ``(x, past)``.
    step
        Samples of waveform that a time step of the input stands for.
    n_filters
        Features at the rate of the waveform, by which activations are estimated.
    recompute
        Keep no activation for the backward pass but the input's and compute the others again
        (activation checkpointing): a third more work, and memory that hardly grows with the rows.
        None does so on a CPU where more than :data:`KEPT_BYTES` would be kept.
    """

    def __init__(
        self, layers: Sequence[nn.Module], *, step: int, n_filters: int, recompute: bool | None
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.step = step
        self.sample_bytes = BYTES_PER_SAMPLE * n_filters
        self.recompute = recompute

    def run(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Apply the layers to (R, T, F)."""
        device, row = x.device.type, x.shape[1] * self.step
        again = self.recompute
        if again is None:
            again = device == "cpu" and len(x) * row * self.sample_bytes > KEPT_BYTES
        if past is not None or (torch.is_grad_enabled() and not again):
            return self._apply_layers(x, past)
        n_rows = max(1, SAMPLES_AT_ONCE.get(device, 2**20) // row)
        # Groups of nearly the same size: a small last one would waste the threads.
        groups = x.chunk(-(-len(x) // n_rows)) if len(x) else (x,)
        if torch.is_grad_enabled():
            pieces = [checkpoint(self._apply_layers, g, use_reentrant=False) for g in groups]
        else:
            pieces = [self._apply_layers(g) for g in groups]
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def _apply_layers(self, x: Tensor, past: Past | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, past)
        return x


class SEANetEncoder(LayerStack):
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
    causal
        Let no output depend on later inputs.
    recompute
        See :class:`LayerStack`.
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
        causal: bool = False,
        recompute: bool | None = None,
    ) -> None:
        layers: list[nn.Module] = [Conv(1, n_filters, kernel_size, causal=causal)]
        dim = n_filters
        for ratio in reversed(ratios):
            down = Conv(dim, 2 * dim, 2 * ratio, stride=ratio, elu=True, causal=causal)
            layers += [ResidualBlock(dim, causal=causal), Numbered(), down]
            dim *= 2
        last = Conv(dim, width, last_kernel_size, elu=True, causal=causal)
        layers += [SkipLSTM(dim, lstm_layers, causal=causal), Numbered(), last]
        super().__init__(layers, step=1, n_filters=n_filters, recompute=recompute)
        self.hop = math.prod(ratios)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, T) to (R, P, D)."""
        return self.run(x.unsqueeze(2), past)


class SEANetDecoder(LayerStack):
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
        causal: bool = False,
        recompute: bool | None = None,
    ) -> None:
        dim = n_filters * 2 ** len(ratios)
        layers: list[nn.Module] = [
            Conv(width, dim, kernel_size, causal=causal),
            SkipLSTM(dim, lstm_layers, causal=causal),
        ]
        for ratio in ratios:
            up = TransposedConv(dim, dim // 2, 2 * ratio, stride=ratio, causal=causal)
            layers += [Numbered(), up, ResidualBlock(dim // 2, causal=causal)]
            dim //= 2
        layers += [Numbered(), Conv(dim, 1, last_kernel_size, elu=True, causal=causal)]
        hop = math.prod(ratios)
        super().__init__(layers, step=hop, n_filters=n_filters, recompute=recompute)

    def forward(self, z: Tensor, past: Past | None = None) -> Tensor:
        """Map (R, P, D) to (R, P * prod(ratios))."""
        return self.run(z, past).squeeze(2)


def fold_weight_norm(module: nn.Module) -> nn.Module:
    """Bake every weight norm below ``module`` into plain weights, in place, for inference."""
    for child in module.modules():
        if is_parametrized(child, "weight"):
            remove_parametrizations(child, "weight")
    return module
