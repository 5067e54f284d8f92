"""Predictions of one fold, as they lie on the disk: what evaluation reads, and nothing else.

Shapes: N trials of a side, M things to decode, G of them in the gallery, O outputs.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import write_bytes_atomic


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a decoder said of the trials of one side of a fold.

    Parameters
    ----------
    trial
        (N,) places in the table of trials, each once, rising.
    target
        (N,) rows of :class:`~.targets.Targets` that are right.
    output
        By kind: probabilities (N, M) of classes; similarity (N, G) to the gallery; values (N, O);
        texts (N,) as strings.
    truth
        By kind: nothing (0,) for classes and retrieval; values (N, O); texts (N,).
    gallery
        (G,) rows that ``output`` compares with, retrieval only; rivals are among them.
    rivals
        (N, R) rows of what was there but not attended; R is 0 where there are none.
    """

    trial: NDArray[np.int64]
    target: NDArray[np.int64]
    output: NDArray[Any]
    truth: NDArray[Any]
    gallery: NDArray[np.int64]
    rivals: NDArray[np.int64]

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file, whole or not at all."""
        import io

        memory = io.BytesIO()
        np.savez_compressed(memory, **vars(self))
        write_bytes_atomic(path, memory.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what :meth:`save` wrote; nothing is unpickled."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**{name: file[name] for name in cls.__dataclass_fields__})
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} is missing; the fold was not finished") from None
        except (ValueError, KeyError, OSError, EOFError, BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged ({error}); run the fold again") from error


def predictions_path(fold: Path, side: str) -> Path:
    """Return where the predictions of a side lie in the folder of a fold."""
    return fold / f"predictions-{side}.npz"


def fold_path(run: Path, fold: int) -> Path:
    """Return the folder of a fold in a run."""
    return run / f"fold-{fold}"
