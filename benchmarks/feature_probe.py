"""What features are good for: a logistic regression on trials of two data sets, groups left out."""

from pathlib import Path
from typing import Any

import mne
import numpy as np

TRIAL_S = (2.0, 7.0)
"""Of an SSVEP trial, after its cue."""
EYES_S = 4.0
STRETCHES = 4
BANDS_HZ = ((1, 4), (4, 8), (8, 12), (12, 14), (16, 18), (20, 22), (14, 30), (30, 45))


def features_of(encoder: Any, raw: Any, options: Any, layer: Any) -> Any:
    """Return features (T, N, D) and their times, s."""
    found = encoder.encode(raw, options, layer=layer)
    return found.values, found.times


def pooled(values: np.ndarray, times: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Return mean and standard deviation over the frames of a stretch, (2 N D,)."""
    inside = values[(times >= begin) & (times < end)]
    return np.concatenate([inside.mean(0).ravel(), inside.std(0).ravel()])


def band_power(raw: Any, begin: float, end: float) -> np.ndarray:
    """Return log power of every channel in every band, (C x bands,)."""
    from scipy.signal import welch

    sfreq = raw.info["sfreq"]
    x = raw.get_data(picks="eeg", tmin=begin, tmax=min(end, raw.times[-1]), units="uV")
    freqs, power = welch(x, sfreq, nperseg=int(sfreq))
    bands = [power[:, (freqs >= low) & (freqs <= high)].mean(1) for low, high in BANDS_HZ]
    return np.log(np.stack(bands) + 1e-12).ravel()


def accuracy(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> list[float]:
    """Return balanced accuracy of each left-out group, in the order of their names."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = []
    for group in np.unique(groups):
        test = groups == group
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        model.fit(x[~test], y[~test])
        found.append(float(balanced_accuracy_score(y[test], model.predict(x[test]))))
    return found


Trial = tuple[Path, float, float, Any, str]
"""File, begin and end in s, label, group."""


def ssvep_trials(data: Path) -> list[Trial]:
    """Return the trials of all six people."""
    trials: list[Trial] = []
    for path in sorted((data / "ssvep").glob("subject*/*_raw.fif")):
        raw = mne.io.read_raw_fif(path, preload=False, verbose="error")
        events = mne.read_events(str(path).replace("_raw.fif", "-eve.fif"), verbose="error")
        for sample, _, label in events:
            onset = (sample - raw.first_samp) / raw.info["sfreq"]
            if onset + TRIAL_S[1] <= raw.times[-1]:
                begin, end = onset + TRIAL_S[0], onset + TRIAL_S[1]
                trials.append((path, begin, end, label, path.parent.name))
    return trials


def eyes_trials(data: Path) -> list[Trial]:
    """Return pieces of the runs with eyes open and closed; stretches of time are the groups."""
    trials: list[Trial] = []
    for run, label in ((1, "open"), (2, "closed")):
        path = next((data / "eegmmidb").rglob(f"S001R{run:02}*.edf"))
        length = mne.io.read_raw_edf(path, verbose="error").times[-1]
        n = int(length // EYES_S)
        for k in range(n):
            # The first piece of a stretch is left out: its neighbour is on the other side.
            if k * STRETCHES // n == (k - 1) * STRETCHES // n or k == 0:
                group = f"stretch {k * STRETCHES // n}"
                trials.append((path, k * EYES_S, (k + 1) * EYES_S, label, group))
    return trials


MOVEMENT_S = 4.0
"""Of a trial with movement or rest; each lasts at least so long."""


def motor_trials(data: Path, labels: dict[str, str], runs: list[str]) -> list[Trial]:
    """Return the annotated trials of one person's runs (R03 ...), which are the groups."""
    trials: list[Trial] = []
    for run in runs:
        path = data / "eegmmidb" / "S001" / f"S001{run}.edf"
        for note in mne.io.read_raw_edf(path, verbose="error").annotations:
            if note["description"] in labels:
                label, begin = labels[note["description"]], float(note["onset"])
                trials.append((path, begin, begin + MOVEMENT_S, label, run))
    return trials


def read_raw(path: Path) -> Any:
    return mne.io.read_raw(path, preload=True, verbose="error")


def probe(
    trials: list[Trial], options: Any, encoders: dict[str, tuple[Any, Any]]
) -> dict[str, list[float]]:
    """Return the accuracies of every left-out group, by kind of features."""
    raws = {path: read_raw(path) for path in dict.fromkeys(trial[0] for trial in trials)}
    y, groups = np.array([t[3] for t in trials]), np.array([t[4] for t in trials])
    found = {}
    for name, (encoder, layer) in encoders.items():
        computed = {p: features_of(encoder, raw, options, layer) for p, raw in raws.items()}
        x = np.stack([pooled(*computed[t[0]], t[1], t[2]) for t in trials])
        found[name] = accuracy(x, y, groups)
    x = np.stack([band_power(raws[t[0]], t[1], t[2]) for t in trials])
    found["power in bands"] = accuracy(x, y, groups)
    return found
