"""Recordings as users give them: MNE objects, files, arrays, and lists of any of these."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainfm.recordings import (
    ReadOptions,
    Recording,
    read_recordings,
    recording_from_array,
    recording_from_raw,
    recordings_from_epochs,
)
from brainfm.sensors import SensorArray
from brainfm.window_stream import Standardised

Together = Callable[[Iterator[tuple[int, Standardised]]], Iterable[tuple[int, Any]]]
"""From keys and signals to keys and results, or what prevented them, in any order."""


def recordings_of(data: Any, options: ReadOptions | None = None) -> tuple[list[Recording], bool]:
    """Return ``data`` as recordings, and whether they are epochs of one."""
    import mne

    if isinstance(data, Recording):
        return [data], False
    if isinstance(data, mne.io.BaseRaw):
        return [recording_from_raw(data, options)], False
    if isinstance(data, mne.BaseEpochs):
        return recordings_from_epochs(data, options), True
    if isinstance(data, (str, Path)):
        recordings = read_recordings(data, options)
        return recordings, len(recordings) > 1
    if isinstance(data, tuple) and len(data) == 3:
        array, sfreq, sensors = data
        if not isinstance(sensors, SensorArray):
            raise ValueError(
                "(array, sfreq, sensors) needs a SensorArray, got "
                f"{type(sensors).__name__}; brainfm.montage.sensors_by_name makes one of names"
            )
        return [recording_from_array(array, sfreq, sensors)], False
    raise ValueError(
        f"cannot encode {type(data).__name__}; give an mne Raw or Epochs, a file, or "
        "(array, sfreq, SensorArray)"
    )


def are_several(data: Any) -> bool:
    """Tell a list or tuple of recordings from one, which may be (array, sfreq, SensorArray)."""
    if isinstance(data, tuple):
        return not any(isinstance(part, np.ndarray | SensorArray) for part in data)
    return isinstance(data, list)


def each_together(
    given: Sequence[Any],
    options: ReadOptions | None,
    process: Callable[[Recording], Standardised],
    together: Together,
) -> list[Any]:
    """Return the results of recordings that share calls, in order; a list where one is epochs.

    Parameters
    ----------
    given
        Anything that :func:`recordings_of` takes; opened when its turn comes.
    options
        How to read them.
    process
        Prepares a recording.
    together
        Takes the prepared recordings, and yields the result of each once.

    Raises
    ------
    ValueError, OSError, MemoryError
        Nothing is given, or something that cannot be read or encoded, named by its place.
    """
    if not given:
        raise ValueError("the list of recordings is empty; give at least one")
    owners: list[tuple[int, str]] = []
    nested: list[bool] = []

    def signals() -> Iterator[tuple[int, Standardised]]:
        for place, data in enumerate(given):
            source = str(data) if isinstance(data, str | Path) else ""
            try:
                recordings, are_epochs = recordings_of(data, options)
                nested.append(are_epochs)
                for recording in recordings:
                    source = recording.source
                    processed = process(recording)
                    owners.append((place, source))
                    yield len(owners) - 1, processed
            except (ValueError, OSError, MemoryError) as error:
                raise _placed(error, place, source) from error

    found: dict[int, Any] = {}
    for key, result in together(signals()):
        if isinstance(result, Exception):
            raise _placed(result, *owners[key]) from result
        found[key] = result
    by_place: list[list[Any]] = [[] for _ in nested]
    for key, (place, _) in enumerate(owners):
        by_place[place].append(found[key])
    return [
        results if are_epochs else results[0]
        for results, are_epochs in zip(by_place, nested, strict=True)
    ]


def _placed(error: Exception, place: int, source: str) -> Exception:
    """Return an error of the same kind that says which recording of the list it is about."""
    text = str(error) if source in str(error) else f"{source}: {error}"
    # Not type(error): some kinds, JSON's and Unicode's among them, take more than a text.
    kinds = (FileNotFoundError, OSError, MemoryError, ValueError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), RuntimeError)
    return kind(f"recordings[{place}]: {text}")
