"""When words were heard, by the recording itself: a channel that recorded the sound, or triggers.

Tables of events tell when a sound should have begun. Where amplifier and player have clocks of
their own, that is wrong by an offset and a drift, found here and refused beyond a limit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brainfm.alignment import (
    ENVELOPE_RATE,
    Alignment,
    AlignmentConfig,
    align_envelopes,
    align_onsets,
    sound_envelope,
)
from brainfm.audio_file import read_wav
from brainfm.sensors import FloatArray
from brainfm.speech_clock import playings
from brainfm.speech_events import Word
from brainfm.trial_events import events_from_stim


@dataclass(frozen=True, kw_only=True)
class SpeechAlignmentConfig:
    """What tells when sounds were really heard. One line, offset and drift, for each recording.

    Parameters
    ----------
    channel
        Channel that recorded the sound; empty: none.
    triggers
        Stim channel with triggers; empty: none.
    mark
        What has a trigger: every ``sound`` as it begins, or every ``word``.
    most_shift
        Seconds by which the table of events may be wrong anywhere in the recording; more, and
        table and recording do not belong together.
    limits
        What is a good fit.
    """

    channel: str = ""
    triggers: str = ""
    mark: Literal["sound", "word"] = "sound"
    most_shift: float = 1.0
    limits: AlignmentConfig = AlignmentConfig()  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        if bool(self.channel) == bool(self.triggers):
            raise ValueError("align takes a channel with the sound, or triggers: one of them")
        if self.mark not in ("sound", "word"):
            raise ValueError(f"mark must be 'sound' or 'word', got {self.mark!r}")
        if not 0 < self.most_shift < np.inf:
            raise ValueError(f"most_shift must be above 0 (s), got {self.most_shift}")


def align_words(
    words: Sequence[Word],
    raw: Any,
    sounds: Mapping[str, Path],
    cfg: SpeechAlignmentConfig,
    *,
    name: str,
) -> tuple[list[Word], Alignment]:
    """Return words at the times they were heard, and how the table's clock lies in the recording's.

    Parameters
    ----------
    words
        Of one recording, by its table.
    raw
        The recording, an MNE Raw.
    sounds
        Files by content id.
    cfg
        What tells the times.
    name
        Of the recording, for messages.

    Raises
    ------
    ValueError
        A channel that is not there, times that are on no line, a drift no clock has, a table that
        is wrong by more than ``most_shift``.
    """
    try:
        if cfg.channel:
            heard = _of_channel(raw, cfg.channel)
            fit = align_envelopes(_expected(words, sounds), heard, cfg.limits)
        else:
            triggers = [event.onset for event in events_from_stim(raw, cfg.triggers)]
            fit = align_onsets(_marked(words, cfg.mark), triggers, cfg.limits)
    except ValueError as error:
        raise ValueError(f"recording {name} cannot be aligned: {error}") from error
    onsets = np.array([word.onset for word in words])
    shift = fit(onsets) - onsets
    worst = int(np.abs(shift).argmax())
    if abs(shift[worst]) > cfg.most_shift:
        raise ValueError(
            f"recording {name} cannot be aligned: what its table has at {onsets[worst]:g} s was "
            f"heard {shift[worst]:+.3f} s from there, more than most_shift ({cfg.most_shift:g} s); "
            "is it the table of this recording?"
        )
    moved = [replace(word, onset=float(at)) for word, at in zip(words, onsets + shift, strict=True)]
    return moved, fit


def told(fits: Mapping[str, Alignment]) -> str:
    """Return a line on the alignments of recordings, by id."""
    offsets, drifts = ([getattr(f, n) for f in fits.values()] for n in ("offset", "drift"))
    residual = max(fit.residual for fit in fits.values())
    return (
        f"sound aligned with {len(fits)} recordings: offset {_range(offsets, '+.3f')} s, drift "
        f"{_range(drifts, '+.1f')} parts per million, residual at most {1e3 * residual:.1f} ms"
    )


def _range(values: Iterable[float], form: str) -> str:
    low, high = min(values := list(values)), max(values)
    return format(low, form) if low == high else f"{format(low, form)} to {format(high, form)}"


def _of_channel(raw: Any, channel: str) -> FloatArray:
    if channel not in raw.ch_names:
        kinds = raw.get_channel_types()
        others = [
            n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind in ("misc", "stim")
        ]
        raise ValueError(
            f"there is no channel {channel!r}; channels that are no sensors: "
            f"{', '.join(others) or 'none'}"
        )
    return sound_envelope(raw.get_data(picks=[channel])[0], float(raw.info["sfreq"]))


def _expected(words: Sequence[Word], sounds: Mapping[str, Path]) -> FloatArray:
    """Return the envelope of all that was played, at the times of the table."""
    known = {name: sound_envelope(*read_wav(sounds[name])) for name in {w.sound for w in words}}
    begins = [(each[0].onset - each[0].at, each[0].sound) for each in playings(words)]
    end = max(begin + len(known[name]) / ENVELOPE_RATE for begin, name in begins)
    whole = np.zeros(int(end * ENVELOPE_RATE) + 1)
    for begin, name in begins:
        first = max(int(np.ceil(begin * ENVELOPE_RATE)), 0)
        last = min(int((begin + len(known[name]) / ENVELOPE_RATE) * ENVELOPE_RATE), len(whole))
        at = np.arange(first, last) - begin * ENVELOPE_RATE
        whole[first:last] += np.interp(at, np.arange(len(known[name])), known[name])
    return whole


def _marked(words: Sequence[Word], mark: str) -> list[float]:
    if mark == "word":
        return [word.onset for word in words]
    return [each[0].onset - each[0].at for each in playings(words)]
