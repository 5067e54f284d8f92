"""How published data sets of people who looked at pictures lie on the disk: a table of settings.

What is said of a layout is what its makers' own programs read and write; none was tried on the data
themselves, only on small synthetic folders of the same layout.

Shapes: C channels, T samples.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np

from brainfm.formats import open_raw
from brainfm.recordings import ReadOptions, Recording, recording_from_raw
from brainfm.row_signal import select_types
from brainfm.sources import MODALITIES, Source

from .object_arrays import read_object_mapping

TARGET_EVENT = 99999
"""Number of THINGS-EEG2's pictures to be counted, which are no trials."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A picture as a table tells of it.

    Parameters
    ----------
    onset
        Seconds from the first sample of the recording.
    file
        Name of the picture's file, alone or with its folder.
    concept
        What it is a picture of.
    """

    onset: float
    file: str
    concept: str


@dataclass(frozen=True, kw_only=True)
class ImageLayout:
    """How a data set lies on the disk.

    Parameters
    ----------
    recordings
        Globs below its root.
    labels
        Regular expression found in the path below the root, with groups ``subject``, ``session``,
        ``task``, ``run``.
    shown
        ``shown(path, root, images, labels)`` of a recording.
    source
        Class of its recordings.
    options
        How they are read.
    modality
        Kinds of channels to keep.
    licence
        Of the data.
    parts
        Whether tasks count as data sets of their own ("things_eeg2-test"): where pictures follow
        each other faster than a trial lasts, only a split by data set divides them as published.
    """

    recordings: tuple[str, ...]
    labels: str
    shown: Callable[[Path, Path, Path, Mapping[str, str]], Iterator[Shown]]
    source: type[Source] = Source
    options: ReadOptions = ReadOptions()  # noqa: RUF009  # frozen
    modality: tuple[str, ...] = ("eeg",)
    licence: str = ""
    parts: bool = False


class ThingsEEG2Source(Source):
    """A recording of THINGS-EEG2: a mapping of arrays, in V, with the stim channel last."""

    def open(self) -> Recording:
        """Read the recording; all of it comes into memory, 8 bytes per sample."""
        stored = read_object_mapping(self.path, "raw_eeg_data", "ch_names", "ch_types", "sfreq")
        names, kinds = list(stored["ch_names"]), list(stored["ch_types"])
        samples = np.asarray(stored["raw_eeg_data"], dtype=np.float64)
        if samples.shape[:1] != (len(names),) or len(kinds) != len(names):
            raise ValueError(
                f"{self.path}: {len(names)} names of channels and {len(kinds)} kinds for samples "
                f"{samples.shape}"
            )
        info = mne.create_info(names, float(stored["sfreq"]), kinds, verbose="ERROR")
        raw = mne.io.RawArray(samples, info, verbose="ERROR")
        recording = recording_from_raw(raw, self.options, source=str(self.path))
        return select_types(recording, [kind for m in self.modality for kind in MODALITIES[m]])


def things_eeg2_shown(
    path: Path, root: Path, images: Path, labels: Mapping[str, str]
) -> Iterator[Shown]:
    """Yield the pictures of THINGS-EEG2 (doi:10.1016/j.neuroimage.2022.119754).

    ``sub-01/ses-01/raw_eeg_training.npy`` holds ``raw_eeg_data`` (C, T) with the row ``stim``: the
    number of the picture, from 1, at the sample of its onset. ``image_metadata.npy`` beside the
    folders ``training_images`` and ``test_images`` names picture and concept of each number.
    """
    stored = read_object_mapping(path, "raw_eeg_data", "ch_names", "sfreq")
    stim = np.asarray(stored["raw_eeg_data"][list(stored["ch_names"]).index("stim")])
    part = "train" if labels["task"] == "training" else "test"
    table = images / "image_metadata.npy"
    known = read_object_mapping(table, f"{part}_img_files", f"{part}_img_concepts")
    files, concepts = known[f"{part}_img_files"], known[f"{part}_img_concepts"]
    for sample in np.flatnonzero(stim).tolist():
        number = round(float(stim[sample]))
        if number == TARGET_EVENT:
            continue
        if not 1 <= number <= len(files):
            raise ValueError(f"{path}: picture {number}, but {table} knows {len(files)}")
        concept = str(concepts[number - 1])
        yield Shown(
            onset=sample / float(stored["sfreq"]),
            file=f"{concept}/{files[number - 1]}",
            concept=re.sub(r"^\d+_", "", concept),
        )


def things_meg_shown(
    path: Path, root: Path, images: Path, labels: Mapping[str, str]
) -> Iterator[Shown]:
    """Yield the pictures of THINGS-MEG (Hebart et al. 2023, doi:10.7554/eLife.82580), a BIDS set.

    Column ``sample`` of ``sub-BIGMEG1_ses-01_task-main_run-01_events.tsv`` is the onset by the
    optical sensor; the rows of ``sourcedata/sample_attributes_P1.csv`` of this ``session_nr`` and
    ``run_nr`` say in the same order which ``image_path`` was shown. Pictures to be caught are none
    of THINGS and are left out.
    """
    table = path.with_name(re.sub(r"_meg\.\w+$", "_events.tsv", path.name))
    attributes = root / "sourcedata" / f"sample_attributes_P{labels['subject'][-1]}.csv"
    place = {"session_nr": labels["session"], "run_nr": labels["run"]}
    rows = [
        row
        for row in _rows(attributes, "image_path", *place)
        if all(round(float(row[name])) == int(number) for name, number in place.items())
    ]
    times = list(_rows(table, "sample"))
    if len(rows) != len(times):
        raise ValueError(
            f"{table} has {len(times)} events, but {attributes.name} {len(rows)} pictures of this "
            "run: they do not belong together"
        )
    sfreq = float(open_raw(path).info["sfreq"])
    for row, time in zip(rows, times, strict=True):
        file = row["image_path"].rsplit("/", 1)[-1]
        if not row["image_path"].startswith("images_catch"):
            yield Shown(
                onset=float(time["sample"]) / sfreq, file=file, concept=file.rsplit("_", 1)[0]
            )


def _rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        missing = [name for name in columns if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: has no column {missing[0]!r}")
        yield from rows


LAYOUTS: dict[str, ImageLayout] = {
    "things_eeg2": ImageLayout(
        recordings=("sub-*/ses-*/raw_eeg_training.npy", "sub-*/ses-*/raw_eeg_test.npy"),
        labels=r"sub-(?P<subject>\w+)/ses-(?P<session>\w+)/raw_eeg_(?P<task>\w+)\.npy$",
        shown=things_eeg2_shown,
        source=ThingsEEG2Source,
        options=ReadOptions(montage="standard_1005", line_freq=50.0),
        licence="CC BY 4.0",
        parts=True,
    ),
    "things_meg": ImageLayout(
        recordings=(
            "sub-*/ses-*/meg/*_task-main_*_meg.ds",
            "sub-*/ses-*/meg/*_task-main_*_meg.fif",
        ),
        labels=r"sub-(?P<subject>\w+?)_ses-(?P<session>\w+?)_task-(?P<task>\w+?)_run-(?P<run>\w+?)_meg",
        shown=things_meg_shown,
        options=ReadOptions(line_freq=60.0),
        modality=("meg",),
        licence="CC0 1.0",
    ),
}
"""The layouts by name."""
