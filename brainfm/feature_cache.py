"""Features of stimuli on the disk, each under a hash of everything they were made from.

Any number of processes may read and write one folder: an entry appears as a whole, and whoever
writes it writes the same.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import write_bytes_atomic
from brainfm.recording_info import content_hash

Arrays = dict[str, NDArray[Any]]


class FeatureCache:
    """A folder of arrays by content.

    Parameters
    ----------
    folder
        Where they lie; made when the first is written. None: nothing is kept.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def path(self, *parts: Any) -> Path | None:
        """Return where the entry of ``parts`` lies, None where nothing is kept.

        Parameters
        ----------
        parts
            All that the features depend on, as :func:`~brainfm.recording_info.content_hash` takes
            it: bytes of the stimulus, digest of the model, settings.
        """
        if self.folder is None:
            return None
        key = content_hash(*parts)
        return self.folder / key[:2] / f"{key}.npz"

    def get(self, make: Callable[[], Arrays], *parts: Any) -> Arrays:
        """Return the entry of ``parts``; it is made and written if it is not there.

        Raises
        ------
        ValueError
            The entry is damaged.
        """
        path = self.path(*parts)
        if path is None:
            return make()
        if not path.is_file():
            arrays = make()
            memory = io.BytesIO()
            np.savez(memory, **arrays)  # type: ignore[arg-type]
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_atomic(path, memory.getvalue())
            return arrays
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (ValueError, OSError, EOFError, KeyError, BadZipFile) as error:
            raise ValueError(f"{path} is damaged ({error}); delete it, it is made again") from error
