"""What a fine-tuning run says of itself, for evaluation: ``run.json`` in its folder.

Shapes: N trials, M things to decode.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainfm.atomic import write_json_atomic
from brainfm.config_json import from_json, to_json

from .head import Kind

RUN_FILE = "run.json"
CONFIG_FILE = "config.yaml"
"""All settings of the run, as ``--config`` takes them; controls are made from it."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run.

    Parameters
    ----------
    kind
        How predictions are judged.
    name
        What the decoder is called in tables: backbone and adaptation.
    control
        Null control that this run is; ``none`` for a real one.
    synthetic
        Whether any recording is synthetic.
    ids
        (M,) names of what is decoded.
    alphabet, units
        As in :class:`~.targets.Targets`.
    series
        Whether values are those of a slow series, volume after volume, so that trials are no
        independent draws.
    n_folds
        Folds that belong to the run.
    columns
        By name (recording, subject, session, run, dataset, label, stimulus, group), of every trial
        in the order of their table (N,).
    onsets
        (N,) seconds in the recording.
    trial_split_digest
        Of the manifest beside it.
    overlap
        One line: overlap with pretraining.
    audit
        Findings of the audit; a run with any is not evaluated.
    software, seed
        What made it.
    presentations
        Fewest and most presentations that are averaged to make a trial.
    folder
        Where the command ran: relative paths of the settings count from there.
    """

    kind: Kind
    name: str
    control: str = "none"
    synthetic: bool = False
    ids: tuple[str, ...]
    alphabet: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    series: bool = False
    n_folds: int
    columns: dict[str, tuple[str, ...]]
    onsets: tuple[float, ...]
    trial_split_digest: str
    overlap: str = ""
    audit: tuple[str, ...] = ()
    software: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    presentations: tuple[int, int] = (1, 1)
    folder: str = ""

    def save(self, run: Path) -> None:
        """Write ``run.json``."""
        write_json_atomic(run / RUN_FILE, to_json(self))

    @classmethod
    def load(cls, run: Path) -> "RunRecord":
        """Read it."""
        path = run / RUN_FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{run} is no fine-tuning run (it has no {RUN_FILE}); 'brainfm finetune fit' "
                "makes one"
            )
        # The first runs did not say where they were fitted, and averaged nothing.
        said = {"folder": "", "presentations": [1, 1]} | json.loads(
            path.read_text(encoding="utf-8")
        )
        return from_json(cls, said, str(path))


@contextmanager
def at_home(run: Path) -> Iterator[None]:
    """Work where the command of a run ran, so that its settings mean what they meant.

    Relative paths count from there, and modules of the user's own are found there, as the command
    line has it (they stay so afterwards). Where that folder is gone, or not known, stay. ``run``
    itself should not be relative inside.
    """
    home = RunRecord.load(run).folder if (run / RUN_FILE).is_file() else ""
    if home and Path(home).is_dir():
        if home not in sys.path:
            sys.path.append(home)  # last, so that they shadow nothing
        with chdir(home):
            yield
    else:
        yield
