"""Features of every layer of a network decoded from the brain (Shen et al. 2019).

Shapes: N trials, P inputs (voxels, latents), D features of a layer.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from brainfm.unit_decoders import UnitDecoderConfig, UnitDecoders, fit_unit_decoders


def fit_layers(
    x: Tensor, features: Mapping[str, Tensor], config: UnitDecoderConfig | None = None
) -> dict[str, UnitDecoders]:
    """Return decoders of the units of every layer.

    Parameters
    ----------
    x
        (N, P) of the training trials.
    features
        By layer (N, D), of what these trials showed.
    config
        How units are decoded.

    Raises
    ------
    ValueError
        A layer that cannot be decoded; the message names it.
    """
    found = {}
    for name, y in features.items():
        try:
            found[name] = fit_unit_decoders(x, y.to(x.dtype), config)
        except ValueError as error:
            raise ValueError(f"layer {name}: {error}") from error
    return found


def decode_layers(
    decoders: Mapping[str, UnitDecoders], x: Tensor, *, corrected: bool = True
) -> dict[str, Tensor]:
    """Return decoded features (N, D) of every layer for inputs (N, P).

    ``corrected``: as far from the training mean as real ones are, which regression shrinks.
    """
    found = {}
    for name, decoder in decoders.items():
        decoded = decoder.predict(x)
        found[name] = decoder.with_deviation(decoded) if corrected else decoded
    return {name: value.to(torch.float32) for name, value in found.items()}
