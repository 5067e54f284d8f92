"""Files of synthetic EEG, ``brainfm prepare`` on them, and what there is afterwards."""

import mne
import numpy as np

from brainfm.cli import main
from brainfm.corpus import Corpus

NAMES = ["Fz", "Cz", "Pz", "Oz", "C3", "C4"]


def write_eeg(path, seconds=6.0, seed=0, n_channels=6, sfreq=200.0, montage=True):
    rng = np.random.default_rng(seed)
    info = mne.create_info(NAMES[:n_channels], sfreq, "eeg")
    x = 1e-5 * rng.standard_normal((n_channels, int(seconds * sfreq)))
    raw = mne.io.RawArray(x, info, verbose="error")
    if montage:
        raw.set_montage(mne.channels.make_standard_montage("colin27_1005"), verbose="error")
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.save(path, overwrite=True, verbose="error")
    return path


def prepare(*arguments):
    return main(["prepare", *map(str, arguments)])


def digests(folder):
    return {info.id: info.digest for info in Corpus(folder).recordings}


def table(path):
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), row.split("\t"), strict=True)) for row in rows]
