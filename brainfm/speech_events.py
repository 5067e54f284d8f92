"""Events of recordings in which speech was heard: one for each word, or for each sentence."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from brainfm.speech_blocks import Block, Sentence, merge_sentences
from brainfm.speech_segments import SpeechSegment
from brainfm.trial_events import Event

SENTENCE = "sentence"
"""Name of the events at which a sentence begins."""
JITTER_S = 0.02
"""Times of one word in its sound that differ by no more than this are one."""

Key = tuple[str, str]
"""A sound, and a sentence of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One word as it was heard in one recording.

    Parameters
    ----------
    text
        The word.
    onset
        Seconds from the first sample of the recording.
    sound
        Content id of the sound it is in.
    at, duration
        Seconds from the begin of the sound, and its length.
    sentence
        Which sentence of the sound it is in: any name.
    """

    text: str
    onset: float
    sound: str
    at: float
    duration: float
    sentence: str


@dataclass(frozen=True, kw_only=True)
class SpeechEventConfig:
    """What becomes an event, and what may not be divided.

    Parameters
    ----------
    unit
        ``word``: every word, named by it; ``sentence``: every sentence, all named ``sentence``;
        ``text``: every sentence, named by its words, so that it can be spelled.
    block_s
        Sentences are merged to blocks of at least this length in s; 0: none are.
    """

    unit: Literal["word", "sentence", "text"] = "word"
    block_s: float = 6.0

    def __post_init__(self) -> None:
        if self.unit not in ("word", "sentence", "text"):
            raise ValueError(f"unit must be 'word', 'sentence' or 'text', got {self.unit!r}")
        if not 0 <= self.block_s < float("inf"):
            raise ValueError(f"block_s must not be negative (s), got {self.block_s}")


def speech_events(
    heard: Mapping[str, Sequence[Word]], config: SpeechEventConfig | None = None
) -> dict[str, list[Event]]:
    """Return the events of recordings.

    Sentences and blocks are those of the sounds, over all recordings, whatever part of a sound a
    subject heard: so they are the same for all. Where a word is in its sound is taken from the
    first recording by name that has it, since triggers are a sample or two off.

    Parameters
    ----------
    heard
        By recording, the words that were heard in it.
    config
        Which events.

    Raises
    ------
    ValueError
        Recordings disagree by 20 to 100 ms about when a word is in its sound.
    """
    cfg = config or SpeechEventConfig()
    spoken, same = _spoken(heard)
    keys = sorted(spoken)
    blocks = merge_sentences(_sentences(spoken, keys), least_s=cfg.block_s)
    block_of = dict(zip(keys, blocks, strict=True))
    return {
        name: _events(
            [(word, same[name, k]) for k, word in enumerate(words)], block_of, spoken, cfg
        )
        for name, words in heard.items()
    }


def _spoken(
    heard: Mapping[str, Sequence[Word]],
) -> tuple[dict[Key, list[Word]], dict[tuple[str, int], Word]]:
    """Return the words of every sentence in order, and which of them every heard word is."""
    spoken: dict[Key, list[Word]] = {}
    same: dict[tuple[str, int], Word] = {}
    for name in sorted(heard):
        for k, word in enumerate(heard[name]):
            there = spoken.setdefault((word.sound, word.sentence), [])
            place = bisect_left(there, word.at, key=_at)
            near = [one for one in there[max(place - 1, 0) : place + 1] if one.text == word.text]
            nearest = min(near, key=lambda one: abs(one.at - word.at), default=None)
            apart = np.inf if nearest is None else abs(nearest.at - word.at)
            if JITTER_S < apart < 5 * JITTER_S and nearest is not None and apart < word.duration:
                raise ValueError(
                    f"word {word.text!r} of sound {word.sound} is at {word.at:g} s in recording "
                    f"{name} and at {nearest.at:g} s in another; their times are not of one "
                    "alignment"
                )
            if nearest is None or apart > JITTER_S:
                nearest = word
                there.insert(place, word)
            same[name, k] = nearest
    # A recording that ends within a word makes it short for itself only.
    longest: dict[Word, Word] = {}
    for (name, k), known in same.items():
        duration = max(longest.get(known, known).duration, heard[name][k].duration)
        longest[known] = replace(known, duration=duration)
    whole = {key: [longest[word] for word in words] for key, words in spoken.items()}
    return whole, {place: longest[word] for place, word in same.items()}


def _at(word: Word) -> float:
    return word.at


def _sentences(spoken: Mapping[Key, Sequence[Word]], keys: Sequence[Key]) -> list[Sentence]:
    begins: dict[str, list[float]] = {}
    for key in keys:
        begins.setdefault(key[0], []).append(spoken[key][0].at)
    for times in begins.values():
        times.sort()
    sentences = []
    for key in keys:
        words = spoken[key]
        # Forced alignment lets neighbouring words overlap by some milliseconds.
        end = max(max(word.at + word.duration for word in words), words[-1].at + 1e-3)
        later = bisect_right(begins[key[0]], words[-1].at)
        if later < len(begins[key[0]]):
            end = min(end, begins[key[0]][later])
        sentences.append(
            Sentence(
                sound=key[0],
                text=" ".join(word.text for word in words),
                begin=words[0].at,
                end=end,
            )
        )
    return sentences


def _events(
    words: Sequence[tuple[Word, Word]],
    block_of: Mapping[Key, Block],
    spoken: Mapping[Key, Sequence[Word]],
    cfg: SpeechEventConfig,
) -> list[Event]:
    """Return events of words as they were heard, each with the word of the sound that it is."""
    events = []
    last: Key | None = None
    for word, known in sorted(words, key=lambda pair: pair[0].onset):
        key = (word.sound, word.sentence)
        begins, last = key != last or known == spoken[key][0], key
        if cfg.unit != "word" and not begins:
            continue
        block = block_of[key]
        final = spoken[key][-1]
        left = max(final.at + final.duration - known.at, 0.0)
        name = SENTENCE
        if cfg.unit != "sentence":
            said = [word] if cfg.unit == "word" else spoken[key]
            name = " ".join(each.text for each in said).lower()
        events.append(
            Event(
                onset=word.onset,
                name=name,
                duration=word.duration if cfg.unit == "word" else left,
                stimulus=SpeechSegment(
                    sound=word.sound, at=known.at, begin=block.begin, end=block.end
                ).id,
                group=block.group,
            )
        )
    return events
