"""Opening recording files: the right MNE reader for a path, and one clear line when none reads it.

Nothing here loads the signal.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mne
import numpy as np

from brainfm.sensors import FloatArray

TABLES = re.compile(r"\.(csv|tsv|txt|arff|ts|np[yz]|json|parquet|feather|xlsx|h5|hdf5|wav)")
"""Endings of files that carry numbers without saying what measured them."""

PARTS = {
    ".fdt": (".set", "holds the samples of an EEGLAB set"),
    ".vmrk": (".vhdr", "holds the markers of a BrainVision recording"),
    ".amrk": (".ahdr", "holds the markers of a BrainVision recording"),
    ".eeg": (".vhdr", "holds the samples of a BrainVision recording"),
}
"""Files that belong to another one, which is the one to give."""

UNTYPED_READERS = re.compile(
    r"(Raw|Epochs)(EDF|BDF|GDF|BrainVision|EEGLAB|CNT|ANT|Nedf|Nihon|Persyst|Curry|Nicolet|NSX|"
    r"BCI2K|FieldTrip|Eximia|MEF)"
)
"""MNE classes of formats that do not reliably store what kind of sensor a channel is."""


@contextlib.contextmanager
def quiet_mne() -> Iterator[None]:
    """Keep MNE's messages and its readers' warnings off the screen."""
    with warnings.catch_warnings(), mne.use_log_level("ERROR"):
        warnings.simplefilter("ignore")
        yield


def open_raw(path: str | Path, include: list[str] | None = None) -> mne.io.BaseRaw:
    """Open a continuous recording without loading its samples.

    Parameters
    ----------
    path
        File, or the folder of formats that are folders.
    include
        Read these channels alone; for formats with a rate per channel (:func:`channel_rates`).

    Raises
    ------
    ValueError
        With one line that names the file, what is wrong and what to do.
    FileNotFoundError
        When there is nothing at ``path``.
    """
    path = Path(path)
    _check_path(path)
    reader = _reader(path)
    with quiet_mne(), contextlib.redirect_stdout(io.StringIO()):  # mffpy prints
        try:
            raw = reader(path) if include is None else mne.io.read_raw(path, include=include)
        except Exception as error:
            if open_epochs(path) is not None:
                raise ValueError(
                    f"{path}: holds epochs (trials), not one continuous recording: open it with "
                    f"brainfm.recordings.read_recordings, one recording per epoch"
                ) from error
            raise ValueError(_refusal(path, error)) from error
        _check_first_part(path, raw)
    if raw.n_times < 1:
        raise ValueError(f"{path}: holds no samples")
    return raw


def channel_rates(raw: mne.io.BaseRaw) -> FloatArray | None:
    """Return the rate in Hz at which every channel is stored (EDF, BDF, GDF), None elsewhere.

    MNE brings all channels to the fastest one's rate, each stretch that is read for itself, so that
    a slower channel comes out otherwise in every stretch.
    """
    extras = getattr(raw, "_raw_extras", None)
    if not extras or not isinstance(extras[0], dict):
        return None
    per_record, length = extras[0].get("n_samps"), extras[0].get("record_length")
    if per_record is None or length is None:
        return None
    index = np.asarray(extras[0]["sel"])[raw._read_picks[0]]
    # MNE adds no channel to these formats but may leave the record's length as a fraction.
    seconds = float(length[0]) / float(length[1]) if np.ndim(length) else float(length)
    return np.asarray(per_record, dtype=np.float64)[index] / seconds


def open_epochs(path: str | Path) -> mne.BaseEpochs | None:
    """Open a file of epochs (FIF or EEGLAB), None when it holds none."""
    name = Path(path).name.lower()
    try:
        with quiet_mne():
            if name.endswith((".fif", ".fif.gz")):
                return mne.read_epochs(path, preload=False)
            if name.endswith(".set"):
                return mne.read_epochs_eeglab(path)
    except Exception:
        return None
    return None


def _check_path(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    if TABLES.fullmatch(ending) and path.is_file():
        raise ValueError(
            f"{path}: a {ending} file does not say what measured its numbers and MNE reads none: "
            f"load it in Python and give the array (C, T) in volts or tesla, sfreq and sensors to "
            f"brainfm.recordings.recording_from_array (sensors: brainfm.montage.sensors_by_name)"
        )
    if ending in PARTS:
        main, what = PARTS[ending]
        if path.with_suffix(main).exists():
            raise ValueError(f"{path}: {what}: give {path.with_suffix(main).name} instead")
    if path.parent.suffix.lower() in (".ds", ".mff") and path.is_file():
        raise ValueError(f"{path}: is part of a recording folder: give {path.parent} instead")


def _reader(path: Path) -> Callable[[Path], mne.io.BaseRaw]:
    name = path.name.lower()
    if path.is_dir() and path.suffix.lower() not in (".ds", ".mff", ".mefd", ".data"):
        pdfs = sorted(p for p in path.iterdir() if p.name.startswith(("c,rf", "hc,rf")))
        if not pdfs:
            raise ValueError(
                f"{path}: is a folder but no recording (CTF .ds, EGI .mff, 4D/BTi with a c,rf* "
                f"file): give a recording in it"
            )
        return lambda _: _read_bti(pdfs[0])
    if name.startswith(("c,rf", "hc,rf")):
        return _read_bti
    if name.endswith(".raw"):
        return lambda p: mne.io.read_raw_egi(p, preload=False)
    if name.endswith((".fif", ".fif.gz")):
        return lambda p: mne.io.read_raw_fif(p, preload=False)
    return lambda p: mne.io.read_raw(p, preload=False)


def _read_bti(path: Path) -> mne.io.BaseRaw:
    head_shape = path.parent / "hs_file"
    return mne.io.read_raw_bti(path, head_shape_fname=head_shape if head_shape.exists() else None)


def _check_first_part(path: Path, raw: mne.io.BaseRaw) -> None:
    """Refuse a later part of a split FIF recording: its beginning would be missing unnoticed."""
    if type(raw) is not mne.io.Raw:
        return
    listing = mne.io.show_fiff(path, tag=115)  # role of a file referred to: 1 previous, 2 next
    if re.search(r"FIFF_REF_ROLE.*= \[1\]", listing):
        raise ValueError(
            f"{path}: is a later part of a split recording: give its first part, which brings the "
            f"others with it"
        )


def _refusal(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if "Could not find measurement data" in reason or "No raw data in" in reason:
        return f"{path}: is a FIF file without a signal (events, a transformation, an average ...)"
    if isinstance(error, (ImportError, RuntimeError)) and "installation" in reason:
        reason = reason.split(" Use the following installation")[0]
        return f"{path}: {reason} (pip install it)"
    if "Unsupported file type" in reason:
        return f"{path}: is in no format that MNE reads"
    return f"{path}: cannot be read ({path.suffix or 'no ending'}): {reason[:300]}"


def reader_name(raw: Any) -> str:
    """Return the format's name by MNE's class, ``BrainVision`` for ``RawBrainVision``."""
    name = type(raw).__name__
    return {"Raw": "FIF", "RawArray": "array"}.get(name, name.removeprefix("Raw"))
