"""Recordings of published speech data sets in files that MNE does not read.

Shapes: C channels, T samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from brainfm.recordings import Recording, recording_from_raw
from brainfm.row_signal import select_types
from brainfm.sources import MODALITIES, Source

MICROVOLT = 1e-6
MAGNETOMETERS = (3021, 3022, 3023, 3024)
"""Coil types of Neuromag magnetometers (FIFFV_COIL_VV_MAG_*)."""


@dataclass(frozen=True, kw_only=True)
class ArraySource(Source):
    """A recording in a file of arrays.

    Parameters
    ----------
    reader
        Key of :data:`READERS`.
    """

    reader: str

    def open(self) -> Recording:
        """Read the recording; all of it comes into memory, 8 bytes per sample."""
        try:
            raw = READERS[self.reader](self.path)
        except (KeyError, IndexError, TypeError, NotImplementedError, OSError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ValueError(
                f"{self.path}: is not laid out as {self.reader!r} recordings are ({reason[:200]})"
            ) from error
        recording = recording_from_raw(raw, self.options, source=str(self.path))
        if self.modality:
            kinds = [kind for name in self.modality for kind in MODALITIES[name]]
            recording = select_types(recording, kinds)
        return recording


def read_mat(path: Path, *names: str) -> dict[str, Any]:
    """Return variables of a MATLAB file (before version 7.3), structures as mappings."""
    from scipy.io import loadmat

    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    found: dict[str, Any] = loadmat(path, variable_names=names, simplify_cells=True)
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{path}: has no variable {missing[0]!r}")
    return found


def read_fieldtrip(path: Path) -> Any:
    """Return an MNE Raw of FieldTrip's ``raw`` with one trial, EEG in microvolts.

    Channels whose name is a number are EEG, as in the montage ``easycap-M10``; VEOG and audio are
    not.
    """
    stored = read_mat(path, "raw")["raw"]
    names = [str(name) for name in stored["label"]]
    samples = np.atleast_2d(np.asarray(stored["trial"], dtype=np.float64))
    kinds = ["eeg" if name.isdigit() else "misc" for name in names]
    return _raw(samples, names, float(stored["fsample"]), kinds, MICROVOLT)


def read_biosemi128(path: Path) -> Any:
    """Return an MNE Raw of ``eegData`` (T, 128) in microvolts at ``fs``, BioSemi's 128 channels."""
    stored = read_mat(path, "eegData", "fs")
    samples = np.asarray(stored["eegData"], dtype=np.float64).T
    names = mne.channels.make_standard_montage("biosemi128").ch_names
    if len(samples) != len(names):
        raise ValueError(f"{path}: eegData has {len(samples)} channels, not {len(names)}")
    return _raw(samples, names, float(stored["fs"]), ["eeg"] * len(names), MICROVOLT)


def read_neuromag_h5(path: Path) -> Any:
    """Return an MNE Raw of ``data`` (C, T) of an Elekta Neuromag in T and T/m.

    The file does not hold where the coils are: they are taken from the Neuromag recording that
    comes with the package, with the head where it was in that.
    """
    import h5py

    from brainfm.samples import sample_paths

    like = next(path for path in sample_paths() if path.name.startswith("neuromag"))
    with mne.use_log_level("ERROR"):
        known = mne.io.read_info(like)
    coils = {ch["ch_name"].replace(" ", ""): ch for ch in known["chs"]}
    with h5py.File(path) as file:
        samples = np.asarray(file["data"], dtype=np.float64)
        sfreq = float(file.attrs["sample_frequency"])
        listed = str(file.attrs["channel_names"]).split(",")
    names = [name.replace(" ", "") for name in listed]
    unknown = [name for name in names if name not in coils]
    if unknown or len(names) != len(samples):
        raise ValueError(
            f"{path}: {len(samples)} channels of which {len(unknown)} are none of a Neuromag's"
        )
    kinds = ["mag" if coils[name]["coil_type"] in MAGNETOMETERS else "grad" for name in names]
    raw = _raw(samples, names, sfreq, kinds, 1.0)
    for made, name in zip(raw.info["chs"], names, strict=True):
        made.update({key: coils[name][key] for key in ("loc", "coil_type", "coord_frame")})
    raw.info["dev_head_t"] = known["dev_head_t"]
    return raw


def _raw(
    samples: NDArray[np.float64], names: list[str], sfreq: float, kinds: list[str], unit: float
) -> Any:
    info = mne.create_info(names, sfreq, kinds, verbose="ERROR")
    return mne.io.RawArray(samples * unit, info, verbose="ERROR")


READERS: dict[str, Callable[[Path], Any]] = {
    "fieldtrip": read_fieldtrip,
    "biosemi128": read_biosemi128,
    "neuromag_h5": read_neuromag_h5,
}
"""How files become an MNE Raw."""
