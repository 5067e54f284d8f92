"""Numbers that say how well a batch came back: what training and validation log.

Shapes: B batch, C sensors, W windows, L samples a window.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from brainfm.batches import Batch
from brainfm.brain_tokenizer import Reconstruction, TokenizerConfig, cut_windows
from brainfm.objective import (
    Band,
    ObjectiveConfig,
    absolute_error,
    channel_mean,
    correlation,
    reconstruction_terms,
    shares,
    weighted_sum,
)
from brainfm.sensors import SENSOR_TYPES


class Score(NamedTuple):
    """A mean over ``n`` equal parts: samples of the batch or channels."""

    value: Tensor
    n: int


class Loss(NamedTuple):
    """The loss, its unweighted terms, the share of each in it, and the correlation."""

    total: Tensor
    terms: dict[str, Tensor]
    shares: dict[str, Tensor]
    correlation: Tensor

    def named(self) -> dict[str, Tensor]:
        """Return loss, terms and shares by the names they are logged under."""
        terms = {name: value.detach() for name, value in self.terms.items()}
        return {
            "loss": self.total.detach(),
            **terms,
            **{f"share_{name}": value for name, value in self.shares.items()},
        }


def loss_of(
    result: Reconstruction, batch: Batch, cfg: ObjectiveConfig, model: TokenizerConfig
) -> Loss:
    """Return the loss of what came back of a batch.

    Parameters
    ----------
    result
        Reconstruction in windows that do not overlap.
    batch
        What went in.
    cfg
        The objective.
    model
        Gives sampling rate and window.
    """
    target = _target(batch, cfg, model)
    band = Band(model.sfreq, batch.lowpass)
    terms = reconstruction_terms(result.waveform, target, batch.mask, band, cfg)
    terms["commitment"] = result.quantized.commitment
    r = channel_mean(correlation(result.waveform.detach(), target), batch.mask)
    return Loss(weighted_sum(terms, cfg), terms, shares(terms, cfg), r)


def fidelity_scores(
    estimate: Tensor, batch: Batch, cfg: ObjectiveConfig, model: TokenizerConfig
) -> dict[str, Score]:
    """Return error, error of predicting zero, and correlation, in all and per sensor type.

    ``estimate`` (B, C, W, L) is what came back of the batch.
    """
    target, n = _target(batch, cfg, model), len(batch.x)
    r = correlation(estimate, target).mean(-1)
    scores = {
        "error": Score(absolute_error(estimate, target, batch.mask), n),
        "error_of_zero": Score(absolute_error(torch.zeros_like(target), target, batch.mask), n),
        "correlation": Score(r[batch.mask].mean(), n),
    }
    for name, kind in SENSOR_TYPES.items():
        chosen = batch.mask & (batch.types == kind.code)
        if chosen.any():
            scores[f"correlation_{name}"] = Score(r[chosen].mean(), int(chosen.sum()))
    return scores


def _target(batch: Batch, cfg: ObjectiveConfig, model: TokenizerConfig) -> Tensor:
    return cfg.recipe.target(cut_windows(batch.x, model.window, model.window))
