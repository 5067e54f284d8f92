"""The recordings that the bundled model ``nano`` is made from, and who is on which side.

Every recording of the folder whose licence is known and allows it, and whose sensors have places.
Left out: ``meg_hand`` (no geometry), two caps without a standard layout, a flat recording, and two
that are shorter than a window of 2 s (RICOH 160 and MGH 70).

A data set of the corpus lies on one side; its name ends in ``-validation`` or ``-test`` where that
side is not training.
"""

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import yaml
from decoding_data import MUSE, MUSE_SFREQ, write_all, write_fif

SIDES = ("train", "validation", "test")
EYESTATE_SFREQ = 128.0
BSD = "BSD-3-Clause"

SSVEP: dict[str, Any] = {
    "root": "ssvep",
    "subject": "^subject(\\d+)/",
    "position_unit": "mm",
    "unit": "mV",
    "line_freq": 50,
    "licence": "CC0-1.0",
    "device": "g.tec g.MOBIlab+",
}
MOTOR: dict[str, Any] = {
    "root": "eegmmidb",
    "subject": "^S(\\d+)/",
    "line_freq": 60,
    "licence": "ODC-By-1.0",
    "device": "BCI2000, 64 EEG",
}
NEUROMAG: dict[str, Any] = {
    "root": "SAMPLES",
    "subject": "^(neuromag)_",
    "licence": BSD,
    "device": "Neuromag VectorView",
}
HYPYP: dict[str, Any] = {
    "root": "rest_hypyp",
    "subject": "^(eyes-closed)",
    "licence": BSD,
    "device": "31-electrode cap",
}
MUSE_SET: dict[str, Any] = {
    "root": "TABLES/muse",
    "subject": "^(subject1)_",
    "line_freq": 60,
    "licence": BSD,
    "device": "InteraXon Muse",
}
FEIS: dict[str, Any] = {
    "root": "TABLES/feis",
    "subject": "^(\\d+)_",
    "line_freq": 50,
    "licence": "ODC-By-1.0",
    "device": "Emotiv EPOC+",
}
FORMATS: dict[str, Any] = {"root": "formats", "licence": BSD}


def _people(*subjects: str) -> dict[str, Any]:
    return {**SSVEP, "files": [f"subject{subject}/*_raw.fif" for subject in subjects]}


def _runs(*runs: int) -> dict[str, Any]:
    return {**MOTOR, "files": [f"S001/S001R{run:02}*.edf" for run in runs]}


DATASETS: dict[str, dict[str, Any]] = {
    "ssvep": _people("01", "02", "03"),
    "ssvep-validation": _people("04"),
    "ssvep-test": _people("05", "06"),
    "eegmmidb": _runs(3, 4, 5),
    "eegmmidb-validation": _runs(6),
    # Runs 1 and 2, eyes open and closed: both or neither, or a probe would tell what was seen.
    "eegmmidb-test": _runs(1, 2, 7, 8, 9, 10),
    "neuromag": {**NEUROMAG, "files": ["neuromag_1_raw.fif"]},
    "neuromag-test": {**NEUROMAG, "files": ["neuromag_2_raw.fif"]},
    "hypyp": {**HYPYP, "files": ["eyes-closed-1.edf"]},
    "hypyp-test": {**HYPYP, "files": ["eyes-closed-2.edf"]},
    "muse": {
        **MUSE_SET,
        "files": ["subject1_session1_run0[1-5]_raw.fif", "subject1_ssvep_*_raw.fif"],
    },
    "muse-validation": {**MUSE_SET, "files": ["subject1_session1_run06_raw.fif"]},
    "muse-test": {**MUSE_SET, "files": ["subject1_session2_*_raw.fif"]},
    "feis": {**FEIS, "files": ["01_raw.fif"]},
    "feis-test": {**FEIS, "files": ["04_raw.fif"]},
    "eyestate": {
        "root": "TABLES/eyestate",
        "files": ["eyestate_raw.fif"],
        "line_freq": 50,
        "licence": "CC-BY-4.0",
        "device": "Emotiv EPOC",
    },
    "ctf": {"root": "meg_ctf", "files": ["*_raw.fif", "*.ds"], "licence": BSD, "device": "CTF 275"},
    "kit": {
        **FORMATS,
        "files": ["*.sqd"],
        "head_transform": "device",
        "subject": "^(nyu)_",
        "device": "KIT 157",
    },
    "neuromag-90hz": {
        **FORMATS,
        "files": ["141027_*_raw.fif"],
        "head_transform": "device",
        "subject": "^(141027)_",
        "device": "Neuromag",
    },
    "egi": {**FORMATS, "files": ["*.mff"], "device": "EGI HydroCel 256"},
    "brainvision": {**FORMATS, "files": ["test.vhdr"], "device": "Brain Products, 26 EEG"},
    "neuroelectrics": {**FORMATS, "files": ["*.nedf"], "device": "Neuroelectrics 32"},
    # The one device that no side but this has.
    "eeglab-test": {
        "root": "eeglab",
        "files": ["*.set"],
        "licence": "BSD-2-Clause",
        "device": "32-electrode cap",
    },
}
"""Data sets of the corpus by name; roots below the folder of recordings, or named in capitals."""


def side_of(dataset: str) -> str:
    """Return the side that a data set lies on."""
    end = dataset.rpartition("-")[2]
    return end if end in SIDES else "train"


def write_tables(data: Path, out: Path) -> Path:
    """Write what is stored as tables of numbers as FIF, once; return the folder."""
    write_all(data, out)
    sources = sorted((data / "muse/visual/SSVEP/subject1/session1").glob("*.csv.gz"))
    nothing = mne.Annotations([], [], [])
    for run, source in enumerate(sources, start=1):
        path = out / "muse" / f"subject1_ssvep_run{run:02}_raw.fif"
        if not path.exists():
            values = pd.read_csv(source)[list(MUSE)].to_numpy().T
            write_fif(path, values, list(MUSE), MUSE_SFREQ, nothing)
    path = out / "eyestate" / "eyestate_raw.fif"
    if not path.exists():
        lines = (data / "eyestate_uci/EEG Eye State.arff").read_text().splitlines()
        names = [line.split()[1] for line in lines if line.startswith("@ATTRIBUTE")][:-1]
        rows = [line.split(",") for line in lines if line[:1].isdigit()]
        values = np.array(rows, float)[:, :-1].T
        values = values - np.median(values, axis=1, keepdims=True)
        write_fif(path, values, names, EYESTATE_SFREQ, nothing)
    return out


def write_catalogue(data: Path, out: Path) -> Path:
    """Write the catalogue of all data sets and the tables among them; return its path."""
    from brainfm.samples import sample_paths

    places = {
        "SAMPLES": str(sample_paths()[0].parent),
        "TABLES": str(write_tables(data, out / "tables").resolve()),
    }
    sets = {}
    for name, entry in DATASETS.items():
        first, _, rest = entry["root"].partition("/")
        root = Path(places.get(first, first)) / rest
        sets[name] = {**entry, "root": str(root)}
    path = out / "catalogue.yaml"
    path.write_text(yaml.safe_dump({"root": str(data.resolve()), "datasets": sets}))
    return path


def dataset_fractions() -> list[str]:
    """Return ``--dataset-fractions`` of ``brainfm corpus split``."""
    return [
        f"{name}:{','.join(f'{side}={int(side == side_of(name))}' for side in SIDES)}"
        for name in DATASETS
    ]


SOURCES = """
| data | licence | from |
|---|---|---|
| ssvep | CC0-1.0 | github.com/sylvchev/dataset-ssvep-exoskeleton |
| eegmmidb | ODC-By 1.0 | EEG Motor Movement/Imagery Dataset 1.0.0, doi:10.13026/C28G6P |
| muse | BSD-3-Clause | muse-lsl, github.com/alexandrebarachant/muse-lsl |
| feis | ODC-By 1.0 | Fourteen-channel EEG with Imagined Speech, doi:10.5281/zenodo.3369178 |
| eyestate | CC BY 4.0 | EEG Eye State, archive.ics.uci.edu/dataset/264 |
| neuromag, ctf, kit, neuromag-90hz, egi, brainvision, neuroelectrics | BSD-3-Clause | \
MNE-Python and its testing data |
| hypyp | BSD-3-Clause | HyPyP, github.com/ppsp-team/HyPyP |
"""
"""Attribution of the training and validation data, as their licences ask."""


def sources_section() -> str:
    """Return where the training data are from, what was done to them and what was left out."""
    return f"""## Sources

Bundled with brainfm: `brainfm.from_pretrained("nano")`, or `nano` wherever a command takes a
checkpoint; no network is needed. The model contains information from the data sets below, which
are made available under the licences named there; excerpts of them, as public packages and archives
ship them.
{SOURCES}
Muse, FEIS and EEG Eye State are tables of numbers, written as FIF first (electrodes placed by
name); the pieces of FEIS, one second each, follow each other, so that windows see their edges.
Recordings without 10 s of clean signal in a piece (ctf, kit, brainvision, egi, neuromag-90hz)
taught the tokenizer only.
Held out, wholly: SSVEP subjects 5 and 6, eegmmidb runs 1, 2 and 7 to 10, the second half of the
Neuromag excerpt, Muse session 2, the second FEIS person, the second HyPyP recording, and EEGLAB's
recording as a device that was never seen. SSVEP subject 4, eegmmidb run 6 and one Muse run chose
the weights, by the loss on them. eegmmidb and Muse are one person each, on all sides.
"""
