"""Sensor geometry: where each channel measures, in which direction, and what.

Shapes: C sensors. Units: metres, head coordinates (MNE's ``head``: right, anterior, superior).
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SensorType:
    """One kind of sensor.

    Parameters
    ----------
    code
        Stable integer used in batches; never reused for another kind.
    unit
        SI unit of the signal.
    oriented
        True where the sensor measures along a direction (MEG), false for potentials.
    label
        What a reader of a report sees.
    """

    code: int
    unit: str
    oriented: bool
    label: str


SENSOR_TYPES = MappingProxyType(
    {
        "eeg": SensorType(code=0, unit="V", oriented=False, label="EEG"),
        "mag": SensorType(code=1, unit="T", oriented=True, label="magnetometer"),
        "planar": SensorType(code=2, unit="T/m", oriented=True, label="planar gradiometer"),
        "axial": SensorType(code=3, unit="T", oriented=True, label="axial gradiometer"),
        "ieeg": SensorType(code=4, unit="V", oriented=False, label="intracranial EEG"),
        "voxel": SensorType(code=5, unit="", oriented=False, label="voxel"),
    }
)
"""Every kind of sensor brainfm knows. An OPM is a ``mag``; a ``voxel`` is one of fMRI, or a region,
whose signal is standardised and has no unit."""

ELECTROMAGNETIC = tuple(name for name in SENSOR_TYPES if name != "voxel")
"""Those that measure currents in the brain, which tokenizers are made for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SensorArray:
    """The sensors of one recording.

    Parameters
    ----------
    positions
        (C, 3) metres in head coordinates.
    orientations
        (C, 3) unit vectors; zero where the type has no direction. Magnetometers and axial
        gradiometers: the coil normal; planar gradiometers: the direction of the gradient.
    types
        (C,) keys of :data:`SENSOR_TYPES`.
    names
        (C,) channel names as in the file.

    Raises
    ------
    ValueError
        When shapes disagree, a type is unknown, a value is not finite or an orientation is neither
        a unit vector nor zero as its type demands.
    """

    positions: FloatArray
    orientations: FloatArray
    types: NDArray[np.str_]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.names)
        object.__setattr__(self, "positions", np.asarray(self.positions, dtype=np.float64))
        object.__setattr__(self, "orientations", np.asarray(self.orientations, dtype=np.float64))
        object.__setattr__(self, "types", np.asarray(self.types, dtype=np.str_))
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        for field, shape in (("positions", (n, 3)), ("orientations", (n, 3)), ("types", (n,))):
            if getattr(self, field).shape != shape:
                raise ValueError(
                    f"SensorArray.{field} has shape {getattr(self, field).shape}, expected {shape} "
                    f"for {n} names"
                )
        unknown = sorted(set(self.types.tolist()) - set(SENSOR_TYPES))
        if unknown:
            raise ValueError(f"unknown sensor types {unknown}; known: {list(SENSOR_TYPES)}")
        for field in ("positions", "orientations"):
            bad = ~np.isfinite(getattr(self, field)).all(axis=1)
            if bad.any():
                listed = [self.names[i] for i in np.flatnonzero(bad)[:5]]
                raise ValueError(
                    f"{field} of {int(bad.sum())} sensors are not finite, e.g. {listed}"
                )
        norms = np.linalg.norm(self.orientations, axis=1)
        expected = np.array([float(SENSOR_TYPES[t].oriented) for t in self.types.tolist()])
        wrong = np.abs(norms - expected) > 1e-3
        if wrong.any():
            listed = [self.names[i] for i in np.flatnonzero(wrong)[:5]]
            raise ValueError(
                f"orientations must be unit vectors for MEG and zero for EEG; wrong for {listed}"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Return the integer code of every sensor's type, (C,)."""
        return np.array([SENSOR_TYPES[t].code for t in self.types.tolist()], dtype=np.int64)

    def select(self, index: NDArray[np.bool_] | NDArray[np.int64] | list[int]) -> "SensorArray":
        """Return the sensors at ``index`` (boolean mask or positions), in that order."""
        chosen = np.arange(len(self))[index]
        return SensorArray(
            positions=self.positions[chosen],
            orientations=self.orientations[chosen],
            types=self.types[chosen],
            names=tuple(self.names[i] for i in chosen),
        )
