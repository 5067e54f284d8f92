"""Volumes of fMRI as events of the EEG or MEG that was recorded with it.

Shapes: V volumes.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial

from brainfm.bold import volume_times
from brainfm.trial_events import Event

from .trial_source import Found, TrialSource

VOLUME = "volume"
"""Name of the events; also in what :func:`volume_name` makes."""
_NAME = re.compile(rf"(?P<recording>.+) {VOLUME} (?P<number>\d+) of (?P<total>\d+)")


class Volumes(TrialSource):
    """Recordings with one event per volume, from the triggers that the scanner sent.

    With ``data.trials.window`` from -16 to 0 a trial is what went before its volume.

    Parameters
    ----------
    source
        The recordings; events of another name than ``trigger`` are left out.
    trigger
        Name of the events that volumes begin with; empty: all events are triggers.
    t_r
        Seconds between volumes.
    skip
        Triggers at the start whose volumes are not in the images (dummy scans).
    """

    def __init__(self, source: TrialSource, t_r: float, trigger: str = "", skip: int = 0) -> None:
        if not t_r > 0:
            raise ValueError(f"t_r must be positive (s), got {t_r}")
        if skip < 0:
            raise ValueError(f"skip must be a number of triggers, 0 or more, got {skip}")
        self.source, self.trigger, self.t_r, self.skip = source, trigger, t_r, skip

    @property
    def synthetic(self) -> bool:  # type: ignore[override]
        """Return whether the recordings are."""
        return self.source.synthetic

    def recordings(self) -> list[Found]:
        """Return the recordings."""
        return [
            Found(
                source=found.source,
                recording=found.recording,
                events=partial(self._volumes, found.source.id, found.events),
            )
            for found in self.source.recordings()
        ]

    def _volumes(
        self, recording: str, events: Sequence[Event] | Callable[[], Sequence[Event]]
    ) -> list[Event]:
        known = events() if callable(events) else events
        onsets = sorted(e.onset for e in known if self.trigger in ("", e.name))
        if len(onsets) <= self.skip:
            there = ", ".join(sorted({event.name for event in known})[:10]) or "none"
            raise ValueError(
                f"recording {recording}: {len(onsets)} events {self.trigger!r}, {self.skip} of "
                f"them to skip, leave no volume; the events there are: {there}"
            )
        onsets = onsets[self.skip :]
        try:
            times = volume_times(onsets, len(onsets), self.t_r)
        except ValueError as error:
            raise ValueError(f"recording {recording}: {error}") from None
        names = (volume_name(recording, k, len(times)) for k in range(len(times)))
        return [
            Event(onset=onset, name=VOLUME, stimulus=name)
            for onset, name in zip(times.tolist(), names, strict=True)
        ]


def volume_name(recording: str, number: int, total: int) -> str:
    """Return the name of a volume, numbered from 0, among ``total`` of a recording."""
    return f"{recording} {VOLUME} {number} of {total}"


def volume_of(name: str) -> tuple[str, int, int]:
    """Return recording, number and total that :func:`volume_name` was given.

    Raises
    ------
    ValueError
        Another name.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name!r} is no volume of a recording; take data.source "
            "brainfm.finetune.bold_sources.Volumes, which numbers them"
        )
    return match["recording"], int(match["number"]), int(match["total"])
