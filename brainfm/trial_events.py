"""Events of a recording: what happened when, from whatever the experiment wrote down.

Onsets are seconds from the first sample of the recording, as in BIDS. A *stimulus* is known by its
content, never by when or to whom it was shown: the same sentence has the same id in every session,
of every subject and of every data set.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from brainfm.header import Annotation
from brainfm.recording_info import content_hash

NO_EVENT = ("bad", "edge")
"""How the annotations begin that mark a stretch of signal and no event (MNE's convention)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event.

    Parameters
    ----------
    onset
        Seconds from the first sample of the recording.
    name
        What the experiment calls it.
    duration
        Seconds.
    stimulus
        Content id of what was presented (:func:`content_id`); empty: the name stands for it.
    group
        Content id of the whole that it is a part of, as a word is of a sentence; empty: it is one.
    """

    onset: float
    name: str
    duration: float = 0.0
    stimulus: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.onset):
            raise ValueError(f"event {self.name!r}: onset must be a finite time in s")
        if not self.name:
            raise ValueError(f"the event at {self.onset:g} s has no name")


def content_id(content: str | bytes) -> str:
    """Return the id of a stimulus: 16 hex digits of the SHA-256 of what it holds.

    Texts that differ only in case, white space or Unicode spelling are one content.
    """
    if isinstance(content, str):
        content = " ".join(unicodedata.normalize("NFKC", content).casefold().split())
    return content_hash(content)[:16]


def events_from_annotations(annotations: Sequence[Annotation]) -> list[Event]:
    """Return the events among the annotations of a :class:`~brainfm.recordings.Recording`."""
    return [
        Event(onset=onset, duration=duration, name=text)
        for onset, duration, text in annotations
        if text and not text.lower().startswith(NO_EVENT)
    ]


def events_from_arrays(
    onsets: ArrayLike, names: Sequence[str], stimuli: Sequence[str] | None = None
) -> list[Event]:
    """Return events of arrays of one length: onsets in s, names, content ids."""
    times = np.asarray(onsets, dtype=np.float64)
    stimuli = [""] * len(names) if stimuli is None else stimuli
    if times.ndim != 1 or not len(times) == len(names) == len(stimuli):
        raise ValueError(
            f"onsets {times.shape}, names ({len(names)},) and stimuli ({len(stimuli)},) must be "
            "lists of one length"
        )
    rows = zip(times.tolist(), names, stimuli, strict=True)
    return [Event(onset=onset, name=str(name), stimulus=str(stim)) for onset, name, stim in rows]


def events_from_samples(
    rows: ArrayLike,
    sfreq: float,
    *,
    first_sample: int = 0,
    names: Mapping[int, str] | None = None,
) -> list[Event]:
    """Return events of an MNE array of events.

    Parameters
    ----------
    rows
        (E, 3) sample, value before, value; the samples count from the start of the clock.
    sfreq
        Samples per second.
    first_sample
        Sample of that clock at which the recording begins (``raw.first_samp``).
    names
        By value; not given: the value itself. Values without a name are no events.
    """
    table = np.asarray(rows)
    if table.ndim != 2 or table.shape[1] != 3:
        raise ValueError(f"an array of events is (E, 3), got {table.shape}")
    return [
        Event(
            onset=(sample - first_sample) / sfreq,
            name=str(value) if names is None else names[value],
        )
        for sample, _, value in table.tolist()
        if names is None or value in names
    ]


def events_from_stim(
    raw: Any, channel: str | Sequence[str] | None = None, names: Mapping[int, str] | None = None
) -> list[Event]:
    """Return the events in a stim channel of an MNE Raw.

    Parameters
    ----------
    raw
        MNE Raw.
    channel
        Name of the stim channel; not given: MNE's choice.
    names
        As in :func:`events_from_samples`.
    """
    import mne

    from brainfm.formats import quiet_mne

    try:
        with quiet_mne():
            rows = mne.find_events(raw, stim_channel=channel, shortest_event=1, verbose="error")
    except ValueError as error:
        stims = [raw.ch_names[k] for k in mne.pick_types(raw.info, meg=False, stim=True)]
        known = ", ".join(stims) or "none"
        raise ValueError(
            f"no events in stim channel {channel or '(default)'}: {error}; stim "
            f"channels of the recording: {known}"
        ) from error
    return events_from_samples(
        rows, float(raw.info["sfreq"]), first_sample=int(raw.first_samp), names=names
    )
