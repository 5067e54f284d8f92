"""When which word was heard, from the tables of published data sets: a function for each layout.

What is said of a layout is what its description and public readers of it say; none was tried on
the data themselves, only on small synthetic folders of the same layout.
"""

import ast
import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brainfm.event_tables import MISSING
from brainfm.synthetic_words import words_of_sounds

from .speech_files import read_mat


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """A word as a table tells of it.

    Parameters
    ----------
    text, onset, at, duration, sentence
        As in :class:`brainfm.speech_events.Word`.
    sound
        Name of the file it is in.
    """

    text: str
    onset: float
    sound: str
    at: float
    duration: float
    sentence: str


def brennan_words(path: Path, root: Path, labels: Mapping[str, str]) -> Iterator[Spoken]:
    """Yield the words of Alice (Brennan and Hale 2019, doi:10.7302/Z29C6VNH).

    ``S01.mat`` holds FieldTrip's ``raw``; ``proc/S01.mat`` in ``proc.trl`` a row per word: first
    and last sample (from 1) and offset of the trial, then the columns that ``proc.varnames`` names,
    among them ``Order``. ``AliceChapterOne-EEG.csv`` has columns ``Word``, ``Segment``, ``onset``,
    ``offset`` (s in the segment's sound), ``Order``, ``Sentence``; segment 1 is
    ``audio/DownTheRabbitHoleFinal_SoundFile1.wav``.
    """
    table = root / "AliceChapterOne-EEG.csv"
    story = {int(float(row["Order"])): row for row in _rows(table, "Order", "Word", "Segment")}
    proc = read_mat(root / "proc" / path.name, "proc")["proc"]
    sfreq = float(read_mat(path, "raw")["raw"]["fsample"])
    trials = np.atleast_2d(np.asarray(proc["trl"], dtype=np.float64))
    names = [str(name) for name in np.atleast_1d(proc["varnames"])]
    if "Order" not in names or trials.shape[1] < 3:
        raise ValueError(f"{root / 'proc' / path.name}: proc.trl does not tell the Order of words")
    # The names may leave out the three columns that FieldTrip prescribes.
    order = names.index("Order") + (trials.shape[1] - len(names))
    for trial in trials:
        row = story.get(int(trial[order]))
        if row is None:
            raise ValueError(f"{table}: has no word of Order {int(trial[order])}")
        yield Spoken(
            text=row["Word"],
            onset=(trial[0] - trial[2] - 1) / sfreq,
            sound=f"DownTheRabbitHoleFinal_SoundFile{row['Segment']}.wav",
            at=float(row["onset"]),
            duration=float(row["offset"]) - float(row["onset"]),
            sentence=row["Sentence"],
        )


def broderick_words(path: Path, root: Path, labels: Mapping[str, str]) -> Iterator[Spoken]:
    """Yield the words of The Old Man and the Sea (Broderick et al. 2018, doi:10.5061/dryad.070jc).

    ``Natural Speech/EEG/Subject1/Subject1_Run1.mat`` holds ``eegData`` (T, 128) at ``fs`` from the
    begin of the sound on; ``Natural Speech/Stimuli/Text/Run1.mat`` ``wordVec``, ``onset_time``,
    ``offset_time`` and ``sentence_boundaries``, all in s. The sounds, ``audio1.wav``, are no part
    of it; they have to be had from the authors.
    """
    name = root / "Natural Speech" / "Stimuli" / "Text" / f"Run{labels['run']}.mat"
    stored = read_mat(name, "wordVec", "onset_time", "offset_time", "sentence_boundaries")
    onsets, offsets, ends = (
        np.atleast_1d(np.asarray(stored[key], dtype=np.float64)).ravel()
        for key in ("onset_time", "offset_time", "sentence_boundaries")
    )
    words = [str(word).strip() for word in np.atleast_1d(stored["wordVec"]).ravel()]
    if not len(words) == len(onsets) == len(offsets):
        raise ValueError(
            f"{name}: {len(words)} words, {len(onsets)} onsets and {len(offsets)} offsets"
        )
    for word, onset, offset in zip(words, onsets.tolist(), offsets.tolist(), strict=True):
        yield Spoken(
            text=word,
            onset=onset,
            sound=f"audio{labels['run']}.wav",
            at=onset,
            duration=offset - onset,
            sentence=str(int(np.searchsorted(ends, onset, side="right"))),
        )


def gwilliams_words(path: Path, root: Path, labels: Mapping[str, str]) -> Iterator[Spoken]:
    """Yield the words of MEG-MASC (Gwilliams et al. 2022, arXiv:2208.11488), a BIDS data set.

    The column ``trial_type`` of ``sub-01_ses-0_task-0_events.tsv`` holds a mapping written as in
    Python: ``kind`` (``sound``, ``word``, ``phoneme``), ``sound`` (``stimuli/audio/lw1_0.wav``),
    ``word``, ``sequence_id``, ``pronounced``. A row of kind ``sound`` is at the begin of its file.
    """
    table = path.with_name(re.sub(r"_meg\.\w+$", "_events.tsv", path.name))
    begins: dict[str, float] = {}
    for row in sorted(_rows(table, "onset", "trial_type"), key=lambda row: float(row["onset"])):
        try:
            event = ast.literal_eval(row["trial_type"])
        except (ValueError, SyntaxError):
            continue
        if not isinstance(event, dict) or event.get("kind") not in ("sound", "word"):
            continue
        onset = float(row["onset"])
        sound = _plain_name(str(event.get("sound", "")))
        if event["kind"] == "sound":
            begins[sound] = onset
        elif float(event.get("pronounced", 1)) and str(event.get("word", "")).strip():
            if sound not in begins:
                raise ValueError(f"{table}: word at {onset:g} s before the begin of sound {sound}")
            yield Spoken(
                text=str(event["word"]).strip(),
                onset=onset,
                sound=sound,
                at=onset - begins[sound],
                duration=float(row["duration"]),
                sentence=str(event.get("sequence_id", "")),
            )


def schoffelen_sentences(path: Path, root: Path, labels: Mapping[str, str]) -> Iterator[Spoken]:
    """Yield the sentences of MOUS' listeners (Schoffelen 2019, doi:10.1038/s41597-019-0020-y).

    ``sub-A2002/meg/sub-A2002_task-auditory_events.tsv`` (columns ``onset``, ``duration``, ``type``,
    ``value``) has rows whose value is ``... Start File 186.wav`` and, next, ``... Audio onset``
    and ``... End of file``. That sound is ``stimuli/audio_files/EQ_Ramp_Int2_Int1LPF186.wav``; line
    ``186 ...`` of ``stimuli/stimuli.txt`` says what is said. Word times are no part of it.
    """
    table = path.with_name(re.sub(r"_meg\.\w+$", "_events.tsv", path.name))
    texts = {}
    for line in (root / "stimuli" / "stimuli.txt").read_text(encoding="utf-8").splitlines():
        first, _, text = line.strip().partition(" ")
        if first.isdigit():
            texts[int(first)] = text
    number, begin = -1, -1.0
    for row in sorted(_rows(table, "onset", "value"), key=lambda row: float(row["onset"])):
        onset, value = float(row["onset"]), row["value"]
        started = re.search(r"Start File (\d+)\.wav", value)
        if started:
            number, begin = int(started[1]), -1.0
        elif "Audio onset" in value and number >= 0:
            begin = onset
        elif "End of file" in value and begin >= 0:
            if number not in texts:
                raise ValueError(f"{root}/stimuli/stimuli.txt: has no line {number}")
            yield Spoken(
                text=texts[number],
                onset=begin,
                sound=f"EQ_Ramp_Int2_Int1LPF{number:03d}.wav",
                at=0.0,
                duration=onset - begin,
                sentence=str(number),
            )
            number, begin = -1, -1.0


def libribrain_words(path: Path, root: Path, labels: Mapping[str, str]) -> Iterator[Spoken]:
    """Yield the words of LibriBrain (Ozdogan et al. 2025, arXiv:2506.02098).

    ``Sherlock1/derivatives/serialised/sub-0_ses-1_task-Sherlock1_run-1_proc-..._meg.h5`` holds
    ``data`` (306, T); ``Sherlock1/derivatives/events/sub-0_ses-1_task-Sherlock1_run-1_events.tsv``
    has columns ``kind``, ``segment`` (the word), ``sentenceidx``, ``timemeg`` and ``timechapter``
    (s in recording and sound), ``duration``. The sounds, of LibriVox, are no part of it: put the
    one of this recording at ``audio/ses-1_task-Sherlock1_run-1.wav``.
    """
    stem = "ses-{session}_task-{task}_run-{run}".format(**labels)
    table = path.parent.parent / "events" / f"sub-{labels['subject']}_{stem}_events.tsv"
    for row in _rows(table, "kind", "segment", "sentenceidx", "timemeg", "timechapter", "duration"):
        if row["kind"] != "word" or row["sentenceidx"] in MISSING:
            continue
        yield Spoken(
            text=row["segment"],
            onset=float(row["timemeg"]),
            sound=f"{stem}.wav",
            at=float(row["timechapter"]),
            duration=float(row["duration"]),
            sentence=row["sentenceidx"],
        )


def simulated_sounds(path: Path, root: Path, labels: Mapping[str, str]) -> Iterator[Spoken]:
    """Yield what ``brainfm simulate --audio`` played: each sound is a sentence.

    ``sub-01/ses-01/sub-01_ses-01_task-synthetic_events.tsv`` has columns ``onset``, ``duration``,
    ``trial_type`` (``synthetic/speech``) and ``stim_file``; ``words.tsv`` tells the words of sounds
    (:mod:`brainfm.synthetic_words`). A sound without words is one word; if it is long, it is heard
    in pieces of 1 s.
    """
    words = words_of_sounds(root)
    table = path.with_name(path.name.replace("_raw.fif", "_events.tsv"))
    for row in _rows(table, "onset", "duration", "trial_type", "stim_file"):
        if row["trial_type"] != "synthetic/speech":
            continue
        duration, begin = float(row["duration"]), float(row["onset"])
        for word in words.get(row["stim_file"], ()):
            # The recording may end within a sound.
            if word.onset < duration:
                yield Spoken(
                    text=word.text,
                    onset=begin + word.onset,
                    sound=row["stim_file"],
                    at=word.onset,
                    duration=min(word.duration, duration - word.onset),
                    sentence=row["stim_file"],
                )
        if row["stim_file"] in words:
            continue
        for piece in range(max(1, int(duration))):
            rest = duration - piece if piece == max(1, int(duration)) - 1 else 1.0
            yield Spoken(
                text=f"{Path(row['stim_file']).stem}.{piece}",
                onset=begin + piece,
                sound=row["stim_file"],
                at=float(piece),
                duration=rest,
                sentence=row["stim_file"],
            )


def _rows(path: Path, *columns: str) -> list[dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it tells when words were heard")
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", restval="")
        there = list(table.fieldnames or ())
        missing = [name for name in columns if name not in there]
        if missing:
            raise ValueError(
                f"{path}: has no column {missing[0]!r}; its columns: {', '.join(there)}"
            )
        return list(table)


def _plain_name(name: str) -> str:
    """Return the file name; tables write ``LW1_0.0.wav`` for the file ``lw1_0.wav``."""
    return re.sub(r"(\d+)\.0\.wav$", r"\1.wav", Path(name).name.lower())
