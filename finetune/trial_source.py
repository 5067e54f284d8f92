"""Where trials come from: recordings, with the events of each.

A data set of one's own is a subclass with one method::

    class Mine(TrialSource):
        def recordings(self):
            for path in Path("/data/mine").glob("*.edf"):
                source = Source(path=path, id=path.stem, dataset="mine", subject=path.stem[:2])
                yield Found(source=source, events=[Event(onset=2.0, name="left"), ...])

named in a settings file by ``data.source.class_path``. The recordings are prepared once, as a
corpus in ``data.cache``; of a trial nothing but its window is read.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainfm.corpus import Corpus
from brainfm.processing_config import ProcessingConfig
from brainfm.recording_info import RecordingInfo
from brainfm.recordings import Recording
from brainfm.sources import Source
from brainfm.trial_events import Event

from .modalities import SeveralProcessing
from .trial_corpus import open_trial_corpus

Cut = tuple[RecordingInfo, Sequence[Event]]
"""A recording of a corpus and its events."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A recording and its events.

    Parameters
    ----------
    source
        Where it is, how it is read, and whose it is.
    events
        Its events, or what finds them when they are asked for.
    recording
        The recording itself where it is in no file; ``source.path`` is a word for it then.
    """

    source: Source
    events: Sequence[Event] | Callable[[], Sequence[Event]]
    recording: Recording | None = None


class TrialSource(ABC):
    """Recordings and their events. Named by ``data.source.class_path`` in a settings file."""

    synthetic: bool = False
    """Whether anything of it was simulated; every number made of it says so."""
    one_modality_batches: bool = False
    """Whether its recordings are of several modalities, which cannot lie in one batch."""

    @abstractmethod
    def recordings(self) -> Iterable[Found]:
        """Return the recordings, each with its events and an id of its own."""

    def prepare(
        self, folder: Path | None, processing: ProcessingConfig, *, n_jobs: int = 1
    ) -> tuple[Corpus, list[Cut]]:
        """Return a corpus of the recordings, made if it is not there, and their events.

        Parameters
        ----------
        folder
            Where corpora are kept, one for all that is prepared in the same way.
        processing
            How they are prepared.
        n_jobs
            Processes that prepare.

        Raises
        ------
        ValueError
            A recording that cannot be prepared, none at all, no folder.
        """
        found = list(self.recordings())
        if not found:
            raise ValueError(f"{type(self).__name__} finds no recording")
        if isinstance(processing, SeveralProcessing):
            raise ValueError(
                "the backbone is of several modalities and the source is not; set data.source to "
                "brainfm.finetune.several_sources.Modalities"
            )
        if folder is None:
            raise ValueError("data.cache is missing: name a folder for the prepared recordings")
        corpus = open_trial_corpus(
            folder, [(item.source, item.recording) for item in found], processing, n_jobs=n_jobs
        )
        infos = {info.id: info for info in corpus.recordings}
        return corpus, [
            (infos[item.source.id], item.events() if callable(item.events) else item.events)
            for item in found
        ]


class Several(TrialSource):
    """The recordings of several sources together.

    Parameters
    ----------
    sources
        Each with ids and data sets of its own.
    """

    def __init__(self, sources: list[TrialSource]) -> None:
        self.sources = sources

    @property
    def synthetic(self) -> bool:  # type: ignore[override]
        """Return whether any of them is."""
        return any(source.synthetic for source in self.sources)

    def recordings(self) -> list[Found]:
        """Return all recordings."""
        return [found for source in self.sources for found in source.recordings()]
