"""Trials with targets and folds, audited: all of a decoding task but its samples.

Shapes: N trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from brainfm.corpus import Corpus
from brainfm.trial_audit import audit_trials
from brainfm.trial_cutting import make_trials
from brainfm.trial_folds import check_classes, split_trials
from brainfm.trial_splits import KINDS, TrialSplit, TrialSplitConfig
from brainfm.trials import TrialConfig, Trials

from .targets import Targets, TargetSource
from .trial_source import Cut


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodingTrials:
    """What is to be decoded from what, and how it is divided.

    Parameters
    ----------
    corpus
        Where the samples are.
    trials
        The table.
    targets
        What is right for each.
    split
        The folds.
    findings
        What the audit of trials, folds and targets found, one line each; must be empty.
    """

    corpus: Corpus
    trials: Trials
    targets: Targets
    split: TrialSplit
    findings: list[str]

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return of every trial its units, label and stimulus, by name, in the table's order."""
        units = {kind: tuple(self.trials.units(kind).tolist()) for kind in KINDS if kind != "time"}
        return units | {"label": tuple(self.trials.labels.tolist())}

    @property
    def named_synthetic(self) -> bool:
        """Return whether the names of any recording say that it was simulated."""
        names = ("dataset", "subject", "session", "task", "source")
        infos = self.trials.recordings.values()
        return any("synthetic" in getattr(info, name).lower() for info in infos for name in names)


def make_decoding_trials(
    corpus: Corpus,
    cuts: Sequence[Cut],
    trials: TrialConfig,
    split: TrialSplitConfig,
    targets: TargetSource,
) -> DecodingTrials:
    """Cut recordings into trials, find their targets, divide and audit them.

    Raises
    ------
    ValueError
        Events that are not there, trials that cannot be divided, a class that is tested but not
        trained.
    """
    table = make_trials(cuts, trials)
    right = targets.make(table)
    shared = corpus.shared
    folds = split_trials(table, split, shared=shared)
    if right.values is None:
        check_classes(_labelled(table, right), folds)
    findings = audit_trials(table, folds, shared=shared)
    return DecodingTrials(
        corpus=corpus,
        trials=table,
        targets=right,
        split=folds,
        findings=findings + targets.audit(table, right, folds),
    )


def _labelled(trials: Trials, targets: Targets) -> Trials:
    """Return the trials with their targets as labels."""
    names = targets.ids[targets.rows].tolist()
    rows = tuple(replace(t, label=name) for t, name in zip(trials.rows, names, strict=True))
    return replace(trials, rows=rows)
