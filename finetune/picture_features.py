"""Features of pictures from a table, as what is decoded: where the pictures are no files.

Shapes: M pictures, D features.
"""

from pathlib import Path

import numpy as np

from brainfm.target_audit import audit_contents
from brainfm.trial_events import content_id
from brainfm.trial_splits import TrialSplit
from brainfm.trials import Trials

from .targets import Targets, TargetSource


class PictureFeatures(TargetSource):
    """Rows of a table by the names of pictures.

    Parameters
    ----------
    file
        ``.npy`` (M, D), CLIP features of all pictures of a data set for example.
    names
        Text file with the name of each row's picture, one a line; empty: rows are numbered from 0,
        with five digits ("00017"), as the pictures of NSD are.
    """

    def __init__(self, file: str, names: str = "") -> None:
        self.file = Path(file).expanduser()
        self.names = Path(names).expanduser() if names else None

    def make(self, trials: Trials) -> Targets:
        """Return the pictures that were shown, by content id of their name, with their features.

        Raises
        ------
        ValueError, FileNotFoundError
            No such table, one of other rows than names, a picture without a row.
        """
        for path in filter(None, (self.file, self.names)):
            if not path.is_file():
                raise FileNotFoundError(f"no file {path} of picture features; see data.targets")
        table = np.load(self.file, mmap_mode="r", allow_pickle=False)
        if table.ndim != 2 or table.dtype.kind != "f":
            raise ValueError(
                f"{self.file}: must hold (pictures, features) of floats, got {table.dtype} "
                f"{table.shape}"
            )
        named = [f"{k:05d}" for k in range(len(table))]
        if self.names is not None:
            named = self.names.read_text(encoding="utf-8").split("\n")
            named = [name.strip() for name in named if name.strip()]
        if len(named) != len(table):
            raise ValueError(f"{self.names}: {len(named)} names for {len(table)} rows of features")
        row = {content_id(name): k for k, name in enumerate(named)}
        missing = [trial for trial in trials.rows if trial.stimulus not in row]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(trials)} trials show a picture without features, first "
                f"{missing[0].label!r} of recording {missing[0].recording}; {self.file} has "
                f"{len(table)} rows"
            )
        ids = sorted({trial.stimulus for trial in trials.rows})
        place = {name: k for k, name in enumerate(ids)}
        return Targets(
            ids=np.array(ids, dtype=np.str_),
            rows=np.array([place[trial.stimulus] for trial in trials.rows], dtype=np.int64),
            values=np.asarray(table[[row[name] for name in ids]], dtype=np.float32),
        )

    def audit(self, trials: Trials, targets: Targets, split: TrialSplit) -> list[str]:
        """Return pictures that are on two sides of a split by content."""
        return audit_contents(trials, split, targets.rows, targets.ids)
