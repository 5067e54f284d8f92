"""Where the events of a recording are written down, and how they are read from there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from brainfm.event_tables import events_from_table
from brainfm.recording_info import RecordingInfo
from brainfm.sources import Source
from brainfm.trial_events import (
    Event,
    events_from_annotations,
    events_from_samples,
    events_from_stim,
)

ENDINGS = r"[-_](raw|eeg|meg|ieeg|nirs|bold)$"
"""What MNE and BIDS put at the end of the name of a recording, before the dot."""


@dataclass(frozen=True, kw_only=True)
class EventConfig:
    """Where events are and what they are called.

    Parameters
    ----------
    kind
        ``annotations`` of the file, ``stim`` channel, ``table`` beside it (BIDS ``events.tsv`` or
        CSV, onsets in s) or MNE's ``event_file``.
    file
        Path of the table or event file. ``{folder}``, ``{stem}`` (the recording's name without
        ending and without ``_raw``, ``_eeg``, ``_meg``), ``{id}``, ``{dataset}``, ``{subject}``,
        ``{session}``, ``{task}`` and ``{run}`` stand for those of the recording.
    names
        Value or text in the file -> name of the event; others are no events. Empty: all, by the
        name they have.
    channel
        Name of the stim channel; empty: MNE's choice.
    name, onset, duration, stimulus, group
        Columns of a table; see :func:`brainfm.event_tables.events_from_table`.
    stimulus_folder
        Where the files named in column ``stimulus`` are; empty: the column's text is the content.
    """

    kind: Literal["annotations", "stim", "table", "event_file"] = "annotations"
    file: str = ""
    names: dict[str, str] = field(default_factory=dict)
    channel: str = ""
    name: str = "trial_type"
    onset: str = "onset"
    duration: str = "duration"
    stimulus: str = ""
    group: str = ""
    stimulus_folder: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", {str(k): str(v) for k, v in self.names.items()})
        if self.kind in ("table", "event_file") and not self.file:
            raise ValueError(
                f"events of kind {self.kind!r} need file, for example '{{folder}}/{{stem}}-eve.fif'"
            )
        if self.kind in ("annotations", "stim") and self.file:
            raise ValueError(f"events of kind {self.kind!r} are in the recording; leave out file")
        if self.channel and self.kind != "stim":
            raise ValueError(f"channel is for events of kind 'stim', not {self.kind!r}")


def read_events(source: Source, config: EventConfig) -> list[Event]:
    """Return the events of a recording file.

    Raises
    ------
    ValueError, FileNotFoundError
        None are there, or their file is missing; the message names both files.
    """
    if config.kind == "table":
        return table_events(event_path(source, config), config)
    from brainfm.formats import open_raw
    from brainfm.header import annotation_list

    raw = open_raw(source.path)
    if config.kind == "annotations":
        found = events_from_annotations(annotation_list(raw))
    elif config.kind == "stim":
        found = events_from_stim(raw, config.channel or None)
    else:
        found = _mne_events(event_path(source, config), raw)
    if not found:
        raise ValueError(f"{source.path}: holds no events of kind {config.kind!r}")
    return renamed(found, config, source.path)


def event_path(recording: Source | RecordingInfo, config: EventConfig) -> Path:
    """Return the file with the events of a recording."""
    labels = ("id", "dataset", "subject", "session", "task", "run")
    values = {name: getattr(recording, name) for name in labels}
    if isinstance(recording, Source):
        values |= {"folder": str(recording.path.parent), "stem": stem_of(recording.path)}
    try:
        path = Path(config.file.format(**values))
    except (KeyError, IndexError, ValueError) as error:
        known = ", ".join(f"{{{name}}}" for name in values)
        raise ValueError(f"file {config.file!r} may use {known}, not {error}") from None
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the events of recording {recording.id} are not there")
    return path


def stem_of(path: Path) -> str:
    """Return the name of a recording without its ending and without ``_raw`` and the like."""
    name = path.name.removesuffix(".gz")
    return re.sub(ENDINGS, "", name[: name.rfind(".")] if "." in name else name)


def table_events(path: Path, config: EventConfig) -> list[Event]:
    """Return the events of a table."""
    found = events_from_table(
        path,
        name=config.name,
        onset=config.onset,
        duration=config.duration,
        stimulus=config.stimulus,
        group=config.group,
        stimulus_folder=config.stimulus_folder or None,
    )
    return renamed(found, config, path)


def renamed(events: Sequence[Event], config: EventConfig, path: Path) -> list[Event]:
    """Return the events that have a name, under that name."""
    if not config.names:
        return list(events)
    kept = [replace(e, name=config.names[e.name]) for e in events if e.name in config.names]
    if not kept:
        there = ", ".join(sorted({event.name for event in events})[:20])
        raise ValueError(f"{path}: has none of the events {list(config.names)}; it has: {there}")
    return kept


def _mne_events(path: Path, raw: Any) -> list[Event]:
    import mne

    from brainfm.formats import quiet_mne

    try:
        with quiet_mne():
            rows = mne.read_events(path, verbose="error")
    except Exception as error:
        raise ValueError(f"{path}: cannot be read as events: {error}") from error
    found = events_from_samples(rows, float(raw.info["sfreq"]), first_sample=int(raw.first_samp))
    # Rows whose value is 0 say when a trigger ended.
    return [event for event in found if event.name != "0"]
