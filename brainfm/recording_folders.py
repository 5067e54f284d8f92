"""The recordings below a folder, told by the endings of their names."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from brainfm.sources import BIDS_DESCRIPTION, is_plain_folder

ENDINGS = (
    ".fif",
    ".fif.gz",
    ".edf",
    ".bdf",
    ".gdf",
    ".set",
    ".vhdr",
    ".ahdr",
    ".cnt",
    ".con",
    ".sqd",
    ".nedf",
    ".lay",
    ".eeg",
)
"""Of files that may be recordings; tables and arrays do not say what measured them."""

HEADER_OF_SAMPLES = (".vhdr", ".VHDR")
"""Beside these, a file ``.eeg`` of the same name holds their samples."""

NO_SIGNAL = re.compile(
    r"[-_](eve|ave|cov|fwd|inv|trans|src|bem|bem-sol|proj|ica|dip|sss_cal|annot)\.fif(\.gz)?$"
)
"""What MNE calls FIF files that hold no recording."""


def recordings_below(folder: str | Path) -> list[Path]:
    """Return the recordings in a folder and all folders below it, sorted.

    Recordings that are folders themselves, and BIDS data sets, are returned as one. Names that
    begin with a dot are left out, so are later parts of files that MNE split.

    Raises
    ------
    ValueError
        There is none.
    """
    found = sorted(_walk(Path(folder)))
    if not found:
        raise ValueError(
            f"{folder}: no recording in it or below (looked for {', '.join(ENDINGS)} and folders "
            "of CTF, EGI, MEF and 4D/BTi)"
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        below = sorted(Path(entry.path) for entry in entries if not entry.name.startswith("."))
    for path in below:
        if path.is_dir():
            if (path / BIDS_DESCRIPTION).exists() or not is_plain_folder(path):
                yield path
            else:
                yield from _walk(path)
        elif _may_be_recording(path):
            yield path


def _may_be_recording(path: Path) -> bool:
    name = path.name.lower()
    if not name.endswith(ENDINGS) or NO_SIGNAL.search(name):
        return False
    if name.endswith(".eeg"):
        return not any(path.with_suffix(ending).exists() for ending in HEADER_OF_SAMPLES)
    return True
