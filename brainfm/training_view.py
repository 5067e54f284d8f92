"""What the tokenizer is shown of a batch in training: varied arrays, hidden channels, noise.

Shapes: B batch, C sensors, T samples.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from brainfm.augmentation import AugmentationConfig, augment
from brainfm.batches import Batch
from brainfm.brain_tokenizer import BrainTokenizer, Reconstruction, Sensors
from brainfm.finite_guard import without_broken
from brainfm.hidden_channels import hide_channels
from brainfm.objective import Recipe


class TrainingView(NamedTuple):
    """A batch to reconstruct and what the encoder sees of it.

    ``seen`` (B, C) channels that are not hidden; ``x`` (B, C, T) the signals with noise; ``broken``
    (B,) samples whose signal is not finite and was replaced by zeros.
    """

    batch: Batch
    seen: Tensor
    x: Tensor
    broken: Tensor


def training_view(
    batch: Batch,
    augmentation: AugmentationConfig,
    hidden_channels: float,
    recipe: Recipe,
    *,
    generator: torch.Generator,
) -> TrainingView:
    """Draw what the encoder sees.

    Parameters
    ----------
    batch
        As loaded.
    augmentation
        How arrays vary.
    hidden_channels
        Share of the channels hidden, in [0, 1).
    recipe
        The objective: its noise, and whether the same channels are hidden in all samples.
    generator
        Source of randomness, on the batch's device.
    """
    batch, broken = without_broken(batch)
    batch = augment(batch, augmentation, generator=generator)
    seen = hide_channels(
        batch.mask, hidden_channels, generator=generator, same_for_all=recipe.same_for_all
    )
    x = batch.x
    if recipe.noise:
        x = x + recipe.noise * torch.randn(x.shape, generator=generator, device=x.device)
    return TrainingView(batch, seen, x, broken)


def reconstruct_batch(
    tokenizer: BrainTokenizer,
    batch: Batch,
    *,
    quantize: bool,
    seen: Tensor | None = None,
    x: Tensor | None = None,
) -> Reconstruction:
    """Reconstruct all channels of a batch in windows that do not overlap.

    Parameters
    ----------
    tokenizer
        The model.
    batch
        What is wanted.
    quantize
        Whether latents go through the codebooks.
    seen
        (B, C) channels that are encoded; all that are good if None.
    x
        (B, C, T) signals that are encoded; the batch's own if None.
    """
    sensors = tokenizer.embed_sensors(batch.positions, batch.orientations, batch.types, batch.mask)
    visible = sensors if seen is None else Sensors(sensors.embedding, seen)
    windows = tokenizer.cut(batch.x if x is None else x, overlap=0.0)
    return tokenizer(windows, visible, sensors, quantize=quantize)
