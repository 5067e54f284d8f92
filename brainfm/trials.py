"""Trials: stretches of recordings around events, as a table. No sample is read to make one.

Shapes: N trials, P presentations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brainfm.config_json import to_json
from brainfm.recording_info import RecordingInfo, content_hash
from brainfm.sensors import FloatArray
from brainfm.splits import unit_of

CONTENTS = ("stimulus", "group")
"""Units that are the same for all subjects."""


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Which events become trials, and which stretch of signal belongs to each.

    Parameters
    ----------
    window
        Begin and end of a trial, seconds from its event.
    baseline
        Begin and end, seconds from the event, of what is averaged and taken away per channel.
    labels
        Event name -> label; events it does not name are no trials. Empty: all events, each
        labelled with its name.
    outside
        What becomes of a trial that reaches beyond its recording: "error" or "drop".
    average
        Presentations of one stimulus in a recording whose windows are averaged to make a trial, in
        the order in which they came, on all sides alike; the last of a stimulus may be of fewer.
        0: all of them. A stimulus that the events do not name is the event's name: then trials of
        one class are averaged, and a score is that of the average.
    """

    window: tuple[float, float] = (0.0, 1.0)
    baseline: tuple[float, float] | None = None
    labels: dict[str, str] = field(default_factory=dict)
    outside: str = "error"
    average: int = 1

    def __post_init__(self) -> None:
        for name, interval in (("window", self.window), ("baseline", self.baseline)):
            if interval is not None and not -np.inf < interval[0] < interval[1] < np.inf:
                raise ValueError(f"{name} must be (begin, end) in s with begin < end: {interval}")
        if self.outside not in ("error", "drop"):
            raise ValueError(f"outside must be 'error' or 'drop', got {self.outside!r}")
        if self.average < 0:
            raise ValueError(f"average must be at least 0 (all presentations), got {self.average}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One trial.

    Parameters
    ----------
    recording
        Id of the recording.
    onset
        Seconds from its first sample to the event.
    label
        What is to be decoded.
    stimulus
        Content id of what was presented.
    group
        Content id of the whole it is a part of; the stimulus itself if that is a whole.
    repeats
        Onsets of later presentations that are averaged with it, rising.
    """

    recording: str
    onset: float
    label: str
    stimulus: str
    group: str
    repeats: tuple[float, ...] = ()

    @property
    def onsets(self) -> tuple[float, ...]:
        """Return the onsets of all its presentations, s."""
        return (self.onset, *self.repeats)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """A table of trials, by recording and onset, whatever order they were found in.

    Parameters
    ----------
    config
        How they were cut.
    recordings
        By id, those that have trials.
    rows
        The trials.
    dropped
        Events left out because they reach beyond their recording, one line each.
    """

    config: TrialConfig
    recordings: Mapping[str, RecordingInfo]
    rows: tuple[Trial, ...]
    dropped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """Return the label of every trial, (N,)."""
        return np.array([trial.label for trial in self.rows], dtype=np.str_)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the labels there are, sorted."""
        return tuple(sorted(set(self.labels.tolist())))

    @property
    def targets(self) -> NDArray[np.int64]:
        """Return the position of every trial's label in :attr:`classes`, (N,)."""
        return np.unique(self.labels, return_inverse=True)[1].astype(np.int64)

    @property
    def digest(self) -> str:
        """Return a hash of what the trials are and of whose content they are cut."""
        content = {
            info.id: info.digest or info.source_digest or info.id
            for info in self.recordings.values()
        }
        who = {info.id: recording_unit(info, "run") for info in self.recordings.values()}
        rows = [
            [content[t.recording], t.onset, t.label, t.stimulus, t.group, list(t.repeats)]
            for t in self.rows
        ]
        return content_hash(to_json(self.config), who, rows)

    def units(self, by: str) -> NDArray[np.str_]:
        """Return which subject, session, run, recording, data set, stimulus or group a trial is of.

        The name of a session holds that of its subject and data set, and so on: (N,).
        """
        if by in CONTENTS:
            return np.array([getattr(trial, by) for trial in self.rows], dtype=np.str_)
        names = {key: recording_unit(info, by) for key, info in self.recordings.items()}
        return np.array([names[trial.recording] for trial in self.rows], dtype=np.str_)

    @cached_property
    def stretches(self) -> tuple[FloatArray, FloatArray]:
        """Return begin and end of what is seen of each presentation, by trial.

        Seconds in its recording, (P,) each; where nothing is averaged, P is N.
        """
        ends = []
        for trial in self.rows:
            sfreq = self.recordings[trial.recording].sfreq
            for onset in trial.onsets:
                ends.append(np.array(seen_samples(onset, self.config, sfreq)) / sfreq)
        begin, end = np.array(ends, dtype=np.float64).reshape(-1, 2).T
        return begin, end

    @property
    def presented(self) -> NDArray[np.int64]:
        """Return the trial of every presentation, (P,)."""
        return np.repeat(np.arange(len(self)), [len(trial.onsets) for trial in self.rows])

    @property
    def presentations(self) -> tuple[int, int]:
        """Return the fewest and the most presentations that a trial is the average of."""
        counts = [len(trial.onsets) for trial in self.rows]
        return min(counts), max(counts)

    def select(self, index: Sequence[int] | NDArray[np.int64]) -> "Trials":
        """Return some of the trials, in the order of the table."""
        rows = tuple(self.rows[k] for k in sorted(set(map(int, index))))
        kept = {trial.recording for trial in rows}
        infos = {key: info for key, info in self.recordings.items() if key in kept}
        return replace(self, rows=rows, recordings=infos, dropped=())


def recording_unit(info: RecordingInfo, by: str) -> str:
    """Return a recording's unit; a run counts inside its task and session only."""
    if by == "run":
        return "/".join((unit_of(info, "session"), info.task, info.run))
    return unit_of(info, by)


def samples_of(onset: float, interval: tuple[float, float], sfreq: float) -> tuple[int, int]:
    """Return first and last + 1 sample of an interval around an event.

    Their number depends on the interval alone, not on how the event lies between two samples.
    """
    start = round((onset + interval[0]) * sfreq)
    return start, start + max(1, round((interval[1] - interval[0]) * sfreq))


def seen_samples(onset: float, config: TrialConfig, sfreq: float) -> tuple[int, int]:
    """Return first and last + 1 sample of all that a trial sees: its window and its baseline."""
    start, stop = samples_of(onset, config.window, sfreq)
    if config.baseline is None:
        return start, stop
    first, last = samples_of(onset, config.baseline, sfreq)
    return min(start, first), max(stop, last)
