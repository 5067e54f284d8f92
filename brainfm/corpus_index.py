"""The index of a corpus: what a loader must know of every recording, in one file of columns.

It is derived from the recordings' files and can be made again from them at any time. Opening it
costs a few reads whatever the number of windows, because windows are never listed: they follow from
the lengths. The text of a :class:`~brainfm.recording_info.RecordingInfo` is read when asked for.

Shapes: R recordings, K sensor types, E stretches of flagged seconds.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import h5py
import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import atomic_path
from brainfm.corpus_file import RECORDINGS_FOLDER, FileLayout, read_header
from brainfm.landmarks import Marks, sharing
from brainfm.recording_info import RecordingInfo
from brainfm.seal import BLOCK, seal
from brainfm.sensors import SENSOR_TYPES

INDEX_NAME = "index.h5"
N_TYPES = 1 + max(kind.code for kind in SENSOR_TYPES.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """The numbers of all recordings, in the order of their ids.

    Parameters
    ----------
    n_times, sfreq, lowpass
        (R,) samples, Hz, Hz (NaN where unknown).
    ids
        (R,) ASCII names.
    n_channels
        (R,) channels, bad ones included.
    type_counts
        (R, K) channels per sensor type, at the type's code.
    dataset
        (R,) position in ``datasets``.
    size, signal_offset, sensors_offset, name_bytes
        (R,) byte layout of each file.
    flag_begin
        (R + 1,) recording i has the stretches ``flag_begin[i]`` to ``flag_begin[i + 1]``.
    flags
        (E, 3) first second, last second + 1 and flags of each stretch, within its recording.
    info_begin
        (R + 1,) bytes of the text of each recording.
    shares_with
        (R,) first recording with a stretch in common (:mod:`brainfm.landmarks`); itself if none.
    datasets
        Names of the data sets.
    """

    ids: NDArray[np.bytes_]
    n_channels: NDArray[np.int32]
    n_times: NDArray[np.int64]
    sfreq: NDArray[np.float64]
    lowpass: NDArray[np.float64]
    type_counts: NDArray[np.int32]
    dataset: NDArray[np.int32]
    size: NDArray[np.int64]
    signal_offset: NDArray[np.int64]
    sensors_offset: NDArray[np.int64]
    name_bytes: NDArray[np.int32]
    flag_begin: NDArray[np.int64]
    flags: NDArray[np.int32]
    info_begin: NDArray[np.int64]
    shares_with: NDArray[np.int32]
    datasets: tuple[str, ...]


Entry = tuple[RecordingInfo, FileLayout, NDArray[np.uint8], Marks]


def flagged_stretches(quality: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return (E, 3): first second, last second + 1 and flags of every stretch with flags."""
    starts = np.append(0, np.flatnonzero(quality[1:] != quality[:-1]) + 1)
    stops = np.append(starts[1:], len(quality))
    table = np.column_stack([starts, stops, quality[starts]]).astype(np.int32)
    return table[table[:, 2] != 0]


def recording_files(folder: str | Path) -> list[Path]:
    """Return the files of all recordings of a corpus, whether indexed or not."""
    return sorted((Path(folder) / RECORDINGS_FOLDER).glob("[!.]*.h5"))


def write_index(folder: str | Path, *, threads: int = 8, damaged: list[str] | None = None) -> int:
    """Make the index from the recordings that are on the disk and return their number.

    Damaged files raise; where a list ``damaged`` is given, they are left out and described in it.
    """

    def entry(path: Path) -> Entry | str:
        try:
            return read_header(path)
        except OSError as error:
            if damaged is None:
                raise
            return str(error)

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(entry, recording_files(folder)))
    if damaged is not None:
        damaged.extend(item for item in found if isinstance(item, str))
    return write_index_entries(folder, [item for item in found if not isinstance(item, str)])


def write_index_entries(folder: str | Path, entries: Iterable[Entry]) -> int:
    """Write the index of recordings whose headers are known; see :func:`write_index`."""
    ordered = sorted(entries, key=lambda entry: entry[0].id)
    infos = [info for info, *_ in ordered]
    names = sorted({info.dataset for info in infos})
    texts = [info.to_json().encode("utf-8") for info in infos]
    stretches = [flagged_stretches(quality) for _, _, quality, _ in ordered]
    counts = np.zeros((len(infos), N_TYPES), np.int32)
    for row, info in zip(counts, infos, strict=True):
        for kind, number in info.types.items():
            row[SENSOR_TYPES[kind].code] = number
    columns: dict[str, NDArray] = {
        "ids": np.array([info.id.encode("ascii") for info in infos], "S"),
        "n_channels": np.array([info.n_channels for info in infos], np.int32),
        "n_times": np.array([info.n_times for info in infos], np.int64),
        "sfreq": np.array([info.sfreq for info in infos], np.float64),
        "lowpass": np.array([info.lowpass or np.nan for info in infos], np.float64),
        "type_counts": counts,
        "dataset": np.array([names.index(info.dataset) for info in infos], np.int32),
        "size": np.array([layout.size for _, layout, *_ in ordered], np.int64),
        "signal_offset": np.array([lay.signal_offset for _, lay, *_ in ordered], np.int64),
        "sensors_offset": np.array([lay.sensors_offset for _, lay, *_ in ordered], np.int64),
        "name_bytes": np.array([lay.name_bytes for _, lay, *_ in ordered], np.int32),
        "flag_begin": np.cumsum([0, *map(len, stretches)], dtype=np.int64),
        "flags": np.concatenate([np.zeros((0, 3), np.int32), *stretches]),
        "shares_with": sharing([marks for *_, marks in ordered]),
        "info_begin": np.cumsum([0, *map(len, texts)], dtype=np.int64),
    }
    with atomic_path(Path(folder) / INDEX_NAME) as temporary:
        with h5py.File(temporary, "w", userblock_size=BLOCK) as file:
            for name, values in columns.items():
                file.create_dataset(name, data=values)
            file.create_dataset("info", data=np.frombuffer(b"".join(texts), np.uint8))
            file.create_dataset("datasets", data=names, dtype=h5py.string_dtype())
        seal(temporary)
    return len(infos)


class InfoTable(Sequence[RecordingInfo]):
    """The recordings' descriptions, read from the index one at a time."""

    def __init__(self, path: Path, offset: int, begin: NDArray[np.int64]) -> None:
        self._path, self._offset, self._begin = path, offset, begin

    def __len__(self) -> int:
        return len(self._begin) - 1

    @overload
    def __getitem__(self, index: int) -> RecordingInfo: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordingInfo]: ...
    def __getitem__(self, index: int | slice) -> RecordingInfo | list[RecordingInfo]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        with self._path.open("rb") as file:
            file.seek(self._offset + int(self._begin[i]))
            return RecordingInfo.from_json(file.read(int(self._begin[i + 1] - self._begin[i])))

    def __iter__(self) -> Iterator[RecordingInfo]:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for length in np.diff(self._begin).tolist():
                yield RecordingInfo.from_json(file.read(length))


def open_index(folder: str | Path) -> tuple[Columns, InfoTable]:
    """Open the index of the corpus at ``folder``; memory and time grow with recordings only."""
    path = Path(folder) / INDEX_NAME
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{folder} has no {INDEX_NAME}: not a corpus, or its preparation was interrupted; run "
            f"'brainfm prepare' again, or 'brainfm corpus index {folder}' to use what is there"
        )
    try:
        with h5py.File(path, "r", locking=False) as file:
            values = {f.name: file[f.name][()] for f in dataclasses.fields(Columns)}
            offset = file["info"].id.get_offset() or 0
    except (OSError, KeyError) as error:
        raise OSError(
            f"{path} is damaged ({error}); make it again with 'brainfm corpus index {folder}'"
        ) from error
    values["datasets"] = tuple(name.decode("utf-8") for name in values["datasets"])
    return Columns(**values), InfoTable(path, offset, values["info_begin"])
