"""Sentences of spoken digits: real recordings of words, joined, with the times of the words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from brainfm.audio_file import read_wav
from brainfm.synthetic_words import COLUMNS

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
"""What the first character of a recording's name stands for."""
PAUSE_S = 0.1
"""Silence between words."""

Line = Sequence[Path]
"""The recordings of a sentence, ``DIGIT_SPEAKER_NUMBER.wav`` each."""


def each_once(recordings: Sequence[Path], words: int, generator: np.random.Generator) -> list[Line]:
    """Return sentences of one speaker each, every recording in one of them at most.

    No sound is on two sides of a split by sentence, then.
    """
    lines: list[Line] = []
    for speaker in sorted({_speaker(path) for path in recordings}):
        own = sorted(path for path in recordings if _speaker(path) == speaker)
        order = [own[k] for k in generator.permutation(len(own)).tolist()]
        lines += [order[k : k + words] for k in range(0, len(own) - words + 1, words)]
    return lines


def one_voice(
    recordings: Sequence[Path], words: int, count: int, generator: np.random.Generator
) -> list[Line]:
    """Return different sentences of one speaker, one recording for each digit.

    The words of a sentence on the test side are known, their order is not.
    """
    speaker = min(_speaker(path) for path in recordings)
    voice = {
        path.stem[0]: path for path in sorted(recordings, reverse=True) if _speaker(path) == speaker
    }
    digits = sorted(voice)
    drawn = generator.choice(len(digits) ** words, size=count, replace=False)
    places = np.unravel_index(drawn, (len(digits),) * words)
    return [[voice[digits[k]] for k in row] for row in np.column_stack(places).tolist()]


def write_sentences(lines: Sequence[Line], folder: Path, *, even: bool = False) -> list[Path]:
    """Write ``NAME.wav`` with ``NAME.words.tsv``; what is there already stays.

    Parameters
    ----------
    lines
        The sentences.
    folder
        Where to.
    even
        Whether all words take as long as the longest of any sentence, silence included: then
        neither times nor the place in a sentence tell anything of a word.
    """
    lasts = 0.0
    if even:
        heard = [read_wav(recording) for line in lines for recording in line]
        lasts = max(len(samples) / rate for samples, rate in heard) + PAUSE_S
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"{number:03d}.wav" for number in range(len(lines))]
    for path, line in zip(made, lines, strict=True):
        if not path.is_file():
            _write(path, line, lasts)
    return made


def _speaker(path: Path) -> str:
    return path.stem.split("_")[1]


def _write(path: Path, line: Line, lasts: float) -> None:
    pieces: list[NDArray[np.floating]] = []
    rows, at, rate = ["\t".join(COLUMNS)], 0.0, 0
    for recording in line:
        samples, rate = read_wav(recording)
        silence = np.zeros(round(max(PAUSE_S, lasts - len(samples) / rate) * rate))
        duration = max(lasts, len(samples) / rate)
        rows.append(f"{at:.6f}\t{duration:.6f}\t{NAMES[int(recording.stem[0])]}")
        pieces += [samples, silence]
        at = sum(map(len, pieces)) / rate
    path.with_suffix(".words.tsv").write_text("\n".join(rows) + "\n")
    spoken = pieces if lasts else pieces[:-1]
    wavfile.write(path, rate, np.concatenate(spoken).astype(np.float32))
