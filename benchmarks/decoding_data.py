"""Write the recordings that are not in a format MNE reads as FIF with annotations.

- InteraXon Muse: CSV with a column of markers, one file for each run of two minutes;
- FEIS: zipped CSV, the second before an imagined phoneme. Its trials are 22 s apart and only one
  second of each is stored; here they follow each other, so that filters see the edges between them.

Both keep the amplitudes of the file, converted to volts, and the names of electrodes, by which
brainfm finds their places.
"""

from pathlib import Path
from zipfile import ZipFile

import mne
import numpy as np
import pandas as pd

MUSE = ("TP9", "AF7", "AF8", "TP10")
MUSE_SFREQ = FEIS_SFREQ = 256.0
MUSE_MARKERS = {1: "non-target", 2: "target"}
MICROVOLT = 1e-6


def write_fif(
    path: Path, microvolts: np.ndarray, names: list[str], sfreq: float, notes: mne.Annotations
) -> None:
    """Write EEG (C, T), whole or not at all; brainfm places electrodes by name."""
    info = mne.create_info(names, sfreq, "eeg")
    raw = mne.io.RawArray(microvolts * MICROVOLT, info, verbose="error")
    raw.set_annotations(notes, verbose="error")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished_{path.name}")
    raw.save(unfinished, overwrite=True, verbose="error")
    unfinished.rename(path)


def write_muse(data: Path, out: Path) -> None:
    """Write the P300 runs as ``muse/SUBJECT_SESSION_RUN_raw.fif``."""
    sessions = sorted((data / "muse/visual/P300/subject1").glob("session*"))
    for session in sessions:
        for run, source in enumerate(sorted(session.glob("*.csv.gz")), start=1):
            path = out / "muse" / f"subject1_{session.name}_run{run:02}_raw.fif"
            if path.exists():
                continue
            table = pd.read_csv(source)
            column = next(name for name in table.columns if name.startswith("Marker"))
            marker = table[column].to_numpy()
            shown = np.flatnonzero(np.isin(marker, list(MUSE_MARKERS)))
            labels = [MUSE_MARKERS[value] for value in marker[shown].tolist()]
            notes = mne.Annotations(shown / MUSE_SFREQ, 0.0, labels)
            write_fif(path, table[list(MUSE)].to_numpy().T, list(MUSE), MUSE_SFREQ, notes)


def write_feis(data: Path, out: Path) -> None:
    """Write all trials of a person as ``feis/SUBJECT_raw.fif``."""
    for folder in sorted((data / "feis/data_eeg").iterdir()):
        path = out / "feis" / f"{folder.name}_raw.fif"
        if path.exists():
            continue
        with ZipFile(folder / "articulators.zip") as archive:
            table = pd.read_csv(archive.open("articulators.csv"))
        names = list(table.columns[2:16])
        first = np.flatnonzero(np.diff(table["Epoch"].to_numpy(), prepend=-1))
        labels = table["Label"].to_numpy()[first].astype(str)
        notes = mne.Annotations(first / FEIS_SFREQ, 1.0, labels)
        # The amplifier's offset is a hundred times the signal and differs from channel to channel.
        values = table[names].to_numpy().T
        values = values - np.median(values, axis=1, keepdims=True)
        write_fif(path, values, names, FEIS_SFREQ, notes)


def write_all(data: Path, out: Path) -> Path:
    """Write what is not there yet; return the folder."""
    write_muse(data, out)
    write_feis(data, out)
    return out
