"""Sounds, tables and recordings of noise in the layouts of published speech data sets."""

import mne
import numpy as np
from scipy.io import savemat, wavfile

from brainfm.samples import sample_paths
from brainfm.trial_events import content_id


def noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def sound(path, seconds=4.0, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, 8000, (noise(round(seconds * 8000), seed) / 9).astype("f4"))
    return content_id(path.read_bytes())


def table(path, rows, separator="\t"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(separator.join(map(str, row)) for row in rows) + "\n")


def fif(path, seconds=10.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    neuromag = next(path for path in sample_paths() if path.name == "neuromag_1_raw.fif")
    like = mne.io.read_info(neuromag, verbose="ERROR")
    info = mne.pick_info(like, mne.pick_types(like, meg=True)[:9])
    with info._unlock():
        info["sfreq"], info["lowpass"] = 100.0, 40.0
    mne.io.RawArray(1e-12 * noise((9, round(seconds * 100))), info, verbose="ERROR").save(
        path, verbose="ERROR"
    )


def brennan(root):
    names = [str(k) for k in range(1, 62) if k != 29] + ["VEOG", "AUD"]
    raw = {
        "label": np.array(names, dtype=object),
        "trial": 10 * noise((62, 2000)),
        "fsample": 500.0,
    }
    savemat(root / "S01.mat", {"raw": raw})
    # Trials of .3 s before and 1 s after a word; the words begin at samples 501, 751, 1001.
    trl = [[501 - 150, 501 + 500, -150, 1, 0.2, 1], [751 - 150, 1251, -150, 1, 0.7, 2],
           [1001 - 150, 1501, -150, 1, 1.2, 3]]  # fmt: skip
    (root / "proc").mkdir()
    proc = {"trl": np.array(trl, float), "varnames": np.array(["segment", "tmin", "Order"], object)}
    savemat(root / "proc" / "S01.mat", {"proc": proc})
    table(
        root / "AliceChapterOne-EEG.csv",
        [
            ["Word", "Segment", "onset", "offset", "Order", "Sentence", "Position"],
            ["Alice", 1, 0.2, 0.6, 1, 1, 1],
            ["was", 1, 0.7, 0.9, 2, 1, 2],
            ["So", 1, 1.2, 1.5, 3, 2, 1],
        ],
        ",",
    )
    return sound(root / "audio" / "DownTheRabbitHoleFinal_SoundFile1.wav")
