"""One recording of a corpus on disk: an HDF5 file that any HDF5 tool can read.

Layout of ``recordings/ID.h5``:

- dataset ``signal`` (T, C) float16, contiguous, in units of the scale of the channel's type: a
  window is one read of consecutive bytes;
- dataset ``sensors`` (C,), one row per channel (:func:`sensor_dtype`);
- dataset ``quality`` (S,) uint8, one byte of flags per second begun, 0 = nothing wrong;
- dataset ``landmarks`` (L,) uint64, by which stretches are known again
  (:mod:`brainfm.landmarks`);
- attribute ``info``: :class:`~brainfm.recording_info.RecordingInfo` as JSON;
- the first 512 bytes: a checksum of the rest (:mod:`brainfm.seal`).

Shapes: C sensors, T samples, S seconds.
"""

import dataclasses
import hashlib
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import atomic_path
from brainfm.hdf5_errors import disk_full, hdf5_writing, unmistaken
from brainfm.landmarks import LandmarkWatch, Marks
from brainfm.recording_info import RecordingInfo, content_hash
from brainfm.seal import BLOCK, seal
from brainfm.sensors import SENSOR_TYPES, SensorArray

RECORDINGS_FOLDER = "recordings"
TYPE_NAMES = {kind.code: name for name, kind in SENSOR_TYPES.items()}


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """Where the parts of one recording's file lie, in bytes; lets a window be read without HDF5."""

    size: int
    signal_offset: int
    sensors_offset: int
    name_bytes: int


def recording_path(folder: str | Path, recording_id: str) -> Path:
    """Return the file of a recording in the corpus at ``folder``."""
    return Path(folder) / RECORDINGS_FOLDER / f"{recording_id}.h5"


def sensor_dtype(name_bytes: int) -> np.dtype:
    """Return the row of the ``sensors`` dataset; names are UTF-8 padded with zeros."""
    return np.dtype(
        [
            ("position", "<f8", (3,)),
            ("orientation", "<f8", (3,)),
            ("scale", "<f8"),
            ("type", "i1"),
            ("good", "?"),
            ("name", f"S{name_bytes}"),
        ]
    )


def n_seconds(n_times: int, sfreq: float) -> int:
    """Return the length of the quality track: every second that has begun counts."""
    return math.ceil(n_times / sfreq)


def _sensor_rows(
    sensors: SensorArray, good: NDArray[np.bool_], scale: Mapping[str, float]
) -> NDArray[np.void]:
    names = [name.encode("utf-8") for name in sensors.names]
    rows = np.zeros(len(sensors), dtype=sensor_dtype(max(map(len, names))))
    rows["position"] = sensors.positions
    rows["orientation"] = sensors.orientations
    rows["scale"] = [scale[kind] for kind in sensors.types.tolist()]
    rows["type"] = sensors.codes
    rows["good"] = good
    rows["name"] = names
    return rows


def sensors_from_rows(rows: NDArray[np.void]) -> SensorArray:
    """Return the sensor array that the ``sensors`` dataset (C,) describes."""
    return SensorArray(
        positions=rows["position"].copy(),
        orientations=rows["orientation"].copy(),
        types=np.array([TYPE_NAMES[code] for code in rows["type"].tolist()], dtype=np.str_),
        names=tuple(name.decode("utf-8") for name in rows["name"].tolist()),
    )


def _check_room(path: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < n_bytes:
        raise disk_full(
            f"no room for {path.name}: it needs {n_bytes / 1e6:.2f} MB, the disk has "
            f"{free / 1e6:.2f} MB left; free some or choose another folder"
        )


def _checked_rows(
    info: RecordingInfo,
    sensors: SensorArray,
    good: NDArray[np.bool_],
    scale: Mapping[str, float],
) -> NDArray[np.void]:
    if len(sensors) == 0:
        raise ValueError(f"recording {info.id} has no channels")
    good = np.asarray(good)
    if good.shape != (len(sensors),) or good.dtype != np.bool_:
        raise ValueError(f"recording {info.id}: good must be bool ({len(sensors)},)")
    missing = sorted(set(sensors.types.tolist()) - set(scale))
    if missing:
        raise ValueError(f"recording {info.id}: no scale for sensor types {missing}")
    wrong = {kind: value for kind, value in scale.items() if not 0 < value < math.inf}
    if wrong:
        raise ValueError(f"recording {info.id}: scale must be positive and finite, got {wrong}")
    return _sensor_rows(sensors, good, scale)


def write_recording(
    folder: str | Path,
    info: RecordingInfo,
    *,
    sensors: SensorArray,
    good: NDArray[np.bool_],
    scale: Mapping[str, float],
    quality: NDArray[np.uint8],
    n_times: int,
    blocks: Iterable[NDArray[np.float16]],
) -> RecordingInfo:
    """Write one recording as a whole or not at all; memory is that of one block.

    Parameters
    ----------
    folder
        The corpus. Any number of processes may write different recordings at once; the index is
        written afterwards (:func:`brainfm.corpus_index.write_index`).
    info
        What is known of the recording.
    sensors, good
        Geometry (C,), and true (C,) where the channel can be used.
    scale
        SI value that one unit of the signal stands for, per sensor type.
    quality
        (S,) flags per second begun, S = ceil(n_times / sfreq).
    n_times
        Samples that ``blocks`` will bring.
    blocks
        Consecutive pieces (C, n) float16 of any length; the result does not depend on the lengths.

    Returns
    -------
    RecordingInfo
        ``info`` with everything filled in that only the content tells.

    Raises
    ------
    ValueError
        Shapes that disagree, samples that are not finite, blocks that end early or late.
    OSError
        No room, no permission.
    """
    rows = _checked_rows(info, sensors, good, scale)
    n_channels = len(sensors)
    if n_times < 1:
        raise ValueError(f"recording {info.id} has no samples")
    quality = np.asarray(quality, dtype=np.uint8)
    if quality.shape != (n_seconds(n_times, info.sfreq),):
        raise ValueError(
            f"recording {info.id}: quality has shape {quality.shape}, expected "
            f"({n_seconds(n_times, info.sfreq)},): one byte per second begun"
        )
    target = recording_path(folder, info.id)
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_room(target, 2 * n_times * n_channels + rows.nbytes + quality.nbytes + 8192)
    channel_hashes = [hashlib.sha256() for _ in range(n_channels)]
    with atomic_path(target) as temporary:
        with hdf5_writing(target), h5py.File(temporary, "w", userblock_size=BLOCK) as file:
            file.create_dataset("sensors", data=rows)
            file.create_dataset("quality", data=quality)
            signal = _create_signal(file, n_times, n_channels)
            done = 0
            watch = LandmarkWatch(sensors.names, sensors.types.tolist(), info.sfreq)
            for block in unmistaken(blocks):
                done = _append(signal, block, done, channel_hashes, info.id)
                watch.add(block)
            if done != n_times:
                raise ValueError(f"recording {info.id}: {done} of {n_times} samples came")
            file.create_dataset("landmarks", data=watch.finish().astype("<u8"))
            full = _complete_info(info, rows, scale, quality, n_times, channel_hashes)
            file.attrs["info"] = full.to_json()
        seal(temporary)
    return full


def _create_signal(file: h5py.File, n_times: int, n_channels: int) -> h5py.Dataset:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    # Every sample is written exactly once: filling with zeros first would double the writing.
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((n_times, n_channels))
    kind = h5py.h5t.py_create(np.dtype("<f2"))
    return h5py.Dataset(h5py.h5d.create(file.id, b"signal", kind, space, settings))


def _append(
    signal: h5py.Dataset,
    block: NDArray[np.float16],
    done: int,
    channel_hashes: list["hashlib._Hash"],
    recording_id: str,
) -> int:
    n_times, n_channels = signal.shape
    if block.dtype != np.float16 or block.ndim != 2 or block.shape[0] != n_channels:
        raise ValueError(
            f"recording {recording_id}: a block is {block.dtype} {block.shape}, expected float16 "
            f"({n_channels}, n)"
        )
    stop = done + block.shape[1]
    if stop > n_times:
        raise ValueError(f"recording {recording_id}: more than the {n_times} samples announced")
    if not np.isfinite(block).all():
        raise ValueError(f"recording {recording_id}: samples that are not finite after {done}")
    block = np.ascontiguousarray(block, dtype="<f2")
    for state, row in zip(channel_hashes, block, strict=True):
        state.update(row)
    signal[done:stop] = np.ascontiguousarray(block.T)
    return stop


def _complete_info(
    info: RecordingInfo,
    rows: NDArray[np.void],
    scale: Mapping[str, float],
    quality: NDArray[np.uint8],
    n_times: int,
    channel_hashes: list["hashlib._Hash"],
) -> RecordingInfo:
    channels = [state.digest() for state in channel_hashes]
    codes, counts = np.unique(rows["type"], return_counts=True)
    types = {TYPE_NAMES[int(code)]: int(n) for code, n in zip(codes, counts, strict=True)}
    return dataclasses.replace(
        info,
        n_times=n_times,
        types=types,
        scale={kind: float(scale[kind]) for kind in types},
        bad_channels=int((~rows["good"]).sum()),
        bad_seconds=int(np.count_nonzero(quality)),
        signal_digest=content_hash(n_times, b"".join(sorted(channels))),
        digest=content_hash(
            n_times,
            b"".join(channels),
            rows.tobytes(),
            quality.tobytes(),
            [info.sfreq, info.highpass, info.lowpass],
        ),
    )


def open_recording(path: str | Path) -> h5py.File:
    """Open a recording's file for reading, with an error that says what to do."""
    try:
        return h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _damaged(path, error) from error


def _damaged(path: str | Path, error: Exception) -> OSError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return OSError(f"{path} is damaged ({reason}); delete it and run 'brainfm prepare' again")


def read_header(path: str | Path) -> tuple[RecordingInfo, FileLayout, NDArray[np.uint8], Marks]:
    """Return what the index needs: info, byte layout, quality track (S,) and landmarks (L,)."""
    with open_recording(path) as file:
        try:
            info = RecordingInfo.from_json(file.attrs["info"])
            layout = FileLayout(
                size=os.path.getsize(path),
                signal_offset=file["signal"].id.get_offset(),
                sensors_offset=file["sensors"].id.get_offset(),
                name_bytes=file["sensors"].dtype["name"].itemsize,
            )
            # Older corpora lack them, or have others, which match each other only.
            marks = file["landmarks"][()] if "landmarks" in file else np.zeros(0, np.uint64)
            return info, layout, file["quality"][()], marks
        except Exception as error:  # a flipped byte may surface as anything
            raise _damaged(path, error) from error
