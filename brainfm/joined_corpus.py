"""Corpora that were prepared in different ways, read as one: EEG at 256 Hz beside volumes of fMRI.

Shapes: C sensors, T samples.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainfm.corpus import Channels, Corpus
from brainfm.recording_info import RecordingInfo, content_hash
from brainfm.sensors import SensorArray

if TYPE_CHECKING:
    from brainfm.processing import ProcessingConfig


class JoinedCorpus(Corpus):
    """The recordings of several corpora, one corpus after the other.

    Parameters
    ----------
    parts
        The corpora; no id may be in two of them.

    Raises
    ------
    ValueError
        An id is in two of them.
    """

    recordings: list[RecordingInfo]  # type: ignore[assignment]

    def __init__(self, parts: Sequence[Corpus]) -> None:
        self.parts = list(parts)
        self.path, self.max_open = self.parts[0].path, self.parts[0].max_open
        self.config_json = {str(k): part.config_json for k, part in enumerate(self.parts)}
        self.recordings = [info for part in self.parts for info in part.recordings]
        self._place = [(part, k) for part in self.parts for k in range(len(part))]
        names = [info.id for info in self.recordings]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two modalities have a recording {twice[0]}; give each its own id")

    def __len__(self) -> int:
        return len(self._place)

    def __getstate__(self) -> dict[str, Any]:
        return {"parts": self.parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["parts"])  # type: ignore[misc]

    def close(self) -> None:
        """Close all files of this process; reading opens them again."""
        for part in self.__dict__.get("parts", ()):
            part.close()

    @property
    def config(self) -> "ProcessingConfig":
        """Refuse: there are several."""
        raise ValueError("recordings of several modalities were not prepared in one way")

    @property
    def digest(self) -> str:
        """Return the hash of all content."""
        return content_hash([part.digest for part in self.parts])

    @property
    def shared(self) -> dict[str, str]:
        """Return by id the first recording of its part that each one shares a stretch with."""
        return {name: first for part in self.parts for name, first in part.shared.items()}

    def n_channels(self, i: int) -> int:
        """Return the number of channels of recording ``i``."""
        part, k = self._place[i]
        return part.n_channels(k)

    def read_half(
        self, i: int, start: int, n: int, *, out: NDArray[np.float16] | None = None
    ) -> NDArray[np.float16]:
        """Return samples as stored, (n, C); see :meth:`Corpus.read_half`."""
        part, k = self._place[i]
        return part.read_half(k, start, n, out=out)

    def read(self, i: int, start: int = 0, n: int | None = None) -> NDArray[np.float32]:
        """Return samples ``start`` to ``start + n`` of recording ``i``, (C, n), scaled."""
        part, k = self._place[i]
        return part.read(k, start, n)

    def rows(self, i: int) -> NDArray[np.void]:
        """Read the table of channels of recording ``i``, (C,)."""
        part, k = self._place[i]
        return part.rows(k)

    def channels(self, i: int) -> Channels:
        """Return the channels of recording ``i`` as batches need them."""
        part, k = self._place[i]
        return part.channels(k)

    def sensors(self, i: int) -> SensorArray:
        """Return the geometry of recording ``i``."""
        part, k = self._place[i]
        return part.sensors(k)

    def flagged(self, i: int) -> NDArray[np.int32]:
        """Return the stretches (E, 3) of flagged seconds."""
        part, k = self._place[i]
        return part.flagged(k)

    def quality(self, i: int) -> NDArray[np.uint8]:
        """Return the flags of every second begun of recording ``i``."""
        part, k = self._place[i]
        return part.quality(k)
