"""When which word is said in a sound that synthetic people hear.

A table ``NAME.words.tsv`` beside ``NAME.wav`` (columns ``onset``, ``duration``, ``text``; s from
the begin of the sound) says so; a data set has those of all its sounds in one table.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from brainfm.atomic import write_text_atomic

COLUMNS = ("onset", "duration", "text")
SOUND = "stim_file"
"""Column of a data set's table: the file name of the sound."""
WORDS_FILE = "words.tsv"
"""Table of a data set, at its root; not there where no sound has words."""
SLACK_S = 0.05
"""How far beyond the end of its sound a word may reach; tables are rounded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedWord:
    """A word in a sound.

    Parameters
    ----------
    text
        The word, without white space.
    onset, duration
        Seconds from the begin of the sound, and its length.
    """

    text: str
    onset: float
    duration: float


def words_beside(sound: Path, seconds: float) -> tuple[TimedWord, ...]:
    """Return the words of a sound of some length, by onset; none without a table beside it.

    Raises
    ------
    ValueError
        A table without the columns, with a time that is no number, a word that is empty, that is
        not in the sound, or that begins before the one before it ends.
    """
    path = sound.with_suffix(".words.tsv")
    if not path.is_file():
        return ()
    words = sorted((word for _, word in _read(path, COLUMNS)), key=lambda word: word.onset)
    for word in words:
        if word.onset < 0 or word.onset + word.duration > seconds + SLACK_S:
            raise ValueError(
                f"{path}: word {word.text!r} lasts from {word.onset:g} to "
                f"{word.onset + word.duration:g} s, but {sound.name} from 0 to {seconds:g} s"
            )
    for one, other in pairwise(words):
        if other.onset < one.onset + one.duration - SLACK_S:
            raise ValueError(
                f"{path}: word {other.text!r} begins at {other.onset:g} s, before {one.text!r} ends"
            )
    return tuple(words)


def write_words(folder: Path, words: Mapping[str, Sequence[TimedWord]]) -> None:
    """Write the table of a data set: the words of every sound, by file name."""
    lines = ["\t".join((SOUND, *COLUMNS))]
    lines += [
        f"{name}\t{word.onset:.6f}\t{word.duration:.6f}\t{word.text}"
        for name in sorted(words)
        for word in words[name]
    ]
    if len(lines) > 1:
        write_text_atomic(folder / WORDS_FILE, "\n".join(lines) + "\n")


def words_of_sounds(folder: Path) -> dict[str, list[TimedWord]]:
    """Return the words of a data set by file name of the sound; empty where none are known."""
    found: dict[str, list[TimedWord]] = {}
    path = folder / WORDS_FILE
    if path.is_file():
        for name, word in _read(path, (SOUND, *COLUMNS)):
            found.setdefault(name, []).append(word)
    return found


def _read(path: Path, columns: Sequence[str]) -> list[tuple[str, TimedWord]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, delimiter="\t", restval="", quoting=csv.QUOTE_NONE)
        there = list(table.fieldnames or ())
        missing = [name for name in columns if name not in there]
        if missing:
            raise ValueError(
                f"{path}: has no column {missing[0]!r}; its columns: {', '.join(there) or 'none'}"
            )
        rows = list(table)
    found = []
    for number, row in enumerate(rows, 2):
        try:
            onset, duration = float(row["onset"]), float(row["duration"])
        except ValueError:
            raise ValueError(f"{path}: line {number} has a time that is no number") from None
        text = row["text"].strip()
        if len(text.split()) != 1 or not duration > 0:
            raise ValueError(
                f"{path}: line {number} must hold one word that lasts longer than 0 s, got "
                f"{text!r} and {duration:g} s"
            )
        found.append((row.get(SOUND, ""), TimedWord(text=text, onset=onset, duration=duration)))
    return found
