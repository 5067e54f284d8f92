"""The HDF5 file of features and codes: growing along frames, and saying what its axes are."""

from typing import Any

import h5py
import numpy as np


def append(
    file: h5py.File,
    name: str,
    value: np.ndarray[Any, Any],
    index: int,
    first: int,
    lead: tuple[int, ...],
) -> None:
    """Append ``value`` along frames; times are the same for all epochs and kept once."""
    if name == "times":
        lead = ()
    axis = len(lead)
    if name not in file:
        shape = (*lead, 0, *value.shape[1:])
        limit = (*lead, None, *value.shape[1:])
        file.create_dataset(name, shape, maxshape=limit, dtype=value.dtype, chunks=True)
    stop = first + len(value)
    if file[name].shape[axis] < stop:
        file[name].resize(stop, axis=axis)
    place = (index, slice(first, stop)) if lead else slice(first, stop)
    file[name][place] = value


def explain(file: h5py.File, stacked: bool) -> None:
    """Write beside every array what its axes are, for whoever opens the file years later."""
    lead = ["epochs"] if stacked else []
    axes = {
        "values": [*lead, "frames", "sources", "width"],
        "codes": [*lead, "frames", "sources", "levels"],
        "times": ["frames"],
    }
    for name in file:
        named = axes[name]
        if file[name].ndim < len(named):  # the mean over sources
            named.remove("sources")
        file[name].attrs["axes"] = ", ".join(named)
    file["times"].attrs["unit"] = "s from the first sample, centres of frames"
