"""Synthetic people with a planted difference between classes, in files and as trials."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHANNELS = ("Fz", "C3", "Cz", "C4", "Pz", "Oz")
"""Of synthetic recordings; places from the standard montage."""
RHYTHM = {"left": (8.0, "C3"), "right": (20.0, "C4")}
"""Hz and channel of the oscillation that each class has."""
SFREQ, SPACING, LENGTH = 256.0, 2.0, 1.0
"""Hz; seconds between trials; seconds of a trial."""


def synthetic_signal(labels: list[str], snr: float, rng: np.random.Generator) -> Any:
    """Return noise (C, T) in volts with an oscillation of its class in every trial."""
    n_times = int(SFREQ * SPACING * (len(labels) + 1))
    x = rng.standard_normal((len(CHANNELS), n_times))
    times = np.arange(int(SFREQ * LENGTH)) / SFREQ
    for k, label in enumerate(labels):
        rate, channel = RHYTHM[label]
        start = int(SFREQ * SPACING * (k + 0.5))
        wave = np.sin(2 * np.pi * (rate * times + rng.random()))
        x[CHANNELS.index(channel), start : start + len(times)] += snr * wave
    return 1e-5 * x


@pytest.fixture(scope="session")
def planted_files() -> Callable[..., Path]:
    """Make synthetic FIF files with annotations, ``sub-K_run-R_task-synthetic_raw.fif``.

    Classes "left" and "right" differ by an oscillation (``snr`` times the noise's spread); with
    ``snr=0`` nothing can be decoded.
    """

    def make(
        folder: Path,
        *,
        subjects: int = 3,
        runs: int = 2,
        trials: int = 12,
        snr: float = 3.0,
        seed: int = 0,
    ) -> Path:
        import mne

        folder.mkdir(parents=True, exist_ok=True)
        for subject in range(1, subjects + 1):
            for run in range(1, runs + 1):
                rng = np.random.default_rng([seed, subject, run])
                labels = rng.permutation(["left", "right"] * (trials // 2)).tolist()
                with mne.use_log_level("ERROR"):
                    info = mne.create_info(list(CHANNELS), SFREQ, "eeg")
                    raw = mne.io.RawArray(synthetic_signal(labels, snr, rng), info)
                    raw.set_montage("standard_1020")
                    onsets = SPACING * (np.arange(trials) + 0.5)
                    raw.set_annotations(mne.Annotations(onsets, LENGTH, labels))
                    name = f"sub-{subject:02d}_task-synthetic_run-{run:02d}_raw.fif"
                    raw.save(folder / name, overwrite=True)
        return folder

    return make


@pytest.fixture(scope="session")
def planted_folder(
    planted_files: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Three synthetic people, two runs of 12 trials each, with an effect; ``cache`` beside it."""
    return planted_files(tmp_path_factory.mktemp("planted") / "files")


@pytest.fixture(scope="session")
def null_folder(
    planted_files: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Make the same without any effect."""
    return planted_files(tmp_path_factory.mktemp("null") / "files", snr=0.0)


@pytest.fixture(scope="session")
def planted_data(planted_folder: Path) -> Callable[..., Any]:
    """Make a :class:`DecodingData` of the planted files; settings go by name.

    ``folder`` names other files. Recordings are prepared once.
    """

    def make(folder: Path = planted_folder, **settings: Any) -> Any:
        from brainfm.finetune.data import DecodingData
        from brainfm.finetune.recording_sources import Files

        from brainfm.trial_splits import TrialSplitConfig
        from brainfm.trials import TrialConfig

        defaults: dict[str, Any] = {
            "source": Files(["*_raw.fif"], str(folder), dataset="synthetic"),
            "trials": TrialConfig(window=(0.0, LENGTH)),
            "split": TrialSplitConfig(by="subject"),
            "fold": 0,
            "batch_size": 8,
            "cache": str(folder.parent / "cache"),
        }
        return DecodingData(**(defaults | settings))

    return make


@pytest.fixture(scope="session")
def prepared_data(planted_data: Callable[..., Any]) -> Callable[..., Any]:
    """Make the same, prepared with the default processing."""

    def make(**settings: Any) -> Any:
        from brainfm.processing_config import ProcessingConfig

        data = planted_data(**settings)
        data.prepare(ProcessingConfig())
        return data

    return make


# Finished runs made by hand, for evaluation: nothing is trained.


def synthetic_trials(n_subjects: int, n_runs: int, n_events: int, n_contents: int) -> Any:
    """Return trials whose labels and stimuli take turns; four stimuli make a group."""
    from brainfm.recording_info import RecordingInfo
    from brainfm.trial_cutting import make_trials
    from brainfm.trial_events import Event
    from brainfm.trials import TrialConfig

    found = []
    for s, r in np.ndindex(n_subjects, n_runs):
        info = RecordingInfo(
            id=f"s{s}r{r}",
            dataset="synthetic",
            subject=f"s{s}",
            session=f"{r}",
            run=f"{r}",
            sfreq=100.0,
            n_times=200 * (n_events + 2),
            signal_digest=f"{s}{r}",
            digest=f"c{s}{r}",
        )
        contents = [(k + r) % n_contents for k in range(n_events)]
        events = [
            Event(onset=2.0 * (k + 1), name=f"c{c:02d}", stimulus=f"w{c:02d}", group=f"g{c // 4}")
            for k, c in enumerate(contents)
        ]
        found.append((info, events))
    return make_trials(found, TrialConfig(window=(0.0, 1.0)))


def synthetic_predictions(
    kind: str, trial: Any, rows: Any, effect: float, rng: Any, n: int, rivals: int
) -> Any:
    """Return predictions of a side, right by ``effect`` (see :func:`make_run`)."""
    from brainfm.finetune.predictions import Predictions
    from scipy.special import softmax

    target, size, perfect = rows[trial], len(trial), np.isinf(effect)
    gallery, truth, wrong = np.zeros(0, np.int64), np.zeros(0), np.zeros((size, 0), np.int64)
    if kind == "values":
        truth = np.random.default_rng(int(trial.sum())).standard_normal((size, 3))
        output = truth if perfect else rng.standard_normal((size, 3)) + effect * truth
    elif kind == "text":
        truth = np.array([f"word {k}" for k in target])
        said = np.where(rng.random(size) < effect, target, rng.integers(0, 9, size))
        output = np.array([f"word {k}" for k in said])
    else:
        right = np.eye(n)[target]
        output = right if perfect else effect * right + rng.standard_normal(right.shape)
    if kind == "classes":
        output = softmax(20 * output if perfect else output, axis=1)
    if kind == "retrieval":
        gallery = np.arange(n) if rivals else np.unique(target)
        wrong = (target[:, None] + 1 + np.arange(rivals)) % n
        output = output[:, gallery]
    return Predictions(
        trial=trial, target=target, output=output, truth=truth, gallery=gallery, rivals=wrong
    )


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a finished run of synthetic predictions.

    ``effect`` is what the right class, content or value gains over standard normal noise: 0 is a
    decoder of nothing, infinity a perfect one (the share of right texts, for those).
    """
    from brainfm.finetune.predictions import fold_path, predictions_path
    from brainfm.finetune.run_record import RunRecord

    from brainfm.trial_folds import split_trials
    from brainfm.trial_splits import TRIAL_SPLIT_FILE, TrialSplitConfig

    def make(
        name: str = "run",
        *,
        kind: str = "classes",
        effect: float = 0.0,
        seed: int = 0,
        subjects: int = 4,
        runs: int = 2,
        events: int = 24,
        contents: int = 4,
        by: str = "subject",
        folds: int | None = None,
        rivals: int = 0,
        **record: Any,
    ) -> Path:
        rng = np.random.default_rng(seed)
        trials = synthetic_trials(subjects, runs, events, contents)
        split = split_trials(trials, TrialSplitConfig(by=by, folds=folds))
        run = tmp_path / name
        for number, fold in enumerate(split.folds):
            fold_path(run, number).mkdir(parents=True)
            for side in ("validation", "test"):
                of_side = fold.indices(side), trials.targets, effect, rng, contents, rivals
                found = synthetic_predictions(kind, *of_side)
                found.save(predictions_path(fold_path(run, number), side))
        split.save(run / TRIAL_SPLIT_FILE, trials)
        units = ("recording", "subject", "session", "run", "dataset", "stimulus", "group")
        given: dict[str, Any] = {
            "kind": kind,
            "name": name,
            "synthetic": True,
            "ids": trials.classes,
            "n_folds": len(split.folds),
            "columns": {unit: tuple(trials.units(unit).tolist()) for unit in units}
            | {"label": tuple(trials.labels.tolist())},
            "onsets": tuple(trial.onset for trial in trials.rows),
            "trial_split_digest": split.digest,
            "overlap": "overlap with pretraining: none",
        }
        RunRecord(**(given | record)).save(run)
        return run

    return make
