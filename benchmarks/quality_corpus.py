"""The fixed recordings on which benchmarks of quality train and are judged, and their sides."""

from pathlib import Path
from typing import Any

import yaml

SIDES = ("train", "validation", "test")
SSVEP_TEST = ("05", "06")
SSVEP = {
    "position_unit": "mm",
    "unit": "mV",
    "line_freq": 50,
    "subject": "^subject(\\d+)/",
    "root": "ssvep",
}
MOTOR = {"root": "eegmmidb", "line_freq": 60, "subject": "^S(\\d+)/"}
HERE = ("neuromag_1_raw.fif", "neuromag_2_raw.fif", "muse.edf")
"""Halves of the Neuromag recording and the Muse as EDF: bundled with brainfm."""


def runs_of(*runs: int) -> list[str]:
    return [f"S001/S001R{run:02}*.edf" for run in runs]


def people(*subjects: str) -> list[str]:
    return [f"subject{subject}/*_raw.fif" for subject in subjects]


DATASETS: dict[str, dict[str, Any]] = {
    "train-motor": {**MOTOR, "files": runs_of(1, 3, 4, 5)},
    "train-ssvep": {**SSVEP, "files": people("01", "02", "03")},
    "train-hypyp": {"root": "rest_hypyp", "files": ["*.edf"]},
    "train-neuromag": {"files": [HERE[0]]},
    "validation-motor": {**MOTOR, "files": runs_of(6)},
    "validation-ssvep": {**SSVEP, "files": people("04")},
    "test-motor": {**MOTOR, "files": runs_of(7, 8, 9, 10)},
    "test-ssvep": {**SSVEP, "files": people(*SSVEP_TEST)},
    "test-neuromag": {"files": [HERE[1]]},
    "test-eeglab": {"root": "eeglab", "files": ["*.set"]},
    "test-muse": {"files": [HERE[2]]},
}
"""Recordings below --data, by side and kind; without a root: bundled ones."""


def command(*words: str) -> None:
    """Run a brainfm command in this process."""
    from brainfm.cli import main

    print("brainfm", *words, flush=True)
    if main(["--debug", *words]):
        raise SystemExit(f"failed: brainfm {' '.join(words)}")


def make_corpus(data: Path, out: Path) -> Path:
    """Prepare and divide the recordings, once."""
    from brainfm.samples import sample_paths

    corpus, catalogue = out / "corpus", out / "catalogue.yaml"
    bundled = str(sample_paths()[0].parent)
    sets = {name: {"root": bundled, **entry} for name, entry in DATASETS.items()}
    out.mkdir(parents=True, exist_ok=True)
    catalogue.write_text(yaml.safe_dump({"root": str(data.resolve()), "datasets": sets}))
    if not (corpus / "split.json").exists():
        command("prepare", "--catalogue", str(catalogue), "--out", str(corpus))
        shares = [
            f"{name}:{','.join(f'{side}={int(name.startswith(side))}' for side in SIDES)}"
            for name in DATASETS
        ]
        command("corpus", "split", str(corpus), "--by", "recording", "--dataset-fractions", *shares)
    return corpus
