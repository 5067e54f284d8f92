"""The codes of one recording on disk: an HDF5 file that any HDF5 tool can read.

Layout of ``recordings/ID.h5``:

- dataset ``codes`` (P, N, Q) uint16, contiguous: any stretch is one read of consecutive bytes;
- dataset ``flagged`` (E, 2) int64: stretches of frames of bad quality, first and last + 1;
- attributes ``info`` (:class:`~brainfm.recording_info.RecordingInfo` as JSON) and ``digest``, that
  of the recording the codes were made from;
- the first 512 bytes: a checksum of the rest (:mod:`brainfm.seal`).

The same codes are the same bytes.

Shapes: P latent frames, N sources, Q quantizers, E stretches.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import atomic_path
from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.code_times import n_frames
from brainfm.corpus import Corpus
from brainfm.hdf5_errors import hdf5_writing
from brainfm.recording_info import RecordingInfo
from brainfm.seal import BLOCK, is_intact, seal

RECORDINGS = "recordings"


@dataclass(frozen=True, kw_only=True)
class CodeLayout:
    """What a reader must know of a file of codes.

    Parameters
    ----------
    n_frames
        P.
    offset, size
        First byte of the codes and bytes of the file.
    flagged
        (E, 2) stretches of frames of bad quality.
    """

    n_frames: int
    offset: int
    size: int
    flagged: NDArray[np.int64]


def recording_file(folder: str | Path, recording_id: str) -> Path:
    """Return where the codes of a recording are."""
    return Path(folder) / RECORDINGS / f"{recording_id}.h5"


def flagged_frames(corpus: Corpus, index: int, cfg: TokenizerConfig) -> NDArray[np.int64]:
    """Return the stretches (E, 2) of frames that lie in flagged seconds, first and last + 1."""
    seconds = corpus.flagged(index).tolist()
    if not seconds:
        return np.zeros((0, 2), np.int64)
    total = n_frames(int(corpus.columns.n_times[index]), cfg)
    window, within = np.divmod(np.arange(total), cfg.frames_per_window)
    begin = (window * cfg.stride + within * cfg.hop) / cfg.sfreq
    bad = np.zeros(total, bool)
    for first, stop, _ in seconds:
        bad |= (begin < stop) & (begin + cfg.hop / cfg.sfreq > first)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]])))
    return edges.reshape(-1, 2).astype(np.int64)


def store_codes(
    folder: str | Path, info: RecordingInfo, values: NDArray[np.uint16], flagged: NDArray[np.int64]
) -> None:
    """Write the codes (P, N, Q) of one recording, whole or not at all.

    Raises
    ------
    OSError
        The disk is full or cannot be written to.
    """
    target = recording_file(folder, info.id)
    with atomic_path(target) as temporary:
        with hdf5_writing(target), h5py.File(temporary, "w", userblock_size=BLOCK) as file:
            file.create_dataset("codes", data=values.astype("<u2"))
            file.create_dataset("flagged", data=flagged)
            file.attrs["digest"] = info.digest
            file.attrs["info"] = info.to_json()
        seal(temporary)


def is_stored(folder: str | Path, info: RecordingInfo) -> bool:
    """Return whether the codes of exactly this recording are there, every byte as written."""
    path = recording_file(folder, info.id)
    if not path.is_file() or not is_intact(path):
        return False
    with h5py.File(path, "r", locking=False) as file:
        return bool(file.attrs["digest"] == info.digest)


def read_layout(folder: str | Path, recording_id: str) -> CodeLayout:
    """Return where the codes of a recording lie in its file."""
    path = recording_file(folder, recording_id)
    with h5py.File(path, "r", locking=False) as file:
        return CodeLayout(
            n_frames=file["codes"].shape[0],
            offset=int(file["codes"].id.get_offset()),
            size=os.path.getsize(path),
            flagged=file["flagged"][()],
        )
