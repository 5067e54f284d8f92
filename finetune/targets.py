"""What is decoded: the things that a trial's target can be, each once.

Shapes: M things, N trials, R rivals, L symbols.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.trial_splits import TrialSplit
from brainfm.trials import Trials


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """All things to decode and which one is right for each trial.

    Parameters
    ----------
    ids
        (M,) names: classes, or content ids of stimuli, or one name per trial where every trial has
        a value of its own.
    rows
        (N,) place in ``ids`` of every trial's target.
    values
        (M, ...) float32 features of a stimulus, values to predict, or (M, L) int64 symbols of a
        text, filled up with zeros; None for classes.
    lengths
        (M,) symbols of each text; None where all of ``values`` counts.
    rivals
        (N, R) places of what was there but was not attended; None: nothing.
    alphabet
        What each symbol stands for, from symbol 1 (0 is the blank of CTC); empty unless texts.
    units
        Names of the outputs, for regression; empty where they have none.
    window
        Where values are those of a slow series, volume after volume (BOLD): begin and end of what
        a trial sees, seconds from its volume. Trials are no independent draws then, and are judged
        within recordings. None: no series.
    """

    ids: NDArray[np.str_]
    rows: NDArray[np.int64]
    values: NDArray[Any] | None = None
    lengths: NDArray[np.int64] | None = None
    rivals: NDArray[np.int64] | None = None
    alphabet: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < len(self.ids):
            raise ValueError(f"targets must be places among {len(self.ids)} things")
        for name in ("values", "lengths"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.ids):
                raise ValueError(f"{name} are {len(given)} for {len(self.ids)} things to decode")


class TargetSource(ABC):
    """Where targets come from. Named by ``data.targets.class_path`` in a settings file."""

    @abstractmethod
    def make(self, trials: Trials) -> Targets:
        """Return the targets of trials, in the order of their table.

        Raises
        ------
        ValueError
            A trial without a target; the message names it.
        """

    def audit(self, trials: Trials, targets: Targets, split: TrialSplit) -> list[str]:
        """Return where targets hold what only another side may know, one line per finding.

        Labels cannot; features of what was presented can (:mod:`brainfm.target_audit`).

        Parameters
        ----------
        trials, targets
            As :meth:`make` took and gave them.
        split
            The folds.
        """
        return []


class LabelTargets(TargetSource):
    """The labels of the trials as classes, sorted by name."""

    def make(self, trials: Trials) -> Targets:
        """Return the classes there are; see :class:`TargetSource`."""
        if len(trials.classes) < 2:
            raise ValueError(
                f"classification needs trials of at least 2 classes, all {len(trials)} are "
                f"{', '.join(trials.classes) or 'missing'}"
            )
        return Targets(ids=np.array(trials.classes, dtype=np.str_), rows=trials.targets)
