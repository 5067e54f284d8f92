"""What the tokenizer is trained for: waveforms that keep shape, rhythms, topography and amplitude.

``brainfm`` (default) leaves targets in units of the recording's scale, so that amplitude and
topography are part of the task. ``brainomni`` is the published objective (arXiv:2505.18185, section
3.3): targets are z-scored per channel and window.

Shapes: B batch, C sensors, W windows, L samples a window, F frequencies.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from brainfm.spectral_terms import (
    angle,
    band_members,
    hamming_spectrum,
    hann_spectrum,
    log_magnitude_error,
    magnitude,
    phase_error,
    rhythm_error,
)

Name = Literal["brainfm", "brainomni"]

SOFTNESS = 0.1
"""Part of the target's size over the array below which an estimate's topography fades."""


class Band(NamedTuple):
    """Sampling rate (Hz) and low-pass of each sample (B,), Hz, NaN where unknown."""

    sfreq: float
    lowpass: Tensor


def correlation(estimate: Tensor, target: Tensor) -> Tensor:
    """Return Pearson's correlation along the last axis; 0 where either is constant."""
    a = estimate.float() - estimate.float().mean(-1, keepdim=True)
    b = target.float() - target.float().mean(-1, keepdim=True)
    norms = a.square().sum(-1) * b.square().sum(-1)
    flat = norms < 1e-12
    # The root's gradient is infinite at 0: keep it away from there before taking it.
    safe = torch.where(flat, torch.ones_like(norms), norms)
    return torch.where(flat, torch.zeros_like(norms), (a * b).sum(-1) * safe.rsqrt())


def channel_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average (B, C, W) over windows and the channels in ``mask`` (B, C); each window counts alike.

    Every sample of the batch has the same weight however many channels it has.
    """
    weight = mask / mask.sum(1, keepdim=True).clamp_min(1)
    return (values.mean(-1) * weight).sum() / mask.any(1).sum().clamp_min(1)


def topography_error(estimate: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return one minus the agreement of the patterns over channels: 0 equal, 1 unrelated.

    In a window ``sum_l |x_l| cos(x_l, y_l) / sum_l |x_l|`` with x_l, y_l the vectors of all
    channels at one sample; the cosine's denominator has a floor, so its slope is bounded. Samples
    with one channel have no pattern and do not count.

    Parameters
    ----------
    estimate, target
        (B, C, W, L).
    mask
        (B, C) channels that count.
    """
    keep = mask[..., None, None]
    x, y = target.float() * keep, estimate.float() * keep
    power = x.square().sum(1)
    soft = SOFTNESS**2 * power.mean(-1, keepdim=True) + 1e-12
    along = (x * y).sum(1) / (y.square().sum(1) + soft).sqrt()
    size = power.sqrt().sum(-1).clamp_min(1e-6)
    error = (1 - along.sum(-1) / size).mean(-1)
    counted = mask.sum(1) > 1
    return (error * counted).sum() / counted.sum().clamp_min(1)


def standardise(windows: Tensor) -> Tensor:
    """Return windows (..., L) z-scored each: ``(x - mean) / (std + 1e-6)``, ddof 1."""
    windows = windows.float()
    centred = windows - windows.mean(-1, keepdim=True)
    return centred / (windows.std(-1, keepdim=True) + 1e-6)


def brainfm_terms(estimate: Tensor, target: Tensor, mask: Tensor, band: Band) -> dict[str, Tensor]:
    """Return the unweighted terms of our objective; see :func:`reconstruction_terms`."""
    members = band_members(band.lowpass, band.sfreq, target.shape[-1])
    spectra = hann_spectrum(estimate), hann_spectrum(target)
    return {
        "amplitude": absolute_error(estimate, target, mask),
        "shape": channel_mean(1 - correlation(estimate, target), mask),
        "rhythm": channel_mean(rhythm_error(*spectra, members), mask),
        "magnitude": channel_mean(log_magnitude_error(*spectra, members), mask),
        "phase": channel_mean(phase_error(*spectra, members), mask),
        "topography": topography_error(estimate, target, mask),
    }


def brainomni_terms(
    estimate: Tensor, target: Tensor, mask: Tensor, band: Band
) -> dict[str, Tensor]:
    """Return the unweighted terms of the published objective; see :func:`reconstruction_terms`.

    Phases are compared as numbers: -179 and 179 degrees are 358 apart, as published.
    """
    y, x = hamming_spectrum(estimate), hamming_spectrum(target)
    return {
        "time": absolute_error(estimate, target, mask),
        "shape": channel_mean((-correlation(estimate, target)).exp(), mask),
        "magnitude": channel_mean((magnitude(y) - magnitude(x)).abs().mean(-1), mask),
        "phase": channel_mean((angle(y) - angle(x)).abs().mean(-1), mask),
    }


def absolute_error(estimate: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of (B, C, W, L), scalar."""
    return channel_mean((estimate.float() - target.float()).abs().mean(-1), mask)


class Recipe(NamedTuple):
    """What one objective consists of.

    ``terms`` of a reconstruction; ``weights`` of them and of the commitment; ``target`` of windows
    (B, C, W, L); ``noise`` is the standard deviation of what is added to the encoder's input in
    training; ``same_for_all`` hides the same channels in the whole batch.
    """

    terms: Callable[[Tensor, Tensor, Tensor, Band], dict[str, Tensor]]
    weights: Mapping[str, float]
    target: Callable[[Tensor], Tensor]
    noise: float
    same_for_all: bool


RECIPES = MappingProxyType(
    {
        "brainfm": Recipe(
            terms=brainfm_terms,
            # The rhythm term brings theta and alpha in. Bands of equal weight instead (gradients of
            # one over their size) kept a small published architecture at correlation 0.
            weights=MappingProxyType(
                {
                    "amplitude": 0.5,
                    "shape": 1.0,
                    "rhythm": 1.0,
                    "magnitude": 0.05,
                    "phase": 0.5,
                    "topography": 0.5,
                    "commitment": 2.5,
                }
            ),
            target=torch.Tensor.float,
            noise=0.0,
            same_for_all=False,
        ),
        "brainomni": Recipe(
            terms=brainomni_terms,
            weights=MappingProxyType(
                {"time": 1.0, "shape": 1.0, "magnitude": 1.0, "phase": 0.5, "commitment": 0.25}
            ),
            target=standardise,
            noise=0.1,
            same_for_all=True,
        ),
    }
)
"""Objectives by name."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """The tokenizer's loss.

    Parameters
    ----------
    name
        ``brainfm``, or ``brainomni`` as published.
    weights
        Weights of terms, by name, where they are to differ from the objective's own
        (:data:`RECIPES`); 0 leaves a term out of the loss and still logs it.
    """

    name: Name = "brainfm"
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise ValueError(f"objective must be one of {sorted(RECIPES)}, got {self.name!r}")
        unknown = sorted(set(self.weights) - set(self.recipe.weights))
        if unknown:
            raise ValueError(
                f"weights: {self.name} has no terms {unknown}; it has {list(self.recipe.weights)}"
            )
        for term, weight in self.weights.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"weights: {term} must be at least 0 and finite, got {weight}")

    @property
    def recipe(self) -> Recipe:
        """Return what the objective consists of."""
        return RECIPES[self.name]

    def weight(self, term: str) -> float:
        """Return the weight of a term."""
        return self.weights.get(term, self.recipe.weights[term])


def reconstruction_terms(
    estimate: Tensor, target: Tensor, mask: Tensor, band: Band, cfg: ObjectiveConfig
) -> dict[str, Tensor]:
    """Return the unweighted loss terms of a reconstruction, scalars in float32.

    Parameters
    ----------
    estimate, target
        (B, C, W, L); the target is ``cfg.recipe.target`` of the windows.
    mask
        (B, C) channels that count.
    band
        What of the spectrum the recordings hold.
    cfg
        The objective.
    """
    with torch.autocast(device_type=target.device.type, enabled=False):
        return cfg.recipe.terms(estimate, target, mask, band)


def weighted_terms(terms: Mapping[str, Tensor], cfg: ObjectiveConfig) -> dict[str, Tensor]:
    """Return every term times its weight; the loss is their sum."""
    return {name: cfg.weight(name) * value for name, value in terms.items()}


def weighted_sum(terms: Mapping[str, Tensor], cfg: ObjectiveConfig) -> Tensor:
    """Return the loss: the sum of all terms, each times its weight."""
    return torch.stack(list(weighted_terms(terms, cfg).values())).sum()


def shares(terms: Mapping[str, Tensor], cfg: ObjectiveConfig) -> dict[str, Tensor]:
    """Return the share of each term in the loss; they sum to 1."""
    weighted = {name: value.detach() for name, value in weighted_terms(terms, cfg).items()}
    total = torch.stack(list(weighted.values())).sum().clamp_min(1e-12)
    return {name: value / total for name, value in weighted.items()}


def as_config(objective: Name | ObjectiveConfig) -> ObjectiveConfig:
    """Return an objective given by its name or its config."""
    return ObjectiveConfig(name=objective) if isinstance(objective, str) else objective
