"""Which trials a decoder learns from, is chosen on, and is judged by: folds of a cross-validation.

Every fold has a test side, a validation side for all choices (when to stop, which setting), and a
training side. What is never divided is named by ``by``; trials of the other sides that see the same
samples, or samples nearer than the gap, are on no side.

Shapes: N trials.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import write_json_atomic
from brainfm.config_json import from_json, to_json
from brainfm.recording_info import content_hash
from brainfm.splits import Listed
from brainfm.trials import CONTENTS, Trials

KINDS = ("dataset", "subject", "session", "run", "recording", *CONTENTS, "time")
INSIDE = (*CONTENTS, "time")
"""Kinds that have trials of one recording on several sides."""
SIDES = {"train": "R", "validation": "V", "test": "T"}
"""The letter of each side in :attr:`Fold.sides`; a trial on none has ``LEFT_OUT``."""
LEFT_OUT = "-"
FORMAT = 1
TRIAL_SPLIT_FILE = "trial-split.json"

_LISTED = "id dataset subject session task run digest signal_digest source_digest".split()  # noqa: SIM905


@dataclass(frozen=True, kw_only=True)
class TrialSplitConfig:
    """How to divide trials.

    Parameters
    ----------
    by
        What is never divided: "dataset", "subject", "session", "run", "recording", "stimulus" or
        "group" (the same content, or the whole it is a part of, is on one side for all subjects),
        or "time" (each recording is cut into stretches).
    folds
        How often; None leaves out one unit after the other. "time" needs a number.
    validation
        Share of what is not tested that goes to the validation side, at least one unit; 0: none.
    gap
        Least time in s between what trials of different sides see in one recording.
    salt
        Any text; another one gives other folds.
    """

    by: str = "subject"
    folds: int | None = None
    validation: float = 0.2
    gap: float = 0.0
    salt: str = ""

    def __post_init__(self) -> None:
        if self.by not in KINDS:
            raise ValueError(f"by must be one of {', '.join(KINDS)}, got {self.by!r}")
        if self.folds is None and self.by == "time":
            raise ValueError("a split by time needs a number of folds")
        if self.folds is not None and self.folds < 2:
            raise ValueError(f"folds must be at least 2, got {self.folds}")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation must lie in [0, 1), got {self.validation}")
        if not 0 <= self.gap < np.inf:
            raise ValueError(f"gap must not be negative (s), got {self.gap}")


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One division of the trials.

    Parameters
    ----------
    sides
        A letter per trial (:data:`SIDES`).
    held_out
        Units of the test side; empty for a split by time.
    shared_stimuli
        Contents of the test side that are in training too. Only a split by stimulus forbids that,
        but who retrieves stimuli or decodes words has to know.
    """

    sides: str
    held_out: tuple[str, ...] = ()
    shared_stimuli: int = 0

    def indices(self, side: str) -> NDArray[np.int64]:
        """Return the trials of "train", "validation" or "test", in the order of the table."""
        if side not in SIDES:
            raise ValueError(f"a fold has the sides {', '.join(SIDES)}, not {side!r}")
        return np.flatnonzero(np.array(list(self.sides)) == SIDES[side]).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class TrialSplit:
    """The folds of a table of trials.

    Parameters
    ----------
    config
        How they were made.
    trials_digest
        :attr:`Trials.digest` of the table.
    folds
        One after the other; every trial is in the test side of one, unless the gap forbids.
    """

    config: TrialSplitConfig
    trials_digest: str
    folds: tuple[Fold, ...]

    @property
    def digest(self) -> str:
        """Return a hash of which trial is on which side of which fold."""
        return content_hash(self.trials_digest, [fold.sides for fold in self.folds])

    def check(self, trials: Trials) -> None:
        """Raise ValueError unless the split is of these very trials."""
        if self.trials_digest != trials.digest:
            raise ValueError(
                "the split was made of other trials (their windows, labels or recordings differ); "
                "divide them anew"
            )

    def save(self, path: str | Path, trials: Trials) -> None:
        """Write the manifest (JSON) that belongs beside every result."""
        self.check(trials)
        recordings = [
            {name: getattr(info, name) for name in _LISTED} for info in trials.recordings.values()
        ]
        content: dict[str, Any] = {
            "split": to_json(self),
            "trials": to_json(trials.config),
            "recordings": recordings,
            "rows": [
                f"{t.recording} {t.onset:.6f} {t.label} {t.stimulus} {t.group}" for t in trials.rows
            ],
        }
        write_json_atomic(path, {"format": FORMAT, "seal": content_hash(content), **content})

    @classmethod
    def load(cls, path: str | Path) -> "TrialSplit":
        """Read a manifest; :meth:`check` tells whether it fits a table of trials."""
        return from_json(cls, _manifest(path)["split"], f"{path}: split")


def listed_recordings(path: str | Path) -> tuple[Listed, ...]:
    """Return the recordings that a manifest of :meth:`TrialSplit.save` names."""
    names = [f.name for f in fields(Listed)]
    found = _manifest(path)["recordings"]
    return tuple(Listed(**{name: entry.get(name, "") for name in names}) for entry in found)


def _manifest(path: str | Path) -> dict[str, Any]:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is no manifest of trials in format {FORMAT}")
    if content.pop("seal", None) != content_hash(content):
        raise ValueError(f"{path} is damaged or was edited (seal differs); restore it")
    return content
