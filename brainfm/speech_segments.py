"""A stretch of a sound, and the stretch around it that its features may be computed from.

A segment is written as one word, so that it can be the stimulus of an event: the content id of its
sound, where in it the event is, and from where to where reaches the *split unit* that the event is
in - the sentence or block that lies as a whole on one side of a split. Contextual features look
seconds far; computed across the border of the unit they would show a decoder the test side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

SEPARATOR = ":"
RIVAL = "|"
DECIMALS = 4
"""Tenths of a millisecond: finer than any alignment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechSegment:
    """What was heard at an event.

    Parameters
    ----------
    sound
        Content id of the sound: of the bytes of its file (:func:`~.trial_events.content_id`).
    at
        Seconds from the begin of the sound to the event.
    begin, end
        Seconds from the begin of the sound to begin and end of the split unit; ``end`` None: to
        the end of the sound.
    """

    sound: str
    at: float = 0.0
    begin: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        if not self.sound or set(self.sound) & {SEPARATOR, RIVAL, " "}:
            raise ValueError(f"sound must be a content id, got {self.sound!r}")
        last = self.at if self.end is None else self.end
        if not 0 <= self.begin <= self.at <= last or self.begin == self.end:
            raise ValueError(
                f"an event at {self.at:g} s of sound {self.sound} must lie in its split unit, "
                f"{self.begin:g} to {'the end' if self.end is None else f'{self.end:g}'} s"
            )

    @property
    def id(self) -> str:
        """Return it as one word; the sound's own id for a sound heard from its begin, whole."""
        if (self.at, self.begin, self.end) == (0.0, 0.0, None):
            return self.sound
        end = "" if self.end is None else f"{self.end:.{DECIMALS}f}"
        return SEPARATOR.join(
            [self.sound, f"{self.at:.{DECIMALS}f}", f"{self.begin:.{DECIMALS}f}", end]
        )


class Heard(NamedTuple):
    """What was heard at an event: what was attended, and what was there beside it."""

    attended: SpeechSegment
    rivals: tuple[SpeechSegment, ...]


def heard_id(attended: SpeechSegment, rivals: Sequence[SpeechSegment] = ()) -> str:
    """Return the stimulus of an event at which several sounds were heard, one of them attended."""
    return RIVAL.join(segment.id for segment in (attended, *rivals))


def parse_heard(stimulus: str) -> Heard:
    """Return what :func:`heard_id` or :attr:`SpeechSegment.id` wrote.

    Raises
    ------
    ValueError
        It is none of theirs.
    """
    attended, *rivals = (_parse(one) for one in stimulus.split(RIVAL))
    return Heard(attended, tuple(rivals))


def _parse(text: str) -> SpeechSegment:
    sound, *times = text.split(SEPARATOR)
    if not times:
        return SpeechSegment(sound=sound)
    try:
        at, begin, end = times
        return SpeechSegment(
            sound=sound, at=float(at), begin=float(begin), end=float(end) if end else None
        )
    except ValueError as error:
        raise ValueError(
            f"stimulus {text!r} is no stretch of a sound (SOUND:AT:BEGIN:END): {error}"
        ) from None
