"""Tokenizer of EEG and MEG from any device (BrainOmni, arXiv:2505.18185, section 3).

A window of every sensor is encoded by itself; attention gathers the sensors into a fixed number of
latent sources; the sources are quantized; attention from the sensors' embeddings and a decoder
bring the waveforms back. Sensors are a set: their order and number are free.

Shapes: B batch, C sensors, T samples, W windows, L samples a window, P latent frames a window,
N sources, D width, H heads, Q quantizers.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from brainfm.code_times import n_windows
from brainfm.quantizers import Quantized, QuantizerConfig, ResidualQuantizer
from brainfm.seanet import SEANetDecoder, SEANetEncoder
from brainfm.sensor_embedding import SensorEmbedding
from brainfm.sensors import SENSOR_TYPES


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Architecture of the tokenizer. Defaults are the published sizes (5 M parameters).

    Parameters
    ----------
    sfreq
        Sampling rate of the input, Hz.
    window
        L, samples of a window that is encoded by itself; a multiple of the product of ``ratios``.
    overlap
        Share of a window that the next one covers again, in [0, 1).
    n_filters
        Features after the first convolution; each stride doubles them.
    ratios
        Strides of the decoder, latent to waveform; the encoder uses them in reverse.
    kernel_size, last_kernel_size
        Kernels of the first (samples) and the last (frames) convolution.
    width
        D, size of a latent vector.
    n_sources
        N, latent sources.
    n_heads
        H, heads of both attentions over sensors.
    lstm_layers
        Layers of the recurrence over latent frames.
    quantizer
        The codebooks.
    types
        Row of the type embedding for every sensor type the model takes.
    position_scale
        Metres that one unit of the network's position input stands for.
    fourier_bands
        Octaves of sines and cosines of the position; 0 as published.
    name_sources
        Give every source a learned key of its own in the decoder; False as published.
    """

    sfreq: float = 256.0
    window: int = 512
    overlap: float = 0.0
    n_filters: int = 32
    ratios: tuple[int, ...] = (8, 4, 2)
    kernel_size: int = 5
    last_kernel_size: int = 5
    width: int = 256
    n_sources: int = 16
    n_heads: int = 4
    lstm_layers: int = 2
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    types: dict[str, int] = field(
        default_factory=lambda: {name: kind.code for name, kind in SENSOR_TYPES.items()}
    )
    position_scale: float = 0.1
    fourier_bands: int = 4
    name_sources: bool = True

    def __post_init__(self) -> None:
        if self.window % self.hop:
            raise ValueError(
                f"window ({self.window} samples) must be a multiple of the product of ratios "
                f"{self.ratios} = {self.hop}"
            )
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must lie in [0, 1), got {self.overlap}")
        if self.width % self.n_heads:
            raise ValueError(f"width ({self.width}) must be a multiple of n_heads ({self.n_heads})")
        unknown = sorted(set(self.types) - set(SENSOR_TYPES))
        if unknown or not self.types:
            raise ValueError(f"types must name some of {list(SENSOR_TYPES)}, got {self.types}")

    @property
    def hop(self) -> int:
        """Samples of one latent frame."""
        return math.prod(self.ratios)

    @property
    def stride(self) -> int:
        """Samples from one window to the next."""
        return int(self.window * (1 - self.overlap))

    @property
    def frames_per_window(self) -> int:
        """P."""
        return self.window // self.hop


class Sensors(NamedTuple):
    """Sensors of a batch: embedding (B, C, D) and mask (B, C), true where there is a sensor."""

    embedding: Tensor
    mask: Tensor


class Reconstruction(NamedTuple):
    """What a forward pass gives: waveforms (B, C, W, L), quantized latents, latents before."""

    waveform: Tensor
    quantized: Quantized
    latents: Tensor


def cut_windows(x: Tensor, length: int, stride: int) -> Tensor:
    """Cut (B, C, T) into (B, C, W, length) every ``stride`` samples, zeros after the end."""
    missing = (n_windows(x.shape[-1], length, stride) - 1) * stride + length - x.shape[-1]
    return F.pad(x, (0, missing)).unfold(-1, length, stride)


def linear(n_in: int, n_out: int, *, input_rms: float = 1.0) -> nn.Linear:
    """Return a linear layer that starts with unit variance out for ``input_rms`` in."""
    layer = nn.Linear(n_in, n_out)
    nn.init.normal_(layer.weight, std=n_in**-0.5 / input_rms)
    nn.init.zeros_(layer.bias)
    return layer


class SourceAttention(nn.Module):
    """Gather sensors into latent sources: attention with N learned queries, frame by frame."""

    def __init__(self, width: int, n_sources: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.queries = nn.Parameter(torch.randn(n_sources, width))
        self.key = linear(width, width)
        self.value = linear(width, width)
        self.out = linear(width, width)

    def forward(self, z: Tensor, sensors: Tensor, mask: Tensor) -> Tensor:
        """Map latents (B, C, F, D) of F frames and sensor embeddings to (B, N, F, D)."""
        n_frames = z.shape[2]
        # Linear is additive: the sensors' share of the keys is the same in every frame.
        key = self.key(z) + F.linear(sensors, self.key.weight).unsqueeze(2)
        heads = {"h": self.n_heads}
        q_BHND = repeat(self.queries, "n (h d) -> b h n d", b=z.shape[0] * n_frames, **heads)
        k_BHCD = rearrange(key, "b c f (h d) -> (b f) h c d", **heads)
        v_BHCD = rearrange(self.value(z), "b c f (h d) -> (b f) h c d", **heads)
        allowed = repeat(mask, "b c -> (b f) 1 1 c", f=n_frames)
        y = F.scaled_dot_product_attention(q_BHND, k_BHCD, v_BHCD, attn_mask=allowed)
        return self.out(rearrange(y, "(b f) h n d -> b n f (h d)", f=n_frames))


class SensorAttention(nn.Module):
    """Spread latent sources over sensors: attention with the sensors' embeddings as queries.

    With ``name_sources`` a learned vector per source is added to its keys, so that a sensor can
    listen to a source for what it is and not only for what it says. As published, without: then
    every sensor starts with nearly the same mixture, a plateau that training has to leave first.
    """

    def __init__(self, width: int, n_sources: int, n_heads: int, *, name_sources: bool) -> None:
        super().__init__()
        self.n_heads = n_heads
        # Quantized latents have about unit length: each of their D numbers is about D ** -0.5.
        self.key_value = linear(width, 2 * width, input_rms=width**-0.5)
        self.out = linear(width, width)
        self.source_keys = nn.Parameter(torch.randn(n_sources, width)) if name_sources else None

    def forward(self, z: Tensor, sensors: Tensor) -> Tensor:
        """Map sources (B, N, F, D) and sensor embeddings (B, C, D) to (B, C, F, D)."""
        n_frames = z.shape[2]
        heads = {"h": self.n_heads}
        q_BHCD = repeat(sensors, "b c (h d) -> (b f) h c d", f=n_frames, **heads)
        k_BHND, v_BHND = rearrange(
            self.key_value(z), "b n f (two h d) -> two (b f) h n d", two=2, **heads
        )
        if self.source_keys is not None:
            k_BHND = k_BHND + rearrange(self.source_keys, "n (h d) -> h n d", **heads)
        y = F.scaled_dot_product_attention(q_BHCD, k_BHND, v_BHND)
        return self.out(rearrange(y, "(b f) h c d -> b c f (h d)", f=n_frames))


class BrainTokenizer(nn.Module):
    """Windows of any sensor array to codes and back.

    The input is standardised (:mod:`brainfm.scaling`), ``cfg.sfreq`` samples a second.
    """

    def __init__(self, cfg: TokenizerConfig) -> None:
        super().__init__()
        self.cfg = cfg
        sizes: dict[str, Any] = {
            "n_filters": cfg.n_filters,
            "ratios": cfg.ratios,
            "kernel_size": cfg.kernel_size,
            "last_kernel_size": cfg.last_kernel_size,
            "width": cfg.width,
            "lstm_layers": cfg.lstm_layers,
        }
        self.sensor_embedding = SensorEmbedding(
            cfg.width,
            cfg.types,
            position_scale=cfg.position_scale,
            fourier_bands=cfg.fourier_bands,
        )
        self.encoder = SEANetEncoder(**sizes)
        self.gather = SourceAttention(cfg.width, cfg.n_sources, cfg.n_heads)
        self.quantizer = ResidualQuantizer(cfg.quantizer, cfg.width)
        self.spread = SensorAttention(
            cfg.width, cfg.n_sources, cfg.n_heads, name_sources=cfg.name_sources
        )
        self.decoder = SEANetDecoder(**sizes)

    def embed_sensors(
        self, positions: Tensor, orientations: Tensor, types: Tensor, mask: Tensor
    ) -> Sensors:
        """Embed the sensors of a batch; see :class:`brainfm.sensor_embedding.SensorEmbedding`."""
        return Sensors(self.sensor_embedding(positions, orientations, types), mask)

    def encode(self, windows: Tensor, sensors: Sensors) -> Tensor:
        """Map windows (B, C, W, L) to unit-length latents (B, N, W * P, D)."""
        n_batch, n_sensors = windows.shape[:2]
        z = self.encoder(rearrange(windows, "b c w l -> (b c w) l"))
        z = rearrange(z, "(b c w) p d -> b c (w p) d", b=n_batch, c=n_sensors)
        return F.normalize(self.gather(z, *sensors), dim=-1)

    def decode(self, z: Tensor, sensors: Sensors) -> Tensor:
        """Map quantized latents (B, N, W * P, D) to windows (B, C, W, L)."""
        frames = self.spread(z, sensors.embedding)
        n_batch, n_sensors = frames.shape[:2]
        rows = rearrange(frames, "b c (w p) d -> (b c w) p d", p=self.cfg.frames_per_window)
        return rearrange(self.decoder(rows), "(b c w) l -> b c w l", b=n_batch, c=n_sensors)

    def cut(self, x: Tensor, overlap: float | None = None) -> Tensor:
        """Cut standardised signals (B, C, T) into windows (B, C, W, L)."""
        share = self.cfg.overlap if overlap is None else overlap
        return cut_windows(x, self.cfg.window, int(self.cfg.window * (1 - share)))

    @torch.no_grad()
    def tokenize(self, x: Tensor, sensors: Sensors, overlap: float | None = None) -> Tensor:
        """Return the codes (B, N, W * P, Q) of standardised signals (B, C, T)."""
        return self.quantizer(self.encode(self.cut(x, overlap), sensors)).codes

    def forward(
        self, windows: Tensor, seen: Sensors, wanted: Sensors, *, quantize: bool = True
    ) -> Reconstruction:
        """Encode the sensors in ``seen.mask`` and reconstruct every sensor of ``wanted``.

        Parameters
        ----------
        windows
            (B, C, W, L) standardised signals of the sensors in ``seen``.
        seen, wanted
            Sensors that are encoded and sensors that are reconstructed; often the same array with
            some channels hidden from the encoder.
        quantize
            False lets the latents pass as they are (the first steps of training).
        """
        z = self.encode(windows, seen)
        if quantize:
            quantized = self.quantizer(z)
        else:
            no_codes = torch.zeros(*z.shape[:-1], 0, dtype=torch.long, device=z.device)
            quantized = Quantized(z, no_codes, z.new_zeros(()))
        return Reconstruction(self.decode(quantized.values, wanted), quantized, z)
