"""Which sensors matter: how much worse a decoder gets without a sensor and its neighbours.

Trials of the test side are decoded once more with every sensor within 4 cm of a place silenced, for
every place of a device in turn. A sensor whose neighbours tell the same loses nothing, so a map
shows what cannot be replaced, not all that is used.

Shapes: B trials, C sensors, L places of a device.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.report_style import label_of
from brainfm.sensors import SENSOR_TYPES

from .trial_batch import TrialBatch

RADIUS = 0.04
"""Metres."""
SAME_PLACE = 1e-3
"""Metres within which sensors stand at one place (two gradiometers and a magnetometer)."""
SAME_DEVICE = 0.03
"""Metres by which a device's sensors may stand elsewhere on another head."""

Decode = Callable[[TrialBatch], NDArray[Any]]
"""From a batch to outputs (B, ...) as they are in predictions."""
Judge = Callable[[NDArray[Any], NDArray[np.int64]], float]
"""From outputs (N, ...) and trials (N,) to a score; more is better."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Device:
    """Sensors that many recordings have: ``types`` (C,) codes, ``positions`` (C, 3) metres."""

    types: NDArray[np.int64]
    positions: NDArray[np.float64]

    def has(self, types: NDArray[np.int64], positions: NDArray[np.float64]) -> bool:
        """Tell whether these are its sensors, in its order, on whosever head."""
        if not np.array_equal(types, self.types):
            return False
        return bool(np.linalg.norm(positions - self.positions, axis=1).max() < SAME_DEVICE)

    @property
    def name(self) -> str:
        """Return how many sensors of each type it has."""
        counts = {kind: int((self.types == t.code).sum()) for kind, t in SENSOR_TYPES.items()}
        return ", ".join(f"{n} {label_of(kind, n)}" for kind, n in counts.items() if n)

    @property
    def places(self) -> list[int]:
        """Return the first sensor at each place, (L,)."""
        kept: list[int] = []
        for k, position in enumerate(self.positions):
            gaps = np.linalg.norm(self.positions[kept] - position, axis=1)
            if not (gaps < SAME_PLACE).any():
                kept.append(k)
        return kept


@dataclass(frozen=True, kw_only=True, eq=False)
class SensorMap:
    """What a decoder loses.

    Parameters
    ----------
    device
        Of these trials.
    drop
        (L,) score with all sensors less that without those near each of its places.
    score
        With all sensors.
    n_trials
        Trials that were decoded.
    """

    device: Device
    drop: NDArray[np.float64]
    score: float
    n_trials: int


@dataclass
class _Decoded:
    """Outputs of a device's trials, with all sensors first, then without each place."""

    outputs: list[list[NDArray[Any]]]
    trials: list[NDArray[np.int64]] = field(default_factory=list)


def sensor_maps(
    decode: Decode,
    batches: Iterable[TrialBatch],
    judge: Judge,
    devices: list[Device],
    *,
    radius: float = RADIUS,
) -> dict[int, SensorMap]:
    """Return a map of every device among the trials, by its place in ``devices``.

    Parameters
    ----------
    decode
        The decoder.
    batches
        Trials with their signal.
    judge
        Scores outputs of all trials of a device.
    devices
        Those seen before, of other folds; new ones are added.
    radius
        Metres around a place in which sensors are silenced.
    """
    found: dict[int, _Decoded] = {}
    for batch in batches:
        numbers = np.array([_number_of(batch, k, devices) for k in range(len(batch.trial))])
        for number in np.unique(numbers).tolist():
            part = select(batch, np.flatnonzero(numbers == number).tolist())
            places = devices[number].places
            held = found.setdefault(number, _Decoded([[] for _ in range(1 + len(places))]))
            held.outputs[0].append(decode(part))
            for sensor, outputs in zip(places, held.outputs[1:], strict=True):
                outputs.append(decode(silenced(part, sensor, radius)))
            held.trials.append(part.trial.cpu().numpy())
    maps = {}
    for number, held in found.items():
        trial = np.concatenate(held.trials)
        each = [judge(np.concatenate(outputs), trial) for outputs in held.outputs]
        maps[number] = SensorMap(
            device=devices[number],
            drop=each[0] - np.array(each[1:]),
            score=each[0],
            n_trials=len(trial),
        )
    return maps


def mean_map(maps: Sequence[SensorMap]) -> SensorMap | None:
    """Return the mean over folds of maps of one device, weighted by their trials.

    Folds whose score is not defined (of one class only) do not count; None if no other is there.
    """
    kept = [each for each in maps if np.isfinite([each.score, *each.drop]).all()]
    if not kept:
        return None
    weights = [each.n_trials for each in kept]
    return SensorMap(
        device=kept[0].device,
        drop=np.average([each.drop for each in kept], axis=0, weights=weights),
        score=float(np.average([each.score for each in kept], weights=weights)),
        n_trials=sum(weights),
    )


def silenced(batch: TrialBatch, sensor: int, radius: float) -> TrialBatch:
    """Return a batch without the sensors within ``radius`` (m) of a sensor: zero and masked."""
    signal = batch.signal
    centre = signal.positions[:, sensor : sensor + 1]
    far = torch.linalg.vector_norm(signal.positions - centre, dim=-1) > radius
    x = torch.where(far[..., None], signal.x, torch.zeros_like(signal.x))
    return batch._replace(signal=signal._replace(x=x, mask=signal.mask & far))


def select(batch: TrialBatch, chosen: Sequence[int]) -> TrialBatch:
    """Return some trials of a batch."""
    index = torch.as_tensor(list(chosen), device=batch.trial.device)

    def some(value: Tensor | None) -> Tensor | None:
        return None if value is None else value[index]

    fields: dict[str, Any] = {
        name: some(value) for name, value in batch._asdict().items() if name != "signal"
    }
    return TrialBatch(signal=type(batch.signal)(*(v[index] for v in batch.signal)), **fields)


def _number_of(batch: TrialBatch, trial: int, devices: list[Device]) -> int:
    """Return the place in ``devices`` of that of a trial, which is added if it is new."""
    positions = batch.signal.positions[trial].cpu().numpy().astype(np.float64)
    # Padding stands at the origin, inside the head; bad sensors keep their places.
    real = np.linalg.norm(positions, axis=1) > 0
    types = batch.signal.types[trial].cpu().numpy()[real].astype(np.int64)
    for number, device in enumerate(devices):
        if len(device.types) == len(types) and device.has(types, positions[real]):
            return number
    devices.append(Device(types=types, positions=positions[real]))
    return len(devices) - 1
