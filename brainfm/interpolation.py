"""Bad EEG channels from their neighbours, by MNE's spherical splines.

Shapes: C channels.
"""

import mne
import numpy as np
from numpy.typing import NDArray

from brainfm.sensors import SensorArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MIN_GOOD = 8
"""Fewer good channels do not carry a spherical spline."""


def interpolation_matrix(
    sensors: SensorArray, good: BoolArray
) -> tuple[FloatArray | None, BoolArray]:
    """Return the matrix (C, C) that replaces bad EEG channels, and which (C,) it replaces.

    The matrix is None where there is nothing to do. MNE interpolates an identity matrix here, so
    that a signal in blocks needs only a product.
    """
    eeg = sensors.types == "eeg"
    bad = eeg & ~good
    if not bad.any() or (eeg & good).sum() < MIN_GOOD:
        return None, np.zeros(len(sensors), dtype=bool)
    chosen = np.flatnonzero(eeg)
    names = [str(i) for i in chosen]
    info = mne.create_info(names, 1.0, "eeg")
    info.set_montage(
        mne.channels.make_dig_montage(
            {str(i): sensors.positions[i] for i in chosen}, coord_frame="head"
        )
    )
    info["bads"] = [str(i) for i in np.flatnonzero(bad)]
    raw = mne.io.RawArray(np.eye(len(chosen)), info, verbose="error")
    raw.interpolate_bads(method={"eeg": "spline"}, verbose="error")
    matrix = np.eye(len(sensors))
    matrix[np.ix_(chosen, chosen)] = raw.get_data()
    return matrix, bad
