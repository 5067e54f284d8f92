"""Recordings in files, BIDS folders, arrays and corpora as sources of trials."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from numpy.typing import ArrayLike

from brainfm.bids_sources import bids_sources
from brainfm.catalogue import DatasetEntry, catalogue_sources
from brainfm.corpus import Corpus
from brainfm.processing_config import ProcessingConfig
from brainfm.recordings import ReadOptions, recording_from_array
from brainfm.rooted_globs import folder_of_globs
from brainfm.sensors import SensorArray
from brainfm.sources import MODALITIES, Source
from brainfm.trial_events import Event

from .path_labels import LABELS, label_pattern, labelled
from .recorded_events import EventConfig, event_path, read_events, table_events
from .trial_source import Cut, Found, TrialSource


class Files(TrialSource):
    r"""Files of any format MNE reads.

    Parameters
    ----------
    files
        Globs below ``root``; ``**`` for any folders. Absolute ones need no ``root``.
    root
        Folder of the data set. If all globs are absolute: the folder that they have in common.
    events
        Where the events are.
    dataset
        Its name; empty: that of the folder.
    labels
        Regular expression, found in the path below ``root``, whose named groups ``subject``,
        ``session``, ``task``, ``run`` and ``dataset`` say whose recording it is, as in
        ``^S(?P<subject>\d+)/.*R(?P<run>\d+)``. Names as in BIDS are understood without.
    read
        How files are read.
    modality
        Kinds of channels to keep: eeg, meg, ieeg; empty keeps all.
    skip
        Globs below ``root`` of files to leave out.
    licence
        Licence of the data.
    synthetic
        Whether the recordings were simulated; known without where their names say so.
    """

    def __init__(
        self,
        files: list[str],
        root: str = ".",
        events: EventConfig = EventConfig(),  # noqa: B008  # frozen
        dataset: str = "",
        labels: str = "",
        read: ReadOptions = ReadOptions(),  # noqa: B008  # frozen
        modality: list[str] | None = None,
        skip: list[str] | None = None,
        licence: str = "",
        synthetic: bool = False,
    ) -> None:
        folder = folder_of_globs(root, files)
        if not folder.is_dir():
            raise ValueError(f"data.source root {folder} is no folder")
        self.events, self.labels, self.synthetic = events, label_pattern(labels), synthetic
        self.entry = DatasetEntry(
            name=dataset or folder.name,
            root=folder,
            files=tuple(files),
            skip=tuple(skip or ()),
            modality=_modalities(modality),
            licence=licence,
            options=read,
        )

    def recordings(self) -> list[Found]:
        """Return the files that the globs name."""
        sources = catalogue_sources([self.entry])
        root = self.entry.root
        return [_found(labelled(s, self.labels, root), self.events) for s in sources]


class Bids(TrialSource):
    """A BIDS data set, with the ``events.tsv`` of each recording.

    Parameters
    ----------
    root
        Its folder, with ``dataset_description.json``.
    columns
        Columns and names of events; its ``kind`` and ``file`` are of no concern.
    tasks
        Tasks to take; empty: all.
    dataset
        Its name; empty: that of the folder.
    modality
        Kinds of channels to keep: eeg, meg, ieeg; empty keeps all.
    read
        How files are read.
    synthetic
        Whether the recordings were simulated.
    """

    def __init__(
        self,
        root: str,
        columns: EventConfig = EventConfig(),  # noqa: B008  # frozen
        tasks: list[str] | None = None,
        dataset: str = "",
        modality: list[str] | None = None,
        read: ReadOptions = ReadOptions(),  # noqa: B008  # frozen
        synthetic: bool = False,
    ) -> None:
        self.root, self.tasks, self.dataset = Path(root).expanduser(), tuple(tasks or ()), dataset
        # A recording in several parts has one table, without the number of the part.
        self.columns = replace(columns, kind="table", file="{folder}/{stem}_events.tsv", channel="")
        self.modality, self.read, self.synthetic = _modalities(modality), read, synthetic

    def recordings(self) -> list[Found]:
        """Return the recordings of the chosen tasks."""
        sources = bids_sources(
            self.root, dataset=self.dataset, options=self.read, modality=self.modality
        )
        there = sorted({source.task for source in sources})
        unknown = sorted(set(self.tasks) - set(there))
        if unknown:
            raise ValueError(f"{self.root}: has no task {unknown[0]!r}; tasks: {', '.join(there)}")
        chosen = [s for s in sources if not self.tasks or s.task in self.tasks]
        return [Found(source=s, events=partial(self._events, s)) for s in chosen]

    def _events(self, source: Source) -> list[Event]:
        whole = replace(source, path=source.path.with_name(_without_part(source.path.name)))
        return table_events(event_path(whole, self.columns), self.columns)


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayRecording:
    """A recording in memory.

    Parameters
    ----------
    id
        Its name.
    array
        (C, T) in V, T or T/m, or in ``unit``.
    sfreq
        Samples per second.
    sensors
        The C sensors; :func:`brainfm.montage.sensors_by_name` makes them from EEG names.
    events
        Its events.
    dataset, subject, session, task, run
        Whose it is.
    unit, line_freq
        As in :func:`brainfm.recordings.recording_from_array`.
    """

    id: str
    array: ArrayLike
    sfreq: float
    sensors: SensorArray
    events: Sequence[Event]
    dataset: str = "arrays"
    subject: str = ""
    session: str = ""
    task: str = ""
    run: str = ""
    unit: str | None = None
    line_freq: float | None = None


class Arrays(TrialSource):
    """Recordings in memory, for use from Python.

    Parameters
    ----------
    arrays
        The recordings.
    synthetic
        Whether they were simulated.
    """

    def __init__(self, arrays: Sequence[ArrayRecording], synthetic: bool = False) -> None:
        self.arrays, self.synthetic = list(arrays), synthetic

    def recordings(self) -> list[Found]:
        """Return the recordings."""
        return [self._found(given) for given in self.arrays]

    def _found(self, given: ArrayRecording) -> Found:
        recording = recording_from_array(
            given.array,
            given.sfreq,
            given.sensors,
            unit=given.unit,
            line_freq=given.line_freq,
            source=given.id,
        )
        labels = {name: getattr(given, name) for name in LABELS}
        source = Source(path=Path(given.id), id=given.id, **labels)
        return Found(source=source, events=given.events, recording=recording)


class FromCorpus(TrialSource):
    """Recordings that ``brainfm prepare`` has prepared, with tables of their events.

    Parameters
    ----------
    corpus
        Folder that ``brainfm prepare`` made, with the settings of the model that is fine-tuned.
    events
        Of kind ``table``; ``file`` is by ``{id}`` or the other labels of a recording.
    datasets
        Data sets to take; empty: all.
    synthetic
        Whether the recordings were simulated.
    """

    def __init__(
        self,
        corpus: str,
        events: EventConfig,
        datasets: list[str] | None = None,
        synthetic: bool = False,
    ) -> None:
        if events.kind != "table":
            raise ValueError(
                f"a corpus keeps no events: give tables (kind 'table'), not kind {events.kind!r}"
            )
        self.folder, self.events, self.synthetic = Path(corpus).expanduser(), events, synthetic
        self.datasets = tuple(datasets or ())

    def recordings(self) -> list[Found]:
        """Refuse: the recordings are prepared already."""
        raise ValueError("recordings of a corpus cannot be prepared again together with others")

    def prepare(
        self, folder: Path | None, processing: ProcessingConfig, *, n_jobs: int = 1
    ) -> tuple[Corpus, list[Cut]]:
        """Return the corpus and the events of its recordings; nothing is written."""
        corpus = Corpus(self.folder)
        wanted, made = processing.settings(), corpus.config.settings()
        other = [name for name, value in wanted.items() if made.get(name) != value]
        if other:
            raise ValueError(
                f"{self.folder} was prepared with other settings than the model needs "
                f"({', '.join(other)}); prepare it again, or name the files instead"
            )
        infos = [i for i in corpus.recordings if not self.datasets or i.dataset in self.datasets]
        if not infos:
            raise ValueError(f"{self.folder} has no recording of {', '.join(self.datasets)}")
        return corpus, [
            (info, table_events(event_path(info, self.events), self.events)) for info in infos
        ]


def _found(source: Source, config: EventConfig) -> Found:
    return Found(source=source, events=partial(read_events, source, config))


def _modalities(given: list[str] | None) -> tuple[str, ...]:
    unknown = sorted(set(given or ()) - set(MODALITIES))
    if unknown:
        raise ValueError(f"modality must be among {', '.join(MODALITIES)}, got {unknown[0]!r}")
    return tuple(given or ())


def _without_part(name: str) -> str:
    return re.sub(r"_split-\d+", "", name)
