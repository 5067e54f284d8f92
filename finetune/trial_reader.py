"""From places in the table of trials to batches; also in other processes.

Shapes: N trials of a batch, C sensors, T samples, R rivals.
"""

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.batches import Batch, Window, batch_bytes, batch_in, clear, collate
from brainfm.config_json import to_json
from brainfm.corpus import Corpus
from brainfm.recording_info import content_hash
from brainfm.sensors import SensorArray
from brainfm.trial_windows import TrialWindows, corpus_signals
from brainfm.trials import Trials, samples_of

from .circular_shift import shifted_trials
from .input_control import InputControl, noise_like
from .modalities import modality_of
from .passages import passages
from .robust_scaling import RobustScaling
from .targets import Targets
from .trial_batch import TrialBatch

MAX_EXAMPLES = 8
"""Trials of every kind that models are built from."""


class FeatureRows(Protocol):
    """Features of trials that were computed before."""

    def rows(self, trials: Tensor) -> Tensor:
        """Return features (N, P, sources, D) of trials, by place in the table."""


def subjects_of(trials: Trials, training: NDArray[np.int64]) -> tuple[str, ...]:
    """Return the subjects of training trials by name; slot k + 1 is that of the k-th."""
    return tuple(np.unique(trials.units("subject")[training]).tolist())


class TrialReader:
    """Reads batches of trials.

    Parameters
    ----------
    trials
        The table.
    corpus
        Where the samples are.
    targets
        What is right for each trial.
    control
        Noise or shifted windows, if any.
    training
        Training trials of the fold; None: no fold, all subjects are unknown.
    scaling, clamp
        As in :class:`~.data.DecodingData`.
    several
        Whether recordings are of several modalities.
    """

    def __init__(
        self,
        trials: Trials,
        corpus: Corpus,
        targets: Targets,
        control: InputControl,
        *,
        training: NDArray[np.int64] | None = None,
        scaling: Literal["none", "robust"] = "none",
        clamp: float | None = None,
        several: bool = False,
    ) -> None:
        self.trials, self.corpus, self.control = trials, corpus, control
        seen = shifted_trials(trials, control) if control.kind == "shifted" else trials
        self._windows = TrialWindows(seen, corpus_signals(corpus, trials))
        self._place = {info.id: k for k, info in enumerate(corpus.recordings)}
        self._sensors: dict[str, SensorArray] = {}
        self.features: FeatureRows | None = None
        self.passage = passages(trials)
        self.onset = np.array([trial.onset for trial in trials.rows], dtype=np.float32)
        none = np.zeros((len(trials), 0), dtype=np.int64)
        self.target = targets.rows
        self.rivals = none if targets.rivals is None else targets.rivals
        training = np.zeros(0, dtype=np.int64) if training is None else training
        slots = {name: k for k, name in enumerate(subjects_of(trials, training), start=1)}
        names = trials.units("subject").tolist()
        self.subject = np.array([slots.get(name, 0) for name in names], dtype=np.int64)
        self.clamp = clamp
        self.modality = trial_modalities(trials) if several else None
        self.scaling = RobustScaling(trials, training, self.raw) if scaling == "robust" else None

    @property
    def digest(self) -> str:
        """Return a hash of all that decides the samples of the windows; targets do not count."""
        changed = self.control.kind in ("noise", "shifted")
        return content_hash(
            self.trials.digest,
            self.corpus.config_json,
            to_json(self.control) if changed else None,
            None if self.scaling is None else self.scaling.training.tolist(),
            self.clamp,
        )

    def raw(self, k: int) -> NDArray[np.float32]:
        """Return the window of a trial, less its baseline, NaN where nothing was acquired, (C, T).

        It is noise where that is the control.
        """
        window: NDArray[np.float32] = self._windows[k]
        if self.control.kind != "noise":
            return window
        trial = self._windows.trials.rows[k]
        info = self.trials.recordings[trial.recording]
        return noise_like(window, self.control, info.digest or info.id, trial.onset)

    def sensors(self, recording: str) -> SensorArray:
        """Return the sensors of a recording."""
        if recording not in self._sensors:
            self._sensors[recording] = self.corpus.sensors(self._place[recording])
        return self._sensors[recording]

    def window(self, k: int) -> Window:
        """Return the window of a trial as models get it."""
        trial = self._windows.trials.rows[k]
        place, info = self._place[trial.recording], self.trials.recordings[trial.recording]
        channels, x = self.corpus.channels(place), self.raw(k)
        scale = channels.scale
        if self.scaling is not None:
            x = self.scaling(trial.recording, x)
            scale = scale * self.scaling.spread(trial.recording).range
        if self.clamp is not None:
            x = np.clip(x, -self.clamp, self.clamp)
        missing = np.isnan(x)
        return Window(
            x=np.where(missing, np.float32(0), x) if missing.any() else x,
            sensors=self.sensors(trial.recording),
            good=channels.good & ~missing.all(axis=1),
            scale=np.nan_to_num(scale, nan=1.0),
            lowpass=math.nan if info.lowpass is None else info.lowpass,
            recording=place,
            start=samples_of(trial.onset, self.trials.config.window, info.sfreq)[0],
        )

    def stacked(self, trials: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the windows of trials whose recordings have the same channels, (N, C, T)."""
        chosen = [int(k) for k in trials]
        first: tuple[str, ...] | None = None
        for recording in sorted({self.trials.rows[k].recording for k in chosen}):
            names = self.sensors(recording).names
            if first is not None and names != first:
                raise ValueError(
                    f"recording {recording} has other channels than the others ({len(names)} and "
                    f"{len(first)}); classical decoders need the same in all"
                )
            first = names
        found = [self.window(k) for k in chosen]
        return np.stack([np.where(w.good[:, None], w.x, np.float32(0)) for w in found])

    def __call__(self, trials: NDArray[np.int64]) -> TrialBatch:
        """Return the batch of some trials, in the order given; of features where there are some."""
        return self.batch(trials, features=self.features)

    def batch(self, trials: NDArray[np.int64], *, features: FeatureRows | None) -> TrialBatch:
        """Return a batch with features, or with the signal where none are given."""
        if features is None:
            return self._batch(trials, None, collate([self.window(int(k)) for k in trials]))
        rows = features.rows(torch.from_numpy(np.asarray(trials, dtype=np.int64)))
        return self._batch(trials, rows, no_signal(len(trials)))

    def example(self) -> TrialBatch:
        """Return the signal of one trial of each of some recordings, for building models.

        Trials of several modalities are in one batch here, NaN after the end of the shorter.
        """
        several, kinds = self.modality is not None, self.modality
        if kinds is None:
            kinds = np.full(len(self.trials), "")
        chosen = example_trials(self.trials, kinds)
        windows = [self.window(int(k)) for k in chosen]
        if several:
            longest = max(window.x.shape[1] for window in windows)
            windows = [_lengthened(window, longest) for window in windows]
        return self._batch(chosen, None, collate(windows))

    def _batch(
        self, trials: NDArray[np.int64], features: Tensor | None, signal: Batch
    ) -> TrialBatch:
        return TrialBatch(
            signal=signal,
            features=features,
            subject=torch.from_numpy(self.subject[trials]),
            target=torch.from_numpy(self.target[trials]),
            rivals=torch.from_numpy(self.rivals[trials]),
            passage=torch.from_numpy(self.passage[trials]),
            onset=torch.from_numpy(self.onset[trials]),
            trial=torch.from_numpy(np.asarray(trials, dtype=np.int64)),
        )


def trial_modalities(trials: Trials) -> NDArray[np.str_]:
    """Return the modality of every trial, by the sensors of its recording."""
    named = {key: modality_of(list(info.types)) for key, info in trials.recordings.items()}
    return np.array([named[trial.recording] for trial in trials.rows], dtype=np.str_)


def _lengthened(window: Window, n_times: int) -> Window:
    end = ((0, 0), (0, n_times - window.x.shape[1]))
    return window._replace(x=np.pad(window.x, end, constant_values=np.nan))


def example_trials(trials: Trials, kinds: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return a trial of each of some recordings of every kind, as many people as possible.

    Models are built from them, and devices (and voxels) of people may differ.
    """
    order = {trial.recording: k for k, trial in enumerate(trials.rows)}
    places = np.array(sorted(order.values()), dtype=np.int64)
    people, chosen = trials.units("subject"), []
    for kind in np.unique(kinds[places]).tolist():
        of_kind = places[kinds[places] == kind]
        _, first = np.unique(people[of_kind], return_index=True)
        others = np.setdiff1d(np.arange(len(of_kind)), first)
        chosen.append(of_kind[np.concatenate([first, others])[:MAX_EXAMPLES]])
    return np.sort(np.concatenate(chosen))


def no_signal(n: int) -> Batch:
    """Return a batch of n windows without channels, of one sample."""
    batch = batch_in(torch.empty(batch_bytes(n, 0, 1), dtype=torch.uint8), n, 0, 1)
    clear(batch)
    batch.lowpass.fill_(math.nan)
    batch.recording.zero_()
    batch.start.zero_()
    return batch
