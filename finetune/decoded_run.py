"""What a finished run decoded: its record, its split and the predictions of all folds together.

Shapes: N test trials of all folds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainfm.bootstrap import MIN_UNITS
from brainfm.recording_info import content_hash
from brainfm.trial_splits import TRIAL_SPLIT_FILE, TrialSplit

from .predictions import Predictions, fold_path, predictions_path
from .run_record import RunRecord

ROW = ("recording", "label", "stimulus", "group")
N_STRETCHES = 6
"""Parts of a recording that stand for blocks where a subject has no second run."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedRun:
    """A run and what it said of its test trials.

    Parameters
    ----------
    path
        Its folder.
    record
        What it says of itself.
    split
        Which trial was on which side.
    folds
        Predictions of the test side of every fold.
    """

    path: Path
    record: RunRecord
    split: TrialSplit
    folds: tuple[Predictions, ...]

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Return the places of the pooled trials, as the folds give them, by trial: (N,)."""
        trial = np.concatenate([fold.trial for fold in self.folds])
        if len(np.unique(trial)) < len(trial):
            raise ValueError(f"{self.path}: a trial is on the test side of two folds")
        return np.argsort(trial)

    @cached_property
    def trial(self) -> NDArray[np.int64]:
        """Return the place in the table of every test trial, rising, (N,)."""
        return self.pooled([fold.trial for fold in self.folds])

    @cached_property
    def fold(self) -> NDArray[np.int64]:
        """Return which fold tested each trial, (N,)."""
        return self.pooled([np.full(len(f.trial), k) for k, f in enumerate(self.folds)])

    @cached_property
    def target(self) -> NDArray[np.int64]:
        """Return the row of each trial's target, (N,)."""
        return self.pooled([fold.target for fold in self.folds])

    def pooled(self, arrays: Sequence[NDArray]) -> NDArray:
        """Return arrays of the folds as one, in the order of :attr:`trial`."""
        return np.concatenate(arrays)[self.order]

    def column(self, name: str) -> NDArray[np.str_]:
        """Return a column of the test trials, (N,)."""
        return np.array(self.record.columns[name], dtype=np.str_)[self.trial]

    @cached_property
    def subjects(self) -> NDArray[np.str_]:
        """Return whose trial each is, (N,)."""
        return self.column("subject")

    @cached_property
    def shuffled_within(self) -> NDArray[np.str_]:
        """Return what the targets of a permutation test stay within: recording and fold, (N,)."""
        names = zip(self.column("recording").tolist(), self.fold.tolist(), strict=True)
        return np.array([f"{recording} {fold}" for recording, fold in names], dtype=np.str_)

    @cached_property
    def blocks(self) -> tuple[str, NDArray[np.str_]]:
        """Return the blocks of intervals for few subjects: what they are called, and of each trial.

        Sessions where every subject has two and there are three in all, else runs, else recordings,
        else stretches of consecutive trials, which tell nothing of another day.
        """
        for name in ("session", "run", "recording"):
            units = self.column(name)
            pairs = set(zip(self.subjects.tolist(), units.tolist(), strict=True))
            each = [sum(s == who for s, _ in pairs) for who in set(self.subjects.tolist())]
            if min(each) >= 2 and sum(each) >= MIN_UNITS:
                return f"{name}s", units
        return "stretches of trials", self._stretches()

    def _stretches(self) -> NDArray[np.str_]:
        recording = self.column("recording")
        onset = np.array(self.record.onsets)[self.trial]
        found = np.empty(len(recording), dtype=f"<U{recording.itemsize // 4 + 8}")
        for name in np.unique(recording):
            members = np.flatnonzero(recording == name)
            members = members[np.argsort(onset[members], kind="stable")]
            for k, part in enumerate(np.array_split(members, N_STRETCHES)):
                found[part] = f"{name} {k}"
        return found

    @cached_property
    def identity(self) -> str:
        """Return a hash of the trials and of their sides; equal for runs that can be paired.

        Windows and preparation of the recordings do not count: they belong to the decoder.
        """
        columns = [self.record.columns[name] for name in ROW]
        onsets = [round(onset, 6) for onset in self.record.onsets]
        sides = [fold.sides for fold in self.split.folds]
        tested = [fold.trial.tolist() for fold in self.folds]
        return content_hash(columns, onsets, sides, tested)


def load_run(path: Path) -> DecodedRun:
    """Read a finished run.

    Raises
    ------
    FileNotFoundError
        It is no run, or a fold was not finished.
    ValueError
        A file is damaged, or predictions are not of the trials of the test side.
    """
    record = RunRecord.load(path)
    manifest = path / TRIAL_SPLIT_FILE
    if not manifest.is_file():
        raise FileNotFoundError(f"{manifest} is missing; the run was not finished or was moved")
    split = TrialSplit.load(manifest)
    if split.digest != record.trial_split_digest:
        raise ValueError(f"{manifest} is not the split of the run beside it; restore it")
    folds = tuple(
        Predictions.load(predictions_path(fold_path(path, k), "test"))
        for k in range(record.n_folds)
    )
    for k, found in enumerate(folds):
        expected = split.folds[k].indices("test")
        if not np.array_equal(found.trial, expected):
            raise ValueError(
                f"{fold_path(path, k)}: predictions are not of the {len(expected)} test trials of "
                "the split; run the fold again"
            )
    return DecodedRun(path=path, record=record, split=split, folds=folds)
