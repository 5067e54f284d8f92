"""The kinds of quantizers, behind one interface (:class:`brainfm.quantizer.Quantizer`).

With default settings each spends 4 levels x 9 bits = 36 bits on a token, 2,304 bit/s at the
published frame rate and number of sources.
"""

from brainfm.quantizer import Quantized, Quantizer, QuantizerConfig
from brainfm.residual_quantizer import ResidualQuantizer
from brainfm.scalar_quantizers import FiniteScalarQuantizer, QuantileQuantizer

KINDS: dict[str, type[Quantizer]] = {
    "rvq": ResidualQuantizer,
    "fsq": FiniteScalarQuantizer,
    "quantile": QuantileQuantizer,
}

__all__ = [
    "KINDS",
    "FiniteScalarQuantizer",
    "QuantileQuantizer",
    "Quantized",
    "Quantizer",
    "QuantizerConfig",
    "ResidualQuantizer",
    "build_quantizer",
]


def build_quantizer(cfg: QuantizerConfig, width: int) -> Quantizer:
    """Return the quantizer that ``cfg.kind`` names, for latents of ``width`` numbers."""
    kind: type = KINDS[cfg.kind]
    built: Quantizer = kind(cfg, width)
    return built
