"""The data of fine-tuning: trials with targets and folds, as batches for this rank.

Shapes: N trials, C sensors, T samples.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainfm.pretraining_overlap import PretrainingOverlap, pretraining_overlap
from brainfm.processing_config import ProcessingConfig
from brainfm.splits import Split
from brainfm.stage_data import StageData
from brainfm.trial_splits import Fold, TrialSplitConfig
from brainfm.trials import TrialConfig

from . import recording_sources  # noqa: F401  # the command line lists the sources it knows
from .decoding_trials import make_decoding_trials
from .input_control import InputControl, shuffled_targets
from .modalities import MODALITY
from .targets import LabelTargets, Targets, TargetSource
from .trial_batch import TrialBatch
from .trial_reader import FeatureRows, TrialReader, subjects_of
from .trial_source import TrialSource
from .trial_stream import TrialStream

Side = Literal["train", "validation", "test", "all"]
CACHE = "corpus"
"""Folder of prepared recordings in the folder of a run, where no other is named."""


class DecodingData(StageData[TrialBatch]):
    """Trials of a data set, one fold of their division at a time.

    Parameters
    ----------
    source
        Where recordings and events come from.
    trials
        Which events, which windows.
    split
        How trials are divided.
    targets
        What is decoded; not given: the labels, as classes.
    fold
        Number of the fold, from 0; the command runs all if none is given.
    batch_size
        Trials in a step of the optimizer (or in each of the batches that are accumulated), of all
        ranks together.
    seed
        Of the order of trials.
    control
        Null control.
    scaling
        ``robust``: every channel of a recording less its median, in interquartile ranges, taken
        from windows of training; ``none``: as the corpus has it, one scale per sensor type.
    clamp
        Largest magnitude of a sample after that; none: as it is.
    keep_passages
        Keep the trials of a passage (the words of a sentence) in one batch, by onset.
    cache
        Folder for the prepared recordings, which many runs may share; none: ``corpus`` in that of
        the run.
    n_workers
        Reading processes of each rank.
    n_jobs
        Processes that prepare recordings; -1: one per core.
    pretraining_splits
        ``split.json`` of the corpora that the checkpoint was trained on, where it does not have
        them itself.
    """

    def __init__(
        self,
        source: TrialSource,
        trials: TrialConfig = TrialConfig(),  # noqa: B008  # frozen
        split: TrialSplitConfig = TrialSplitConfig(),  # noqa: B008  # frozen
        targets: TargetSource | None = None,
        fold: int | None = None,
        batch_size: int = 32,
        seed: int = 0,
        control: InputControl = InputControl(),  # noqa: B008  # frozen
        scaling: Literal["none", "robust"] = "none",
        clamp: float | None = None,
        keep_passages: bool = False,
        cache: str | None = None,
        n_workers: int = 0,
        n_jobs: int = 1,
        pretraining_splits: list[str] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"data.batch_size must be at least 1, got {batch_size}")
        if seed < 0 or n_workers < 0:
            raise ValueError(
                f"data.seed ({seed}) and data.n_workers ({n_workers}) must not be negative"
            )
        if fold is not None and fold < 0:
            raise ValueError(f"data.fold counts from 0, got {fold}")
        if clamp is not None and not clamp > 0:
            raise ValueError(f"data.clamp must be positive or null, got {clamp}")
        self.source, self.trial_config, self.split_config = source, trials, split
        self.target_source: TargetSource = targets or LabelTargets()
        self.fold, self.batch_size, self.seed, self.control = fold, batch_size, seed, control
        self.scaling, self.clamp, self.keep_passages = scaling, clamp, keep_passages
        self.cache, self.n_workers, self.n_jobs = cache, n_workers, n_jobs
        self.pretraining_splits = list(pretraining_splits or ())
        self._processing: ProcessingConfig | None = None

    def prepare_data(self) -> None:
        """Prepare the recordings, in one process of each machine."""
        if self._wanted() != self._processing:
            self.source.prepare(self._folder(), self._wanted(), n_jobs=self.n_jobs)

    def setup(self, stage: str) -> None:
        """Make trials, targets and folds; refuse to train where the audit found anything."""
        self.prepare(self._wanted())
        if self.findings:
            more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
            raise ValueError(f"the folds leak: {self.findings[0]}{more}; change data.split")

    def prepare(self, processing: ProcessingConfig) -> None:
        """Prepare recordings as a model wants them and make trials, targets and folds.

        What is there already is not made again.

        Raises
        ------
        ValueError
            Recordings that cannot be read, events that are not there, trials that cannot be
            divided, a class that is tested but not trained, a fold that does not exist.
        """
        if processing == self._processing:
            return
        corpus, cuts = self.source.prepare(self._folder(), processing, n_jobs=self.n_jobs)
        made = make_decoding_trials(
            corpus, cuts, self.trial_config, self.split_config, self.target_source
        )
        self.made, self.corpus, self.trials = made, made.corpus, made.trials
        self.split, self.findings = made.split, made.findings
        if self.fold is not None and self.fold >= self.n_folds:
            raise ValueError(f"data.fold is {self.fold}, but there are {self.n_folds}, from 0")
        self.targets = self._controlled(made.targets)
        self.reader = TrialReader(
            self.trials,
            self.corpus,
            self.targets,
            self.control,
            training=None if self.fold is None else self.indices("train"),
            scaling=self.scaling,
            clamp=self.clamp,
            several=self.source.one_modality_batches,
        )
        self.__dict__.pop("example", None)
        self._processing = processing

    def _folder(self) -> Path | None:
        if self.cache is not None:
            return Path(self.cache).expanduser()
        if self.trainer is None:
            return None
        run = Path(self.trainer.default_root_dir)
        return (run if self.fold is None else run.parent) / CACHE

    def _wanted(self) -> ProcessingConfig:
        assert self.trainer is not None
        module: Any = self.trainer.lightning_module
        wanted: ProcessingConfig = module.backbone.processing
        return wanted

    def _controlled(self, true: Targets) -> Targets:
        if self.control.kind != "shuffled" or self.fold is None:
            return true
        sides = [self.indices("train"), self.indices("validation")]
        return shuffled_targets(true, self.trials, sides, self.control)

    @property
    def n_folds(self) -> int:
        """Return the number of folds."""
        return len(self.split.folds)

    @property
    def this_fold(self) -> Fold:
        """Return the fold that is worked on."""
        if self.fold is None:
            raise ValueError("data.fold is missing: name the number of a fold, from 0")
        return self.split.folds[self.fold]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return the subjects of training in this fold; slot k + 1 is that of the k-th."""
        return subjects_of(self.trials, self.indices("train"))

    @property
    def synthetic(self) -> bool:
        """Return whether any recording was simulated, by its source or by its name."""
        return self.source.synthetic or self.made.named_synthetic

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return of every trial its units, label and stimulus, by name, in the table's order."""
        modality = self.reader.modality
        more = {} if modality is None else {MODALITY: tuple(modality.tolist())}
        return self.made.columns | more

    @property
    def input_digest(self) -> str:
        """Return a hash of all that decides the samples of the windows; targets do not count."""
        return self.reader.digest

    def overlap(
        self, training: Mapping[str, Any], splits: Iterable[Split] = ()
    ) -> PretrainingOverlap:
        """Return what trials have in common with what a checkpoint (its ``training``) has seen.

        ``splits`` are manifests that the checkpoint has, besides those of the settings.
        """
        known = [*splits, *(Split.load(path) for path in self.pretraining_splits)]
        return pretraining_overlap(self.trials, training, known)

    def summary(self) -> dict[str, Any]:
        """Return what a model card says of the training data."""
        chosen = self.indices("train")
        return {
            "trials_digest": self.trials.digest,
            "split_digest": self.split.digest,
            "fold": self.fold,
            "trials": len(chosen),
            "subjects": len(self.subjects),
            "datasets": sorted({info.dataset for info in self.trials.recordings.values()}),
            "synthetic": self.synthetic,
        }

    def indices(self, side: str) -> NDArray[np.int64]:
        """Return the trials of a side of this fold, or of "all"."""
        if side == "all":
            return np.arange(len(self.trials), dtype=np.int64)
        return self.this_fold.indices(side)

    def names(self, trials: Sequence[int]) -> list[str]:
        """Return the recordings of some trials, each once."""
        return sorted({self.trials.rows[k].recording for k in trials})

    def use_features(self, store: FeatureRows) -> None:
        """Let batches carry features that were computed before instead of signal."""
        self.reader.features = store

    def loader(self, side: str, *, shuffle: bool) -> TrialStream:
        """Return a new loader of a side's trials for this rank."""
        assert self.trainer is not None
        return self._stream(
            side, self.trainer.global_rank, self.trainer.world_size, shuffle=shuffle
        )

    def side_batches(self, side: Side, *, rank: int = 0, world_size: int = 1) -> TrialStream:
        """Return the batches of a side in the order of the table, each trial once.

        By default all of them, whatever rank this is; else the part of a rank.
        """
        return self._stream(side, rank, world_size, shuffle=False)

    def _stream(self, side: str, rank: int, world_size: int, *, shuffle: bool) -> TrialStream:
        chosen = self.indices(side)
        return TrialStream(
            self.reader,
            chosen,
            batch_size=self.batch_size,
            passage=self.reader.passage[chosen] if self.keep_passages else None,
            kind=None if self.reader.modality is None else self.reader.modality[chosen],
            rank=rank,
            world_size=world_size,
            seed=self.seed,
            shuffle=shuffle,
            n_workers=self.n_workers if self.reader.features is None else 0,
        )

    def windows(self, trials: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the windows of some trials as an array (n, C, T), for classical decoders.

        Channels that are bad in a recording are zero in its windows.

        Raises
        ------
        ValueError
            The recordings have different channels.
        """
        return self.reader.stacked(trials)

    def val_dataloader(self) -> Any:
        """Return the validation side, or no loader where the split has none."""
        return super().val_dataloader() if len(self.indices("validation")) else []

    @cached_property
    def example(self) -> TrialBatch:
        """Return the signal of one trial of each of some recordings, for building models."""
        return self.reader.example()
