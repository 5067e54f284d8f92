"""Which trials a checkpoint has already seen, mostly without labels, while it was trained.

A checkpoint holds the manifests of the splits it was trained by
(:func:`brainfm.checkpoints.checkpoint_splits`). Older ones record the digest alone: without that
manifest (``split.json``) the overlap is unknown, not nil.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from brainfm.pretraining_splits import STAGES, TRAINED_ON
from brainfm.splits import Listed, Split, unit_of
from brainfm.trials import Trials


@dataclass(frozen=True, kw_only=True)
class PretrainingOverlap:
    """What is common to trials and pretraining.

    Parameters
    ----------
    known
        Whether what every stage was trained on is known.
    recordings
        Ids of recordings with trials whose samples, or whose file, were trained on.
    subjects
        Subjects with trials ("data set/subject") of whom any recording was trained on, by that name
        or, whatever they are called there, by one of ``recordings``.
    n_recordings, n_subjects, n_unnamed
        Of the trials: recordings, subjects, and recordings that name no subject.
    n_unnamed_training
        Recordings that were trained on and name no subject.
    notes
        What is not known and how to find out, one line each.
    labels
        Whether labels were trained on too: the checkpoint is a fine-tuned one.
    """

    known: bool
    recordings: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    n_recordings: int = 0
    n_subjects: int = 0
    n_unnamed: int = 0
    n_unnamed_training: int = 0
    notes: tuple[str, ...] = ()
    labels: bool = False

    @property
    def line(self) -> str:
        """Return one line for a report."""
        if not self.known:
            return "overlap with pretraining: not known; " + "; ".join(self.notes)
        found = bool(self.recordings or self.subjects)
        if not found and not self.n_unnamed and not self.n_unnamed_training:
            return "overlap with pretraining: none"
        parts = [f"{len(self.recordings)} of {self.n_recordings} recordings"]
        if self.n_subjects:
            parts.append(f"{len(self.subjects)} of {self.n_subjects} subjects")
        if self.n_unnamed:
            parts.append(f"of {self.n_unnamed} recordings the subject is not known")
        if self.n_unnamed_training:
            text = f"of {self.n_unnamed_training} recordings trained on the subject is not known"
            parts.append(text)
        labels = "it was fine-tuned: with" if self.labels else "without"
        return f"overlap with pretraining: {', '.join(parts)}" + f" ({labels} labels)" * found


def pretraining_overlap(
    trials: Trials, training: Mapping[str, Any], splits: Iterable[Split] = ()
) -> PretrainingOverlap:
    """Compare trials with what a checkpoint was trained on.

    Parameters
    ----------
    trials
        The table.
    training
        ``ModelRecord.training`` of the checkpoint.
    splits
        Manifests of its corpora; those it was trained by are found by their digest.
    """
    by_digest = {split.digest: split for split in splits}
    entries: list[Listed] = []
    notes = []
    stages = [stage for stage in STAGES if stage in training]
    if not stages:
        source = training.get("source", "")
        notes.append(
            "the checkpoint does not record what it was trained on"
            + (f" (it is from: {source})" if source else "")
        )
    for stage in stages:
        digest = str(training[stage].get("split_digest", ""))
        if digest in by_digest:
            sides = by_digest[digest].sides
            entries += [entry for side in TRAINED_ON for entry in sides.get(side, ())]
        else:
            notes.append(
                f"the {stage.replace('_', ' ')} was trained by the split "
                f"{digest[:12] or '(none)'}; give its split.json"
            )
    marks = {mark for entry in entries for mark in _marks(entry)}
    people = {unit_of(entry, "subject") for entry in entries if entry.subject}
    infos = trials.recordings.values()
    seen = {info.id for info in infos if marks & set(_marks(info))}
    person_of = {info.id: unit_of(info, "subject") for info in infos if info.subject}
    return PretrainingOverlap(
        known=not notes,
        recordings=tuple(sorted(seen)),
        subjects=tuple(
            sorted({who for key, who in person_of.items() if key in seen or who in people})
        ),
        n_recordings=len(infos),
        n_subjects=len(set(person_of.values())),
        n_unnamed=len(infos) - len(person_of),
        n_unnamed_training=len({entry.id for entry in entries if not entry.subject}),
        notes=tuple(notes),
        labels="finetuning" in stages,
    )


def _marks(recording: Any) -> list[str]:
    """Return the hashes by which a recording is known whatever its name."""
    found = (recording.digest, recording.signal_digest, recording.source_digest)
    return [digest for digest in found if digest]
