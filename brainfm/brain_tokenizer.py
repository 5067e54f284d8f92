"""Tokenizer of EEG and MEG from any device (BrainOmni, arXiv:2505.18185, section 3).

The sensors of a window become a fixed number of latent sources; the sources are quantized; a
decoder and the sensors' embeddings bring the waveforms back. Sensors are a set: their order and
number are free. Two architectures:

- ``brainfm``: sources are a linear function of the sensors (:mod:`brainfm.lead_field`), then
  encoded frame by frame (:mod:`brainfm.frame_network`);
- ``brainomni``, as published: each sensor is encoded by itself (:mod:`brainfm.seanet`), then
  attention gathers the sensors into sources (:mod:`brainfm.sensor_attention`).

Shapes: B batch, C sensors, T samples, W windows, L samples a window, P latent frames a window,
N sources, D width, H heads, Q quantizers.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from brainfm.code_times import n_windows
from brainfm.frame_network import FrameDecoder, FrameEncoder
from brainfm.lead_field import LeadField
from brainfm.quantizers import Quantized, QuantizerConfig, build_quantizer
from brainfm.seanet import SEANetDecoder, SEANetEncoder
from brainfm.seanet_layers import Past
from brainfm.sensor_attention import SensorAttention, SourceAttention
from brainfm.sensor_embedding import SensorEmbedding
from brainfm.sensors import ELECTROMAGNETIC, SENSOR_TYPES


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Architecture of the tokenizer. Defaults are the published sizes (5 M parameters).

    Parameters
    ----------
    architecture
        "brainfm": sensors to sources by a lead field, then frames. "brainomni": as published, every
        sensor through a convolutional network, then attention.
    sfreq
        Sampling rate of the input, Hz.
    window
        L, samples of a window that is encoded by itself; a multiple of the product of ``ratios``.
    overlap
        Share of a window that the next one covers again, in [0, 1).
    ratios
        Their product is the samples of a latent frame. "brainomni": strides of the decoder, latent
        to waveform; the encoder uses them in reverse.
    width
        D, size of a latent vector.
    n_sources
        N, latent sources.
    depth
        Of "brainfm": residual blocks over frames in each direction.
    n_filters
        Of "brainomni": features after the first convolution; each stride doubles them.
    kernel_size, last_kernel_size
        Of "brainomni": kernels of the first (samples) and the last (frames) convolution.
    n_heads
        Of "brainomni": heads of both attentions over sensors.
    lstm_layers
        Of "brainomni": layers of the recurrence over latent frames.
    quantizer
        The codebooks.
    types
        Row of the type embedding for every sensor type the model takes.
    position_scale
        Metres that one unit of the network's position input stands for.
    fourier_bands
        Octaves of sines and cosines of the position; 0 as published.
    name_sources
        Of "brainomni": give every source a learned key of its own in the decoder; False as
        published.
    causal
        Let no code depend on samples after its own frame: windows follow each other as one signal
        and convolutions look back only (:mod:`brainfm.tokenizer_stream`); False as published.
    recompute
        Of "brainomni", activation checkpointing: let training compute the activations of encoder
        and decoder again in the backward pass instead of keeping them, a third more work for memory
        that hardly grows with the channels. None: only on a CPU and only where they are large.
        Changes no result.
    """

    architecture: Literal["brainfm", "brainomni"] = "brainfm"
    sfreq: float = 256.0
    window: int = 512
    overlap: float = 0.0
    ratios: tuple[int, ...] = (8, 4, 2)
    width: int = 256
    n_sources: int = 16
    depth: int = 4
    n_filters: int = 32
    kernel_size: int = 5
    last_kernel_size: int = 5
    n_heads: int = 4
    lstm_layers: int = 2
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    types: dict[str, int] = field(
        default_factory=lambda: {name: SENSOR_TYPES[name].code for name in ELECTROMAGNETIC}
    )
    position_scale: float = 0.1
    fourier_bands: int = 4
    name_sources: bool = True
    causal: bool = False
    recompute: bool | None = None

    def __post_init__(self) -> None:
        if self.architecture not in ("brainfm", "brainomni"):
            raise ValueError(
                f"architecture must be 'brainfm' or 'brainomni', got {self.architecture!r}"
            )
        if self.depth < 0:
            raise ValueError(f"depth must be at least 0, got {self.depth}")
        if self.window % self.hop:
            raise ValueError(
                f"window ({self.window} samples) must be a multiple of the product of ratios "
                f"{self.ratios} = {self.hop}"
            )
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must lie in [0, 1), got {self.overlap}")
        if self.causal and self.overlap:
            raise ValueError(f"overlap must be 0 if causal, got {self.overlap}")
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


class BrainTokenizer(nn.Module):
    """Windows of any sensor array to codes and back.

    The input is standardised (:mod:`brainfm.scaling`), ``cfg.sfreq`` samples a second.
    """

    def __init__(self, cfg: TokenizerConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.sensor_embedding = SensorEmbedding(
            cfg.width,
            cfg.types,
            position_scale=cfg.position_scale,
            fourier_bands=cfg.fourier_bands,
        )
        self.quantizer = build_quantizer(cfg.quantizer, cfg.width)
        self.gather: LeadField | SourceAttention
        self.encoder: FrameEncoder | SEANetEncoder
        self.decoder: FrameDecoder | SEANetDecoder
        if cfg.architecture == "brainfm":
            shape: dict[str, Any] = {
                "hop": cfg.hop,
                "width": cfg.width,
                "depth": cfg.depth,
                "sfreq": cfg.sfreq,
                "causal": cfg.causal,
            }
            self.gather = LeadField(cfg.width, cfg.n_sources)
            self.encoder, self.decoder = FrameEncoder(**shape), FrameDecoder(**shape)
            return
        sizes: dict[str, Any] = {
            "n_filters": cfg.n_filters,
            "ratios": cfg.ratios,
            "kernel_size": cfg.kernel_size,
            "last_kernel_size": cfg.last_kernel_size,
            "width": cfg.width,
            "lstm_layers": cfg.lstm_layers,
            "causal": cfg.causal,
            "recompute": cfg.recompute,
        }
        self.encoder = SEANetEncoder(**sizes)
        self.gather = SourceAttention(cfg.width, cfg.n_sources, cfg.n_heads)
        self.spread = SensorAttention(
            cfg.width, cfg.n_sources, cfg.n_heads, name_sources=cfg.name_sources
        )
        self.decoder = SEANetDecoder(**sizes)

    def embed_sensors(
        self, positions: Tensor, orientations: Tensor, types: Tensor, mask: Tensor
    ) -> Sensors:
        """Embed the sensors of a batch; see :class:`brainfm.sensor_embedding.SensorEmbedding`."""
        return Sensors(self.sensor_embedding(positions, orientations, types), mask)

    def encode(self, windows: Tensor, sensors: Sensors, past: Past | None = None) -> Tensor:
        """Map windows (B, C, W, L) to latents (B, N, W * P, D) no longer than one.

        Causal, windows are one signal; ``past`` is what a call leaves for the one after it, an
        empty dictionary at the beginning.
        """
        n_batch, n_windows = windows.shape[0], windows.shape[2]
        if isinstance(self.gather, LeadField):
            sources = self.gather.gather(rearrange(windows, "b c w l -> b c (w l)"), *sensors)
            windows = rearrange(sources, "b n (w l) -> b n w l", w=n_windows)
        z = self.encoder(self._rows(windows), past)
        z = rearrange(z, "(b r w) p d -> b r (w p) d", b=n_batch, r=windows.shape[1])
        if isinstance(self.gather, LeadField):
            return z
        return F.normalize(self.gather(z, *sensors), dim=-1)

    def decode(self, z: Tensor, sensors: Sensors, past: Past | None = None) -> Tensor:
        """Map quantized latents (B, N, W * P, D) to windows (B, C, W, L); ``past`` as above."""
        frames = z if isinstance(self.gather, LeadField) else self.spread(z, sensors.embedding)
        n_batch, n_rows, n_frames = frames.shape[:3]
        per_row = n_frames if self.cfg.causal else self.cfg.frames_per_window
        x = self.decoder(rearrange(frames, "b r (w p) d -> (b r w) p d", p=per_row), past)
        if isinstance(self.gather, LeadField):
            x = self.gather.spread(x.reshape(n_batch, n_rows, -1), sensors.embedding)
        length = min(self.cfg.window, n_frames * self.cfg.hop)
        return x.reshape(n_batch, sensors.embedding.shape[1], -1, length)

    def _rows(self, windows: Tensor) -> Tensor:
        """Return what the encoder takes for a signal of its own, (R, T)."""
        if self.cfg.causal:
            return rearrange(windows, "b c w l -> (b c) (w l)")
        return rearrange(windows, "b c w l -> (b c w) l")

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
        quantized = self.quantizer(z) if quantize else self.quantizer.skip(z)
        return Reconstruction(self.decode(quantized.values, wanted), quantized, z)
