"""What a recording measures: EEG, MEG, intracranial EEG or fMRI, told by its sensors."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch

from brainfm.batches import Batch
from brainfm.processing_config import ProcessingConfig
from brainfm.sensors import SENSOR_TYPES
from brainfm.sources import MODALITIES

KINDS = MappingProxyType({**MODALITIES, "fmri": ("voxel",)})
"""Sensor types of each modality."""
MODALITY = "modality"
"""Column of a run's trials that says which each is of, where there are several."""
_BY_CODE = {SENSOR_TYPES[kind].code: name for name, kinds in KINDS.items() for kind in kinds}


@dataclass(frozen=True, kw_only=True)
class SeveralProcessing(ProcessingConfig):
    """How recordings of several modalities are prepared; ``each`` says it by modality."""

    each: Mapping[str, ProcessingConfig] = field(default_factory=dict)


def check_modalities(names: Collection[str], what: str) -> None:
    """Raise ValueError unless all names are of modalities, and at least one is there."""
    unknown = sorted(set(names) - set(KINDS))
    if unknown or not names:
        raise ValueError(
            f"{what} must name modalities among {', '.join(KINDS)}, got "
            f"{unknown[0] if unknown else 'none'!r}"
        )


def modality_of(types: Collection[str]) -> str:
    """Return the modality of a recording with sensors of some types.

    Raises
    ------
    ValueError
        They are of several.
    """
    found = sorted({name for name, kinds in KINDS.items() if set(kinds) & set(types)})
    if len(found) != 1:
        raise ValueError(f"its channels are of {' and '.join(found)}")
    return found[0]


def modalities_of(signal: Batch) -> list[str]:
    """Return the modality of every trial of a batch (B), by its first channel."""
    # Padding has type 0 as electrodes have, but comes last.
    return [_BY_CODE[code] for code in signal.types[:, 0].tolist()]


def real_channels(signal: Batch) -> torch.Tensor:
    """Return which channels are no padding, (B, C): bad ones keep their place or type."""
    placed = (signal.positions != 0).any(-1) | (signal.types != 0)
    return signal.mask | placed
