"""A corpus: prepared recordings from which any window of any length can be read at random.

Layout of the folder: ``corpus.json`` (format and processing settings), ``index.h5``
(:mod:`brainfm.corpus_index`), ``recordings/ID.h5`` (:mod:`brainfm.corpus_file`).

Shapes: C sensors, T samples, R recordings, S seconds.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import write_json_atomic
from brainfm.corpus_file import (
    RECORDINGS_FOLDER,
    recording_path,
    sensor_dtype,
    sensors_from_rows,
)
from brainfm.corpus_index import open_index
from brainfm.recording_info import content_hash
from brainfm.sensors import SensorArray

if TYPE_CHECKING:
    from brainfm.processing import ProcessingConfig

CORPUS_FILE = "corpus.json"
FORMAT = 1


def create_corpus(folder: str | Path, config: Mapping[str, Any]) -> str:
    """Make an empty corpus, or open an existing one to add to it; return the settings' digest.

    Parameters
    ----------
    folder
        Made if missing.
    config
        Processing settings as JSON values.

    Raises
    ------
    ValueError
        The folder holds a corpus made with other settings; nothing is changed.
    """
    folder = Path(folder)
    config = json.loads(json.dumps(dict(config), allow_nan=False))
    digest = content_hash(FORMAT, config)
    if (folder / CORPUS_FILE).exists():
        old = read_config(folder)
        changed = [
            f"{name} {old.get(name)!r} -> {config.get(name)!r}"
            for name in sorted({*old, *config})
            if old.get(name) != config.get(name)
        ]
        if changed:
            raise ValueError(
                f"{folder} is a corpus made with other settings ({', '.join(changed)}); use those "
                "settings or another folder"
            )
        return digest
    (folder / RECORDINGS_FOLDER).mkdir(parents=True, exist_ok=True)
    write_json_atomic(
        folder / CORPUS_FILE,
        {"format": FORMAT, "config": config, "config_digest": digest},
    )
    return digest


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return the processing settings of a corpus as JSON values, checked against their digest."""
    path = Path(folder) / CORPUS_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, config, digest = (content[k] for k in ("format", "config", "config_digest"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} is not a corpus (it has no {CORPUS_FILE}); 'brainfm prepare' makes one"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it or prepare anew") from error
    if version != FORMAT:
        raise ValueError(f"{path} has format {version}, this brainfm reads format {FORMAT}")
    if digest != content_hash(FORMAT, config):
        raise ValueError(f"{path} is damaged or was edited (digest differs); restore it")
    return dict(config)


class Channels(NamedTuple):
    """What a batch needs to know of the channels of a recording, (C, 3) or (C,).

    ``positions`` and ``orientations`` float32, ``types`` int64 codes, ``good`` bool, ``scale``
    float32; ``bad`` lists the channels that are not good.
    """

    positions: NDArray[np.float32]
    orientations: NDArray[np.float32]
    types: NDArray[np.int64]
    good: NDArray[np.bool_]
    scale: NDArray[np.float32]
    bad: NDArray[np.int64]


class Corpus:
    """Read access to a prepared corpus; copies of it may be used in any process.

    Parameters
    ----------
    path
        Folder of the corpus.
    max_open
        Files kept open per process; the one unused for longest is closed first.

    Attributes
    ----------
    recordings
        Sequence of :class:`~brainfm.recording_info.RecordingInfo`, in the order of their ids.
    columns
        Numbers of all recordings (:class:`~brainfm.corpus_index.Columns`).
    """

    def __init__(self, path: str | Path, *, max_open: int = 128) -> None:
        if max_open < 1:
            raise ValueError(f"max_open must be at least 1, got {max_open}")
        self.path = Path(path)
        self.max_open = max_open
        self.config_json = read_config(self.path)
        self.columns, self.recordings = open_index(self.path)
        self._files: OrderedDict[int, int] = OrderedDict()
        self._channels: OrderedDict[int, Channels] = OrderedDict()

    def __len__(self) -> int:
        return len(self.recordings)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "max_open": self.max_open}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], max_open=state["max_open"])  # type: ignore[misc]

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close all files of this process; reading opens them again."""
        for descriptor in self.__dict__.pop("_files", {}).values():
            os.close(descriptor)
        self._files = OrderedDict()

    @property
    def config(self) -> "ProcessingConfig":
        """Return the settings the corpus was made with."""
        from brainfm.processing import ProcessingConfig

        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self.config_json.items()
        }
        return ProcessingConfig(**values)

    @property
    def digest(self) -> str:
        """Return the hash of all content; the same for the same recordings however prepared."""
        return content_hash(self.config_json, [[i.id, i.digest] for i in self.recordings])

    @property
    def shared(self) -> dict[str, str]:
        """Return by id the first recording that each one shares a stretch with, if any does."""
        first = self.columns.shares_with
        together = np.flatnonzero(np.bincount(first, minlength=len(first))[first] > 1)
        ids = self.columns.ids
        return {ids[i].decode("ascii"): ids[first[i]].decode("ascii") for i in together}

    def n_channels(self, i: int) -> int:
        """Return the number of channels of recording ``i``."""
        return int(self.columns.n_channels[i])

    def _descriptor(self, i: int) -> int:
        """Return an open file; only ``pread`` uses it, so a fork shares nothing but the number."""
        if i in self._files:
            self._files.move_to_end(i)
            return self._files[i]
        path = recording_path(self.path, self.columns.ids[i].decode("ascii"))
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path} is in the index but gone; run 'brainfm corpus verify {self.path}'"
            ) from None
        if os.fstat(descriptor).st_size != self.columns.size[i]:
            os.close(descriptor)
            raise OSError(f"{path} is not the indexed file; run 'brainfm corpus verify'")
        if len(self._files) >= self.max_open:
            os.close(self._files.popitem(last=False)[1])
        self._files[i] = descriptor
        return descriptor

    def _bytes(self, i: int, offset: int, out: NDArray[Any]) -> None:
        view = out.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(view):
            n = os.preadv(self._descriptor(i), [view[done:]], offset + done)
            if n == 0:
                raise OSError(f"recording {self.recordings[i].id} ends early; verify the corpus")
            done += n

    def read_half(
        self, i: int, start: int, n: int, *, out: NDArray[np.float16] | None = None
    ) -> NDArray[np.float16]:
        """Return samples ``start`` to ``start + n`` of recording ``i`` as stored, (n, C).

        ``out`` (n, C) little-endian and contiguous is filled and returned if given.
        """
        n_times = int(self.columns.n_times[i])
        if not 0 <= start <= start + n <= n_times:
            raise ValueError(
                f"window {start}..{start + n} is outside recording {self.recordings[i].id} with "
                f"{n_times} samples"
            )
        if out is None:
            out = np.empty((n, self.n_channels(i)), dtype="<f2")
        if n:
            row = 2 * out.shape[1]
            self._bytes(i, int(self.columns.signal_offset[i]) + start * row, out)
        return out

    def read(self, i: int, start: int = 0, n: int | None = None) -> NDArray[np.float32]:
        """Return samples ``start`` to ``start + n`` of recording ``i``, (C, n), scaled."""
        n = int(self.columns.n_times[i]) - start if n is None else n
        return np.ascontiguousarray(self.read_half(i, start, n).T, dtype=np.float32)

    def rows(self, i: int) -> NDArray[np.void]:
        """Read the table of channels of recording ``i`` (:func:`sensor_dtype`), (C,)."""
        dtype = sensor_dtype(int(self.columns.name_bytes[i]))
        raw = np.empty(self.n_channels(i) * dtype.itemsize, np.uint8)
        self._bytes(i, int(self.columns.sensors_offset[i]), raw)
        return raw.view(dtype)

    def channels(self, i: int) -> Channels:
        """Return the channels of recording ``i`` as batches need them; kept for the next time."""
        if i in self._channels:
            self._channels.move_to_end(i)
            return self._channels[i]
        rows = self.rows(i)
        if len(self._channels) >= 8 * self.max_open:
            self._channels.popitem(last=False)
        self._channels[i] = Channels(
            positions=rows["position"].astype(np.float32),
            orientations=rows["orientation"].astype(np.float32),
            types=rows["type"].astype(np.int64),
            good=rows["good"].copy(),
            scale=rows["scale"].astype(np.float32),
            bad=np.flatnonzero(~rows["good"]),
        )
        return self._channels[i]

    def sensors(self, i: int) -> SensorArray:
        """Return the geometry of recording ``i``."""
        return sensors_from_rows(self.rows(i))

    def good(self, i: int) -> NDArray[np.bool_]:
        """Return which channels of recording ``i`` can be used, (C,)."""
        return self.rows(i)["good"].copy()

    def scale(self, i: int) -> dict[str, float]:
        """Return the SI value of one unit of the signal, per sensor type of recording ``i``."""
        return dict(self.recordings[i].scale)

    def channel_scale(self, i: int) -> NDArray[np.float64]:
        """Return the SI value of one unit of the signal of recording ``i``, (C,)."""
        return self.rows(i)["scale"].copy()

    def quality(self, i: int) -> NDArray[np.uint8]:
        """Return the flags of every second begun of recording ``i``, (S,); 0 = nothing wrong."""
        length = -int(-self.columns.n_times[i] // self.columns.sfreq[i])
        track = np.zeros(length, np.uint8)
        for first, stop, flags in self.flagged(i).tolist():
            track[first:stop] = flags
        return track

    def flagged(self, i: int) -> NDArray[np.int32]:
        """Return the stretches (E, 3) of flagged seconds: first, last + 1, flags."""
        begin, stop = self.columns.flag_begin[i : i + 2]
        return self.columns.flags[begin:stop]
