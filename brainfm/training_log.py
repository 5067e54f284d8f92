"""What a training run logged, over all its restarts: ``logs/version_*/metrics.csv`` as one series.

A restart goes back to its checkpoint, so its steps take the place of those that came after.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LOGS, METRICS = "logs", "metrics.csv"


class Series(NamedTuple):
    """One logged quantity: ``steps`` (R,) in ascending order and ``values`` (R,)."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """Everything a run logged.

    Parameters
    ----------
    columns
        Series by name, such as ``validation/loss``; NaN only where NaN was logged.
    """

    columns: Mapping[str, Series]

    @property
    def last_step(self) -> int:
        """Return the last step anything was logged at."""
        return max(int(series.steps[-1]) for series in self.columns.values())

    def series(self, name: str) -> Series:
        """Return one series; empty if it was never logged."""
        nothing = Series(np.zeros(0, np.int64), np.zeros(0))
        return self.columns.get(name, nothing)

    def last(self, name: str, *, until: int | None = None) -> float | None:
        """Return the last value of a series, up to step ``until`` where that is given.

        None if there is no such value or it is not finite.
        """
        steps, values = self.series(name)
        if until is not None:
            values = values[steps <= until]
        return float(values[-1]) if len(values) and np.isfinite(values[-1]) else None

    def levels(self, prefix: str) -> list[Series]:
        """Return the series ``prefix_0``, ``prefix_1``, ... as far as they go."""
        found: list[Series] = []
        while f"{prefix}_{len(found)}" in self.columns:
            found.append(self.columns[f"{prefix}_{len(found)}"])
        return found


def read_training_log(run: str | Path) -> TrainingLog:
    """Read the log of a training run.

    Parameters
    ----------
    run
        Folder that ``--out`` of a training stage named.

    Raises
    ------
    FileNotFoundError
        Nothing of training has been logged there.
    """
    versions = sorted((Path(run) / LOGS).glob(f"version_*/{METRICS}"), key=_version)
    merged: dict[str, list[tuple[int, float]]] = {}
    for path in versions:
        columns = _read_columns(path)
        # 'validate' and 'test' log beside the training they look at; they restart nothing.
        if not any(name.startswith("train/") for name in columns):
            continue
        # A start may repeat the validation of a step without the step: each side by itself.
        begins: dict[str, int] = {}
        for name, points in columns.items():
            begins[_side(name)] = min(points[0][0], begins.get(_side(name), points[0][0]))
        first = min(begins.values())
        merged = {
            name: [point for point in points if point[0] < begins.get(_side(name), first)]
            for name, points in merged.items()
        }
        for name, points in columns.items():
            merged.setdefault(name, []).extend(points)
    merged = {name: points for name, points in merged.items() if points}
    if not merged:
        raise FileNotFoundError(f"{run} has no {LOGS}/version_*/{METRICS} with training in it")
    return TrainingLog(MappingProxyType({name: _series(rows) for name, rows in merged.items()}))


def _side(name: str) -> str:
    return name.partition("/")[0]


def _version(path: Path) -> int:
    number = path.parent.name.removeprefix("version_")
    return int(number) if number.isdecimal() else -1


def _read_columns(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) of every cell that was filled, by column, in the order of steps."""
    # A run that is killed, or still writes, may leave half a line at the end.
    whole = [line for line in path.read_text("utf-8").splitlines(True) if line.endswith("\n")]
    columns: dict[str, list[tuple[int, float]]] = {}
    for row in csv.DictReader(whole):
        for name, cell in row.items():
            if name not in ("step", "epoch") and cell:
                columns.setdefault(name, []).append((int(row["step"]), float(cell)))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in columns.items()}


def _series(points: list[tuple[int, float]]) -> Series:
    steps, values = zip(*points, strict=True)
    return Series(np.array(steps, np.int64), np.array(values, np.float64))
