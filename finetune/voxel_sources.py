"""Voxels of fMRI as what is decoded from: runs as recordings whose channels are voxels.

A sample is a volume, or the response to a trial where there is a table of such. So windows, folds,
controls and heads are those of all recordings: a window from 5 to 22.5 s after the start of a block
holds its volumes, delayed as BOLD is; ``pooling`` of the head says whether their mean is read
(``mean``) or each by itself (``flat``).

Shapes: V volumes or trials, R voxels or regions.
"""

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from brainfm.atomic import write_json_atomic
from brainfm.corpus import Corpus, create_corpus
from brainfm.corpus_file import n_seconds, write_recording
from brainfm.corpus_index import write_index
from brainfm.preparation_run import alone_at_work
from brainfm.processing_config import ProcessingConfig
from brainfm.recording_info import RecordingInfo, content_hash
from brainfm.sensors import FloatArray, SensorArray
from brainfm.trial_events import Event

from .trial_source import Cut, Found, TrialSource

AS_THEY_ARE = ProcessingConfig(
    sfreq=1.0, l_freq=0.0, h_freq=0.4, notch=False, reference="none", detect_bad=False
)
"""How a backbone asks for voxels: their source has prepared them, at whatever rate they have."""
VOXEL = "voxel"
FORMAT = 1
EVENTS_FILE = "events.json"
"""Beside the prepared runs, written last: with it they are complete."""


class VoxelSeries(NamedTuple):
    """Standardised ``series`` (V, R), ``names`` (R,), ``positions`` (R, 3) in m of their space."""

    series: FloatArray
    names: tuple[str, ...]
    positions: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class VoxelRun:
    """A run, or a session of trials.

    Parameters
    ----------
    id
        Unlike that of any other.
    dataset, subject, session, task, run, licence
        Whose it is.
    source
        Name of its file.
    sfreq
        Volumes (or trials) per second.
    series
        Reads and prepares it.
    events
        Finds its events, seconds from the start of the first volume.
    """

    id: str
    dataset: str
    subject: str
    session: str = ""
    task: str = ""
    run: str = ""
    licence: str = ""
    source: str = ""
    sfreq: float
    series: Callable[[], VoxelSeries]
    events: Callable[[], Sequence[Event]]

    def info(self, config_digest: str, stamp: str) -> RecordingInfo:
        """Return what a corpus is to know of it; ``stamp`` is that of its source."""
        labels = ("id", "dataset", "subject", "session", "task", "run", "licence", "source")
        return RecordingInfo(
            **{name: getattr(self, name) for name in labels},
            source_digest=content_hash(stamp, self.id),
            device="fMRI",
            sfreq=self.sfreq,
            config_digest=config_digest,
        )


class VoxelSource(TrialSource):
    """Runs whose channels are voxels. Goes with ``model.backbone`` :class:`~.voxels.Voxels`."""

    @abstractmethod
    def runs(self) -> list[VoxelRun]:
        """Return the runs, each with an id of its own."""

    @abstractmethod
    def stamp(self) -> str:
        """Return a hash that changes with files and settings; no data are read for it."""

    def recordings(self) -> list[Found]:
        """Refuse: voxels are prepared by themselves."""
        raise ValueError(
            "voxels cannot be one of several sources of one backbone; decode from several "
            "modalities with data.source brainfm.finetune.several_sources.Modalities"
        )

    def prepare(
        self, folder: Path | None, processing: ProcessingConfig, *, n_jobs: int = 1
    ) -> tuple[Corpus, list[Cut]]:
        """Return a corpus of the runs, made if it is not there, and their events.

        Raises
        ------
        ValueError
            A backbone that is not made for voxels, no run, a run that cannot be read.
        """
        from filelock import FileLock

        if processing != AS_THEY_ARE:
            raise ValueError(
                "the source gives voxels of fMRI and the backbone wants EEG or MEG; set "
                "model.backbone to brainfm.finetune.voxels.Voxels"
            )
        if folder is None:
            raise ValueError("data.cache is missing: name a folder for the prepared runs")
        stamp = self.stamp()
        place = folder.absolute() / f"voxels-{content_hash(FORMAT, stamp)[:16]}"
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{place.name}.lock")):
            if not (place / EVENTS_FILE).is_file():
                self._fill(place, processing, stamp)
        corpus = Corpus(place)
        stored = json.loads((place / EVENTS_FILE).read_text(encoding="utf-8"))
        return corpus, [
            (info, [Event(**event) for event in stored[info.id]]) for info in corpus.recordings
        ]

    def _fill(self, place: Path, processing: ProcessingConfig, stamp: str) -> None:
        runs = self.runs()
        if not runs:
            raise ValueError(f"{type(self).__name__} finds no run")
        repeated = [name for name, n in Counter(run.id for run in runs).items() if n > 1]
        if repeated:
            raise ValueError(f"two runs have the id {repeated[0]}; give each its own")
        # Before anything is written: what is said of blocks is wrong more often than images.
        events = {run.id: [asdict(event) for event in run.events()] for run in runs}
        digest = create_corpus(place, processing.settings())
        with alone_at_work(place):
            for run in runs:
                _write(place, run, digest, stamp)
            write_index(place)
        write_json_atomic(place / EVENTS_FILE, events)


def _write(place: Path, run: VoxelRun, digest: str, stamp: str) -> None:
    try:
        found = run.series()
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"run {run.id}: {error}") from error
    n_volumes, n_voxels = found.series.shape
    write_recording(
        place,
        run.info(digest, stamp),
        sensors=SensorArray(
            positions=found.positions,
            orientations=np.zeros((n_voxels, 3)),
            types=np.full(n_voxels, VOXEL),
            names=found.names,
        ),
        good=np.ones(n_voxels, dtype=np.bool_),
        scale={VOXEL: 1.0},
        quality=np.zeros(n_seconds(n_volumes, run.sfreq), dtype=np.uint8),
        n_times=n_volumes,
        blocks=[np.ascontiguousarray(found.series.T, dtype=np.float16)],
    )


def stamp_of(paths: Sequence[Path], *settings: object) -> str:
    """Return a hash of files, by name, size and time of their last change, and of settings."""
    states = [(path, path.stat()) for path in paths]
    return content_hash(
        [[str(p.absolute()), s.st_size, s.st_mtime_ns] for p, s in states], *settings
    )
