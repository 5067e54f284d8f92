"""Published speech data sets as sources of trials: one class and a table of layouts."""

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from brainfm.alignment import Alignment
from brainfm.atomic import write_json_atomic
from brainfm.corpus import Corpus
from brainfm.formats import open_raw
from brainfm.processing_config import ProcessingConfig
from brainfm.recordings import ReadOptions
from brainfm.sources import BIDS_DESCRIPTION, Source, check_ids, file_id
from brainfm.speech_clock import check_clocks
from brainfm.speech_events import SpeechEventConfig, Word, speech_events
from brainfm.trial_events import content_id

from .speech_alignment import SpeechAlignmentConfig, align_words, told
from .speech_files import READERS, ArraySource
from .speech_layouts import LAYOUTS, SpeechLayout
from .speech_words import Spoken
from .trial_source import Cut, Found, TrialSource

ALIGNMENT_FILE = "speech-alignment.json"
"""In the folder of prepared recordings: offset, drift and residual of each."""


class SpeechRecordings(TrialSource):
    """Recordings of people who heard speech, in the public layout of a data set.

    Parameters
    ----------
    root
        Folder of the data set as it is published, archives unpacked.
    layout
        ``brennan``, ``broderick``, ``gwilliams``, ``schoffelen``, ``libribrain``, or ``simulated``
        for what ``brainfm simulate`` makes; see the functions of :mod:`.speech_words`.
    audio
        Folder of the sounds; empty: where the layout has them.
    events
        Words or sentences, and what may not be divided.
    subjects
        Those to take, by the names of the layout; none named: all.
    skip
        Those to leave out, such as recordings that are known to be broken.
    read
        How recordings are read; not given: as the layout says.
    align
        What in the recordings tells when sounds were really heard; not given: their tables do.
    """

    def __init__(
        self,
        root: str,
        layout: str,
        audio: str = "",
        events: SpeechEventConfig = SpeechEventConfig(),  # noqa: B008  # frozen
        subjects: list[str] | None = None,
        skip: list[str] | None = None,
        read: ReadOptions | None = None,
        align: SpeechAlignmentConfig | None = None,
    ) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
        self.root, self.name = Path(root).expanduser().absolute(), layout
        if not self.root.is_dir():
            raise ValueError(f"data.source root {root} is no folder")
        self.layout: SpeechLayout = LAYOUTS[layout]
        self.check(events)
        if not audio and not self.layout.audio:
            raise ValueError(
                f"layout {layout!r} has no sounds: name their folder in data.source.init_args.audio"
            )
        self.audio = Path(audio).expanduser() if audio else self.root / self.layout.audio
        self.events, self.read = events, read or self.layout.options
        self.subjects, self.skip = tuple(subjects or ()), tuple(skip or ())
        self.align = align
        self.alignments: dict[str, Alignment] = {}

    def check(self, events: SpeechEventConfig) -> None:
        """Raise ValueError if the layout does not tell of such events."""
        if self.layout.sentences_only and events.unit == "word":
            raise ValueError(
                f"layout {self.name!r} tells when sentences were heard, not when words were; set "
                "data.source.init_args.events.unit to sentence"
            )

    @property
    def synthetic(self) -> bool:  # type: ignore[override]
        """Return whether it was simulated."""
        return self.layout.synthetic

    def recordings(self) -> list[Found]:
        """Return the recordings with their events; units are the same for all of them."""
        return _found([self], self.events)

    def prepare(
        self, folder: Path | None, processing: ProcessingConfig, *, n_jobs: int = 1
    ) -> tuple[Corpus, list[Cut]]:
        """Prepare as any source; how sound and recordings were aligned is said and written."""
        made = super().prepare(folder, processing, n_jobs=n_jobs)
        _write_alignments(folder, self.alignments)
        return made

    def heard(self) -> dict[str, tuple[Source, list[Word]]]:
        """Return, by id, the recordings and the words that were heard in them.

        Raises
        ------
        ValueError, FileNotFoundError
            A table or sound that is missing or not laid out so; words whose times in recording and
            sound do not belong together.
        """
        contents: dict[str, str] = {}
        found = {}
        for source, labels in self._sources():
            spoken = self.layout.words(source.path, self.root, labels)
            words = [self._word(word, contents, source) for word in spoken]
            if not words:
                raise ValueError(f"{source.path}: its table tells of no word")
            check_clocks(words, source.id)
            if self.align is not None:
                raw = _raw(source)
                paths = {name: self.audio / file for file, name in contents.items()}
                words, fit = align_words(words, raw, paths, self.align, name=source.id)
                self.alignments[source.id] = fit
            found[source.id] = (source, words)
        return found

    def _word(self, spoken: Spoken, contents: dict[str, str], source: Source) -> Word:
        if spoken.sound not in contents:
            path = self.audio / spoken.sound
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path} is missing, which {source.path.name} says was heard; put it there or "
                    "name the folder of the sounds in data.source.init_args.audio"
                )
            contents[spoken.sound] = content_id(path.read_bytes())
        return Word(
            text=spoken.text,
            onset=spoken.onset,
            sound=contents[spoken.sound],
            at=max(spoken.at, 0.0),
            duration=max(spoken.duration, 0.0),
            sentence=spoken.sentence,
        )

    def _sources(self) -> list[tuple[Source, dict[str, str]]]:
        """Return the recordings that are wanted and what their names say."""
        found: list[tuple[Source, dict[str, str]]] = []
        for path in sorted({p for glob in self.layout.recordings for p in self.root.glob(glob)}):
            match = re.search(self.layout.labels, path.name)
            if match is None:
                continue
            labels = match.groupdict()
            if labels["subject"] in self.skip:
                continue
            if not self.subjects or labels["subject"] in self.subjects:
                found.append((self._source(path, labels), labels))
        there = {labels["subject"] for _, labels in found}
        unknown = sorted(set(self.subjects) - there)
        if unknown or not found:
            raise ValueError(
                f"{self.root}: no recording of {unknown[0] if unknown else 'anyone'} in the layout "
                f"{self.name!r} ({', '.join(self.layout.recordings)})"
            )
        sources = check_ids([source for source, _ in found])
        return list(zip(sources, [labels for _, labels in found], strict=True))

    def _source(self, path: Path, labels: dict[str, Any]) -> Source:
        known: dict[str, Any] = {
            "path": path,
            "id": file_id(path, self.name),
            "dataset": self.name,
            "licence": self.layout.licence,
            "options": self.read,
            "modality": self.layout.modality,
            **labels,
        }
        if self.layout.reader == "bids":
            # Head position and shape stand in files beside the recording.
            bids = (self.root / BIDS_DESCRIPTION).is_file()
            return Source(**known, bids_root=self.root if bids else None)
        if self.layout.reader:
            return ArraySource(**known, reader=self.layout.reader)
        return Source(**known)


class SeveralSpeechRecordings(TrialSource):
    """Several data sets of speech as one: the same sentence is in the same unit in all of them.

    Parameters
    ----------
    sources
        The data sets; their own ``events`` do not count.
    events
        Words or sentences, and what may not be divided, for all.
    """

    def __init__(
        self,
        sources: list[SpeechRecordings],
        events: SpeechEventConfig = SpeechEventConfig(),  # noqa: B008  # frozen
    ) -> None:
        for source in sources:
            source.check(events)
        self.sources, self.events = sources, events

    @property
    def synthetic(self) -> bool:  # type: ignore[override]
        """Return whether any of them was simulated."""
        return any(source.synthetic for source in self.sources)

    def recordings(self) -> list[Found]:
        """Return the recordings of all, with their events."""
        return _found(self.sources, self.events)

    def prepare(
        self, folder: Path | None, processing: ProcessingConfig, *, n_jobs: int = 1
    ) -> tuple[Corpus, list[Cut]]:
        """Prepare as any source; how sound and recordings were aligned is said and written."""
        made = super().prepare(folder, processing, n_jobs=n_jobs)
        _write_alignments(folder, {k: a for s in self.sources for k, a in s.alignments.items()})
        return made


def _found(sources: Sequence[SpeechRecordings], config: SpeechEventConfig) -> list[Found]:
    heard: dict[str, tuple[Source, list[Word]]] = {}
    for source in sources:
        more = source.heard()
        both = sorted(set(heard) & set(more))
        if both:
            raise ValueError(f"two data sets have a recording {both[0]}; is one named twice?")
        heard |= more
    events = speech_events({name: words for name, (_, words) in heard.items()}, config)
    return [Found(source=source, events=events[name]) for name, (source, _) in heard.items()]


def _raw(source: Source) -> Any:
    if isinstance(source, ArraySource):
        return READERS[source.reader](source.path)
    return open_raw(source.path)


def _write_alignments(folder: Path | None, fits: dict[str, Alignment]) -> None:
    if folder is None or not fits:
        return
    path = folder / ALIGNMENT_FILE
    fresh = not path.is_file()
    write_json_atomic(path, {name: asdict(fit) for name, fit in sorted(fits.items())})
    if fresh:
        print(f"{told(fits)} ({path})", file=sys.stderr, flush=True)
