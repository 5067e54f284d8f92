"""The tokenizer written down directly, as its description reads: what the fast one is measured by.

The same weights and the same function as :class:`brainfm.brain_tokenizer.BrainTokenizer` (not
causal). Sensor embeddings are repeated for every latent frame, weight norm is computed at every
call, padding is a layer of its own, features stand before time, autograd keeps what it wants.
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from brainfm.brain_tokenizer import BrainTokenizer
from brainfm.seanet_layers import Conv, Numbered, ResidualBlock, SkipLSTM, TransposedConv


def weight_of(conv: Any) -> Tensor:
    parts = conv.parametrizations.weight
    direction = parts.original1
    return parts.original0 * direction / direction.norm(dim=(1, 2), keepdim=True)


def convolve(layer: Conv, x: Tensor) -> Tensor:
    total = layer.kernel - layer.stride
    x = F.elu(x) if layer.elu else x
    if total:
        right = total // 2
        x = F.pad(x, (total - right, right), mode="reflect")
    return F.conv1d(x, weight_of(layer.conv), layer.conv.bias, layer.stride)


def upsample(layer: TransposedConv, x: Tensor) -> Tensor:
    y = F.conv_transpose1d(F.elu(x), weight_of(layer.conv), layer.conv.bias, layer.stride)
    right = layer.overhang // 2
    return y[..., layer.overhang - right : y.shape[-1] - right]


def apply_layers(layers: Any, x: Tensor) -> Tensor:
    """Map (R, F, T) to (R, F', T')."""
    for layer in layers:
        if isinstance(layer, Conv):
            x = convolve(layer, x)
        elif isinstance(layer, TransposedConv):
            x = upsample(layer, x)
        elif isinstance(layer, ResidualBlock):
            inner = convolve(layer.widen, convolve(layer.narrow, x))
            x = convolve(layer.shortcut, x) + inner
        elif isinstance(layer, SkipLSTM):
            frames = x.permute(2, 0, 1)
            x = (layer.lstm(frames)[0] + frames).permute(1, 2, 0)
        else:
            assert isinstance(layer, Numbered)
    return x


def attend(q: Tensor, k: Tensor, v: Tensor, n_heads: int) -> Tensor:
    """Attention of (R, N, D) to (R, M, D)."""
    q, k, v = (rearrange(t, "r n (h d) -> r h n d", h=n_heads) for t in (q, k, v))
    return rearrange(F.scaled_dot_product_attention(q, k, v), "r h n d -> r n (h d)")


def run_plain(ours: BrainTokenizer, windows: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstruct windows (B, C, W, L) with ``ours``' weights; also return the commitment loss."""
    b, c, w, _ = windows.shape
    gather, spread = ours.gather, ours.spread
    x = rearrange(windows, "b c w l -> (b c w) 1 l")
    z = rearrange(apply_layers(ours.encoder.layers, x), "(b c w) d p -> (b w p) c d", b=b, c=c, w=w)
    frames = z.shape[0] // b
    e = repeat(embedding, "b c d -> (b f) c d", f=frames).contiguous()
    queries = repeat(gather.queries, "n d -> r n d", r=len(z)).contiguous()
    sources = gather.out(attend(queries, gather.key(z + e), gather.value(z), gather.n_heads))
    quantized = ours.quantizer(F.normalize(sources, dim=-1))
    key, value = spread.key_value(quantized.values).chunk(2, dim=-1)
    if spread.source_keys is not None:
        key = key + spread.source_keys
    y = spread.out(attend(e, key, value, spread.n_heads))
    rows = rearrange(y, "(b w p) c d -> (b c w) d p", b=b, w=w)
    waveform = apply_layers(ours.decoder.layers, rows)
    return rearrange(waveform, "(b c w) 1 l -> b c w l", b=b, c=c), quantized.commitment


def check_same_function(ours: BrainTokenizer, windows: Tensor, sensors: Any) -> float:
    """Return the largest difference of the two reconstructions, in units of the largest value."""
    with torch.no_grad():
        expected = ours(windows, sensors, sensors).waveform
        found, _ = run_plain(ours, windows, sensors.embedding)
    return float((found - expected).abs().max() / expected.abs().max())
