"""Features of a backbone that does not change, computed once and read by all folds.

A file per backbone, table of trials and way of reading them; it is there whole or not at all.

Shapes: N trials, B some of them, P frames, S sources, D width.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.atomic import atomic_path, remove_leftovers
from brainfm.recording_info import content_hash

from .backbone import Backbone
from .data import DecodingData
from .trial_batch import TrialBatch, moved

FEATURES = "features"
"""Folder of the files, beside the corpora of the cache."""


class FeatureStore:
    """Rows of features by trial.

    Parameters
    ----------
    path
        An ``.npy`` file of (N, P, S, D) float32 that :func:`store_of` wrote.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._rows = np.load(self.path, mmap_mode="r", allow_pickle=False)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return frames, sources, width."""
        frames, sources, width = self._rows.shape[1:]
        return frames, sources, width

    def rows(self, trials: Tensor | NDArray[np.int64]) -> Tensor:
        """Return the features (B, P, S, D) of trials (B,)."""
        chosen = np.asarray(trials)
        return torch.from_numpy(np.array(self._rows[chosen]))


def store_of(backbone: Backbone, data: DecodingData, device: torch.device) -> FeatureStore:
    """Return the features of all trials; what another process has computed, or computes, is used.

    Files lie beside the prepared recordings. The backbone is only built if there is none.

    Parameters
    ----------
    backbone
        One that stays as it is.
    data
        A fold; its windows decide the features, its targets do not.
    device
        To compute on.
    """
    from filelock import FileLock

    folder = Path(data.corpus.path).parent / FEATURES
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{content_hash(backbone.digest, data.input_digest)[:32]}.npy"
    # One lock for all: leftovers of another file may be those of a process at work.
    with FileLock(folder / ".features.lock"):
        if not path.is_file():
            remove_leftovers(folder)
            backbone.build(data.example, len(data.subjects))
            backbone.requires_grad_(False).eval().to(device)
            with atomic_path(path) as temporary:
                _fill(temporary, len(data.trials), data.side_batches("all"), backbone, device)
    return FeatureStore(path)


@torch.no_grad()
def _fill(
    path: Path,
    n_trials: int,
    batches: Iterable[TrialBatch],
    backbone: Backbone,
    device: torch.device,
) -> None:
    rows: NDArray[np.float32] | None = None
    done = np.zeros(n_trials, dtype=bool)
    for batch in batches:
        features = backbone(moved(batch, device)).float().cpu().numpy()
        if rows is None:
            shape = (n_trials, *features.shape[1:])
            rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        where = batch.trial.numpy()
        if not np.isfinite(features).all():
            broken = where[~np.isfinite(features).reshape(len(features), -1).all(1)]
            raise ValueError(f"trials {broken[:5].tolist()} have features that are not finite")
        rows[where], done[where] = features, True
    assert rows is not None
    assert done.all(), "a trial was in no batch"
    rows.flush()  # type: ignore[attr-defined]
