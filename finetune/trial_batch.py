"""Trials as a batch of tensors: what every backbone and head of fine-tuning is given.

Shapes: B trials, C sensors, T samples, P frames, N sources, D width, R rivals.
"""

from typing import NamedTuple

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from brainfm.batches import Batch


class TrialBatch(NamedTuple):
    """Trials of any devices, channels padded to the largest.

    Attributes
    ----------
    signal
        ``x`` (B, C, T) standardised float32, zero where ``mask`` is false, with the geometry of
        every sensor.
    features
        (B, P, N, D) of a frozen backbone, computed before; None where the backbone is to compute
        them.
    subject
        (B,) int64 slot of the subject, from 1 by name of those in training; 0 for all others.
    target
        (B,) int64 row of :class:`~.targets.Targets` that is right.
    rivals
        (B, R) int64 rows that were there at the same time but are wrong (the other speaker); R is
        mostly 0.
    passage
        (B,) int64 number of the whole (sentence, in one recording) that a trial is a part of; equal
        numbers belong together, numbers count within a batch's data set.
    onset
        (B,) float32 seconds of the event in its recording.
    trial
        (B,) int64 place in the table of trials.
    """

    signal: Batch
    features: Tensor | None
    subject: Tensor
    target: Tensor
    rivals: Tensor
    passage: Tensor
    onset: Tensor
    trial: Tensor


def moved(batch: TrialBatch, device: torch.device | str) -> TrialBatch:
    """Return a batch on a device."""
    found: TrialBatch = move_data_to_device(batch, torch.device(device))
    return found
