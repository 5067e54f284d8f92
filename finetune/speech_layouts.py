"""How published speech data sets lie on the disk: a table of settings.

The tables of words are read by functions of :mod:`.speech_words`, which say what a layout is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from brainfm.recordings import ReadOptions

from .speech_words import (
    Spoken,
    brennan_words,
    broderick_words,
    gwilliams_words,
    libribrain_words,
    schoffelen_sentences,
    simulated_sounds,
)


@dataclass(frozen=True, kw_only=True)
class SpeechLayout:
    r"""How a data set lies on the disk.

    Parameters
    ----------
    recordings
        Globs below its root.
    labels
        Regular expression found in the path below the root, with groups ``subject``, ``session``,
        ``task``, ``run``.
    words
        ``words(path, root, labels)`` of a recording.
    audio
        Folder of the sounds below the root; empty: they are no part of what is published.
    reader
        Of recordings that MNE does not read (:mod:`.speech_files`).
    options
        How the recordings are read.
    modality
        Kinds of channels to keep.
    licence
        Of the data.
    sentences_only
        Whether the table tells of sentences, not of words.
    synthetic
        Whether it was simulated.
    """

    recordings: tuple[str, ...]
    labels: str
    words: Callable[[Path, Path, Mapping[str, str]], Iterator[Spoken]]
    audio: str = ""
    reader: str = ""
    options: ReadOptions = ReadOptions()  # noqa: RUF009  # frozen
    modality: tuple[str, ...] = ("eeg",)
    licence: str = ""
    sentences_only: bool = False
    synthetic: bool = False


LAYOUTS: dict[str, SpeechLayout] = {
    "brennan": SpeechLayout(
        recordings=("S[0-9][0-9].mat",),
        labels=r"^(?P<subject>S\d+)\.mat$",
        words=brennan_words,
        audio="audio",
        reader="fieldtrip",
        options=ReadOptions(montage="easycap-M10", line_freq=60.0),
        licence="CC BY 4.0",
    ),
    "broderick": SpeechLayout(
        recordings=("Natural Speech/EEG/Subject*/Subject*_Run*.mat",),
        labels=r"Subject(?P<subject>\d+)_Run(?P<run>\d+)\.mat$",
        words=broderick_words,
        reader="biosemi128",
        options=ReadOptions(montage="biosemi128", line_freq=50.0),
        licence="CC0 1.0",
    ),
    "gwilliams": SpeechLayout(
        recordings=("sub-*/ses-*/meg/*_meg.con", "sub-*/ses-*/meg/*_meg.fif"),
        labels=r"sub-(?P<subject>\w+?)_ses-(?P<session>\w+?)_task-(?P<task>\w+?)_meg\.",
        words=gwilliams_words,
        audio="stimuli/audio",
        reader="bids",
        options=ReadOptions(line_freq=60.0),
        modality=("meg",),
        licence="CC0 1.0",
    ),
    "schoffelen": SpeechLayout(
        recordings=("sub-A*/meg/*_task-auditory_meg.ds", "sub-A*/meg/*_task-auditory_meg.fif"),
        labels=r"sub-(?P<subject>\w+?)_task-(?P<task>\w+?)_meg\.",
        words=schoffelen_sentences,
        audio="stimuli/audio_files",
        options=ReadOptions(line_freq=50.0),
        modality=("meg",),
        licence="RU-DI-HD-1.0",
        sentences_only=True,
    ),
    "libribrain": SpeechLayout(
        recordings=("*/derivatives/serialised/*_meg.h5",),
        labels=r"sub-(?P<subject>\w+?)_ses-(?P<session>\w+?)_task-(?P<task>\w+?)_run-(?P<run>\w+?)_",
        words=libribrain_words,
        audio="audio",
        reader="neuromag_h5",
        options=ReadOptions(line_freq=50.0),
        modality=("meg",),
        licence="CC BY-NC 4.0",
    ),
    "simulated": SpeechLayout(
        recordings=("sub-*/ses-*/*_raw.fif",),
        labels=r"sub-(?P<subject>\w+?)_ses-(?P<session>\w+?)_task-(?P<task>\w+?)_raw",
        words=simulated_sounds,
        modality=(),
        synthetic=True,
    ),
}
"""The layouts by name."""
