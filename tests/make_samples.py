"""Cut the recordings bundled in ``brainfm/samples`` from the public originals.

    python tests/make_samples.py --source FOLDER [--out FOLDER]

``FOLDER`` holds the originals named in ``brainfm/samples/README.md``. The files come out byte for
byte the same on every machine: dates, machine identifiers and free text are removed.
"""

import argparse
import shutil
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import mne
import numpy as np
import pandas as pd

SAMPLES = Path(__file__).resolve().parents[1] / "brainfm" / "samples"
RATE = 200.0
"""Hz, of what is resampled: everything up to 95 Hz survives and 8 MB hold it all."""
DAY = datetime(2000, 1, 1, tzinfo=UTC)
NO_ID = {"version": 65540, "machid": np.zeros(2, int), "secs": 946684800, "usecs": 0}


def strip(raw: mne.io.BaseRaw) -> None:
    """Remove in place whatever points at a person, a place, a date or a machine."""
    raw.anonymize()
    raw.set_meas_date(DAY)
    with raw.info._unlock():
        for field in ("acq_pars", "acq_stim", "description", "experimenter", "proj_name"):
            raw.info[field] = None
        raw.info.update(subject_info=None, device_info=None, proj_id=None, xplotter_layout=None)
        raw.info.update(hpi_meas=[], hpi_results=[], hpi_subsystem=None, events=[], proc_history=[])
        raw.info["file_id"] = raw.info["meas_id"] = NO_ID


def save_fif(raw: mne.io.BaseRaw, path: Path) -> None:
    """Write 16-bit FIF whose step is 1/32000 of each channel's largest value."""
    peak = np.abs(raw.get_data()).max(axis=1)
    for channel, value in zip(raw.info["chs"], peak, strict=True):
        stim = channel["kind"] == mne.io.constants.FIFF.FIFFV_STIM_CH
        channel["cal"] = 1.0 if stim else value / 32000
        channel["range"] = 1.0
    # MNE writes the network address and the clock of the machine into every file.
    with mock.patch("mne._fiff.write._generate_meas_id", return_value=NO_ID):
        raw.save(path, fmt="short", overwrite=True, verbose="error")


def save_edf(raw: mne.io.BaseRaw, path: Path) -> None:
    """Write EDF with the range of each channel used in full (16 bits)."""
    mne.export.export_raw(path, raw, physical_range="channelwise", overwrite=True, verbose="error")


def neuromag(source: Path, out: Path) -> None:
    """MEG and EEG together: seconds 0-13 and 13-24 of one recording, each resampled alone."""
    whole = mne.io.read_raw(source / "meg_eeg_neuromag/test_raw.fif", verbose="error")
    for number, (start, stop) in enumerate(((0, 13), (13, None)), start=1):
        raw = whole.copy().crop(start, stop, include_tmax=stop is None).load_data(verbose="error")
        raw.drop_channels([n for n in raw.ch_names if n.startswith("STI") and n != "STI 014"])
        raw.del_proj()
        raw.resample(RATE, verbose="error")
        strip(raw)
        raw.info["line_freq"] = 60.0
        raw.info["bads"] = ["MEG 2443", "EEG 053"]
        part = mne.io.RawArray(raw.get_data(), raw.info, verbose="error")
        save_fif(part, out / f"neuromag_{number}_raw.fif")


def eeglab(source: Path, out: Path) -> None:
    """Seconds 100-160 of the EEGLAB tutorial recording; the two EOG channels get their type."""
    raw = mne.io.read_raw(source / "eeglab/eeglab_data.set", preload=True, verbose="error")
    raw.crop(100, 160, include_tmax=False).set_channel_types({"EOG1": "eog", "EOG2": "eog"})
    onsets, names = raw.annotations.onset - 100.0, raw.annotations.description
    part = mne.io.RawArray(raw.get_data(), raw.info, verbose="error")
    part.set_annotations(mne.Annotations(onsets, 0.0, names))
    strip(part)
    part.info["line_freq"] = 60.0
    save_fif(part, out / "eeglab_raw.fif")


def hypyp(source: Path, out: Path) -> None:
    """Seconds 10-50 of both recordings, 200 Hz."""
    for number in (1, 2):
        path = source / f"rest_hypyp/eyes-closed-{number}.edf"
        raw = mne.io.read_raw(path, preload=True, verbose="error")
        raw.resample(RATE).crop(10, 50, include_tmax=False)
        strip(raw)
        save_edf(raw, out / f"hypyp_{number}.edf")


def muse(source: Path, out: Path) -> None:
    """Seconds 30-90 of the first visual P300 run; markers become annotations."""
    path = source / "muse/visual/P300/subject1/session1/data_2017-02-04-15_45_13.csv.gz"
    table = pd.read_csv(path).iloc[30 * 256 : 90 * 256]
    names = ["TP9", "AF7", "AF8", "TP10"]
    info = mne.create_info(names, 256.0, "eeg")
    raw = mne.io.RawArray(table[names].to_numpy().T * 1e-6, info, verbose="error")
    marker = table["Marker"].to_numpy()
    at = np.flatnonzero(marker)
    labels = np.where(marker[at] == 2, "target", "non-target")
    raw.set_annotations(mne.Annotations(at / 256.0, 0.0, labels))
    raw.set_meas_date(DAY)
    save_edf(raw, out / "muse.edf")


def eegmmidb(source: Path, out: Path) -> None:
    """Runs 1 (eyes open) and 2 (eyes closed): the first 60 s as they are."""
    for number in (1, 2):
        original = source / f"eegmmidb/S001/S001R{number:02d}_first60s.edf"
        shutil.copyfile(original, out / f"eegmmidb_{number}.edf")


def main() -> None:
    """Write every bundled recording."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--source", type=Path, required=True, help="folder with the originals")
    parser.add_argument("--out", type=Path, default=SAMPLES, help="folder to write into")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for make in (neuromag, eeglab, hypyp, muse, eegmmidb):
        make(args.source, args.out)
    for path in sorted([*args.out.glob("*.fif"), *args.out.glob("*.edf")]):
        print(f"{path.stat().st_size:9,d}  {path}")


if __name__ == "__main__":
    main()
