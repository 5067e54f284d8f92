"""Does the stimulation frequency survive the codes? A classical detector before and after.

Six people looked at lights that flickered at 13, 17 or 21 Hz, or at none (Kalunga et al. 2016;
8 occipital electrodes, 256 Hz). Canonical correlation analysis with sines and cosines of each
frequency and its second harmonic (Lin et al. 2007) is computed from second 2 to second 7 after each
cue, on the prepared signal and on what its codes give back. Nothing in it is fitted but, for four
classes, a linear discriminant on the three correlations that tells rest from the rest; it is
trained on the original signals of all other people and used as it is on both.

    python benchmarks/ssvep_fidelity.py CHECKPOINT --data ../shared/data
    python benchmarks/ssvep_fidelity.py CHECKPOINT --data ../shared/data --subjects 05 06

Intervals are 95 % bootstrap intervals: over trials for one person, over people (and their trials)
for all. The loss is paired: the same trials before and after. The target is a loss of at most two
points at the default bit rate. By default all six people are shown; say --subjects with those that
the checkpoint was not trained on (05 06 for benchmarks/tokenizer_quality.py).
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne
import numpy as np
from scipy.signal import butter, sosfiltfilt

FREQUENCIES = {2: 13.0, 3: 21.0, 4: 17.0}
"""Event codes of the stimulation frequencies, Hz; 1 is rest."""

REST = 1
HARMONICS = 2
BAND = (5.0, 45.0)
SUBJECTS = ("01", "02", "03", "04", "05", "06")


@dataclass(frozen=True)
class Trials:
    """One person: label (N,) and, for original and reconstruction, correlations (N, 3)."""

    subject: str
    labels: np.ndarray
    original: np.ndarray
    through: np.ndarray
    waveform: float


def canonical_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return the largest canonical correlation of (n, T) and (m, T) over time.

    The cosine of the smallest angle between the spaces that the centred rows span.
    """
    bases = []
    for rows in (x, y):
        _, s, vt = np.linalg.svd(rows - rows.mean(1, keepdims=True), full_matrices=False)
        bases.append(vt[s > 1e-9 * max(s[0], 1e-30)])
    if not all(len(basis) for basis in bases):
        return 0.0
    return float(np.linalg.svd(bases[0] @ bases[1].T, compute_uv=False)[0])


def reference(frequency: float, n: int, sfreq: float) -> np.ndarray:
    """Return sines and cosines of a frequency and its harmonics, (2 x harmonics, n)."""
    angle = 2 * np.pi * frequency * np.arange(n) / sfreq
    return np.concatenate([[np.sin(k * angle), np.cos(k * angle)] for k in range(1, HARMONICS + 1)])


def detect(x: np.ndarray, sfreq: float, starts: np.ndarray, n: int) -> np.ndarray:
    """Return the correlation of every trial with every frequency, (N, 3)."""
    sos = butter(4, BAND, "bandpass", fs=sfreq, output="sos")
    x = sosfiltfilt(sos, x.astype(np.float64), axis=-1)
    waves = [reference(frequency, n, sfreq) for frequency in FREQUENCIES.values()]
    return np.array([[canonical_correlation(x[:, s : s + n], w) for w in waves] for s in starts])


def three_classes(scores: np.ndarray) -> np.ndarray:
    """Return the label of the frequency with the largest correlation."""
    return np.array(list(FREQUENCIES))[scores.argmax(1)]


def read_person(encoder: Any, corpus: Any, data: Path, subject: str, window: Any) -> Trials:
    """Send all recordings of a person through the codes and detect on both sides of them."""
    import torch

    from brainfm.fidelity import reconstruct_pieces
    from brainfm.objective import correlation

    length = encoder.model.tokenizer.cfg.window
    labels, before, after, waveform = [], [], [], []
    for i, info in enumerate(corpus.recordings):
        if info.subject != subject:
            continue
        path = data / "ssvep" / f"subject{subject}" / info.source
        events = mne.read_events(str(path).replace("_raw.fif", "-eve.fif"), verbose="error")
        raw = mne.io.read_raw_fif(path, preload=False, verbose="error")
        # The whole recording, flagged seconds too: nobody leaves trials out.
        n_windows = info.n_times // length
        result = reconstruct_pieces(encoder, corpus, i, [(0, n_windows)])
        x, y = result.original[0], result.reconstruction[0]
        onsets = (events[:, 0] - raw.first_samp) / raw.info["sfreq"]
        starts = np.round((onsets + window[0]) * result.sfreq).astype(int)
        n = round((window[1] - window[0]) * result.sfreq)
        inside = (starts >= 0) & (starts + n <= x.shape[1])
        labels.append(events[inside, 2])
        before.append(detect(x, result.sfreq, starts[inside], n))
        after.append(detect(y, result.sfreq, starts[inside], n))
        waveform.append(float(correlation(torch.from_numpy(y), torch.from_numpy(x)).mean()))
        if (~inside).any():
            print(f"{info.id}: {int((~inside).sum())} trials reach beyond the recording")
    joined = (np.concatenate(part) for part in (labels, before, after))
    return Trials(subject, *joined, float(np.mean(waveform)))


def right_answers(people: list[Trials], trained_on: list[Trials]) -> dict[str, dict[str, Any]]:
    """Return, by number of classes and person, whether each trial is right (before, after)."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    found: dict[str, dict[str, Any]] = {"3 classes": {}, "4 classes": {}}
    for one in people:
        lit = one.labels != REST
        pair = [three_classes(s)[lit] == one.labels[lit] for s in (one.original, one.through)]
        found["3 classes"][one.subject] = np.array(pair)
        others = [other for other in trained_on if other.subject != one.subject]
        model = LinearDiscriminantAnalysis()
        model.fit(
            np.concatenate([other.original for other in others]),
            np.concatenate([other.labels for other in others]),
        )
        pair = [model.predict(s) == one.labels for s in (one.original, one.through)]
        found["4 classes"][one.subject] = np.array(pair)
    return found


def interval(
    rows: list[np.ndarray], *, n_resamples: int = 4000, seed: int = 0
) -> tuple[list[float], list[list[float]]]:
    """Return accuracy before, after and the loss, and their 95 % intervals.

    Parameters
    ----------
    rows
        (2, N) right or wrong before and after, for each person.
    """
    rng = np.random.default_rng(seed)

    def numbers(means: np.ndarray) -> np.ndarray:
        before, after = means.mean(0)
        return np.array([before, after, before - after])

    drawn = []
    for _ in range(n_resamples):
        people = rng.integers(0, len(rows), len(rows)) if len(rows) > 1 else [0]
        means = []
        for k in people:
            n = rows[k].shape[1]
            means.append(rows[k][:, rng.integers(0, n, n)].mean(1))
        drawn.append(numbers(np.array(means)))
    value = numbers(np.array([row.mean(1) for row in rows]))
    edges = np.quantile(drawn, [0.025, 0.975], axis=0).T
    return value.tolist(), edges.tolist()


def prepare(data: Path, out: Path, encoder: Any) -> Any:
    """Prepare all people's recordings as the checkpoint's training data was."""
    import yaml
    from quality_corpus import SSVEP, people

    from brainfm.catalogue import catalogue_sources, read_catalogue
    from brainfm.corpus import Corpus
    from brainfm.preparation_run import prepare_corpus

    out.mkdir(parents=True, exist_ok=True)
    listing = {"ssvep": {**SSVEP, "files": people(*SUBJECTS)}}
    catalogue = out / "catalogue.yaml"
    catalogue.write_text(yaml.safe_dump({"root": str(data.resolve()), "datasets": listing}))
    sources = catalogue_sources(read_catalogue(catalogue))
    if prepare_corpus(out / "corpus", sources, encoder.model.record.processing):
        raise SystemExit("a recording could not be prepared")
    return Corpus(out / "corpus")


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds ssvep/")
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS), choices=SUBJECTS)
    parser.add_argument("--window", nargs=2, type=float, default=(2.0, 7.0), help="s after the cue")
    parser.add_argument(
        "--out", type=Path, help="folder for corpus and numbers; else a passing one"
    )
    args = parser.parse_args()
    from brainfm.encoder import Encoder
    from brainfm.fidelity_card_numbers import bits_per_second

    with tempfile.TemporaryDirectory() as passing:
        out = args.out or Path(passing)
        encoder = Encoder.from_pretrained(args.checkpoint)
        corpus = prepare(args.data, out, encoder)
        everyone = [read_person(encoder, corpus, args.data, s, args.window) for s in SUBJECTS]
        shown = [one for one in everyone if one.subject in args.subjects]
        answers = right_answers(shown, everyone)
        rate = bits_per_second(encoder.model.tokenizer.cfg)
        numbers: dict[str, Any] = {
            "checkpoint": str(args.checkpoint),
            "bits_per_second": rate,
            "window_s": list(args.window),
            "waveform_correlation": {one.subject: one.waveform for one in shown},
        }
        print(f"{rate:g} bit/s; accuracy of CCA, {args.window[0]:g} to {args.window[1]:g} s")
        for classes, by_person in answers.items():
            chance = 1 / int(classes[0])
            print(f"\n{classes} (chance {chance:.2f})")
            print(f"{'':<12}{'trials':>7}{'original':>22}{'reconstruction':>22}{'loss':>24}")
            rows = {**{f"subject {s}": [row] for s, row in by_person.items()}}
            rows["all"] = list(by_person.values())
            for name, members in rows.items():
                value, edges = interval(members)
                cells = [
                    f"{v:.3f} [{low:.3f}, {high:.3f}]"
                    for v, (low, high) in zip(value, edges, strict=True)
                ]
                n = sum(row.shape[1] for row in members)
                print(f"{name:<12}{n:>7}{cells[0]:>22}{cells[1]:>22}{cells[2]:>24}")
                numbers.setdefault(classes, {})[name] = {
                    "trials": n,
                    **dict(zip(("original", "reconstruction", "loss"), value, strict=True)),
                    "intervals": edges,
                }
        loss = numbers["4 classes"]["all"]["loss"]
        print(f"\nloss {100 * loss:.1f} points in 4 classes (target: at most 2)")
        if args.out:
            (out / "ssvep_fidelity.json").write_text(json.dumps(numbers, indent=1))
            print(f"numbers in {out / 'ssvep_fidelity.json'}")


if __name__ == "__main__":
    main()
