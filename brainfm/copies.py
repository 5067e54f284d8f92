"""Recordings that hold the same samples, under whatever names."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from brainfm.recording_info import RecordingInfo


class Known(Protocol):
    """What is needed of a recording: its description in a corpus and in a split have it."""

    @property
    def id(self) -> str:
        """Return its name."""

    @property
    def signal_digest(self) -> str:
        """Return the hash of its samples."""

    @property
    def source_digest(self) -> str:
        """Return the hash of the file it came from."""


def marks_of(info: Known, shared: Mapping[str, str]) -> list[str]:
    """Return what two recordings have in common if they are the same measurement.

    Parameters
    ----------
    info
        The recording.
    shared
        By id, the first recording that it shares a stretch with (:attr:`Corpus.shared`).
    """
    return [m for m in (info.signal_digest, info.source_digest, shared.get(info.id, "")) if m]


def linked(
    infos: Iterable[RecordingInfo],
    unit_of: Callable[[RecordingInfo], str],
    shared: Mapping[str, str],
) -> dict[str, str]:
    """Return for every unit the first unit, by name, that it shares samples or a file with."""
    parent: dict[str, str] = {}

    def root(unit: str) -> str:
        while parent.setdefault(unit, unit) != unit:
            parent[unit] = parent[parent[unit]]
            unit = parent[unit]
        return unit

    owner: dict[str, str] = {}
    for info in infos:
        unit = root(unit_of(info))
        for mark in marks_of(info, shared):
            low, high = sorted((root(unit), root(owner.setdefault(mark, unit))))
            parent[high] = low
    return {unit: root(unit) for unit in list(parent)}


def duplicates(
    recordings: Iterable[RecordingInfo], shared: Mapping[str, str] | None = None
) -> list[list[RecordingInfo]]:
    """Return every group of recordings with samples in common, by id.

    The same samples, the same file read in another way (bad channels, unit), or a stretch of
    another recording.
    """
    groups: dict[str, list[RecordingInfo]] = defaultdict(list)
    infos = sorted(recordings, key=lambda info: info.id)
    first = linked(infos, lambda info: info.id, shared or {})
    for info in infos:
        groups[first[info.id]].append(info)
    return [group for group in groups.values() if len(group) > 1]
