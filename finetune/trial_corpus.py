"""The corpus that trials are read from: prepared once, found again by what made it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainfm.config_json import to_json
from brainfm.corpus import CORPUS_FILE, Corpus, create_corpus
from brainfm.corpus_file import write_recording
from brainfm.corpus_index import write_index
from brainfm.preparation_run import FAILURES_FILE, alone_at_work, prepare_corpus
from brainfm.processing import process
from brainfm.processing_config import ProcessingConfig
from brainfm.recording_info import RecordingInfo, content_hash
from brainfm.recordings import Recording
from brainfm.source_files import files_of
from brainfm.source_state import SourceState, from_anywhere, remembered
from brainfm.sources import Source

Item = tuple[Source, Recording | None]
"""A file, or a recording in memory with the labels of a source."""

CHUNK = 1 << 16
"""Samples of a recording in memory that are hashed at once."""


def open_trial_corpus(
    folder: Path, items: Sequence[Item], processing: ProcessingConfig, *, n_jobs: int = 1
) -> Corpus:
    """Return a corpus that holds these recordings; what is not in it yet is prepared.

    Recordings prepared or read in other ways lie in other sub-folders of ``folder``. Processes that
    want the same corpus at once wait for each other.

    Raises
    ------
    ValueError
        A recording that cannot be prepared, two of one id.
    """
    from filelock import FileLock

    repeated = [name for name, n in Counter(source.id for source, _ in items).items() if n > 1]
    if repeated:
        raise ValueError(f"two recordings have the id {repeated[0]}; give each its own")
    readings = sorted({content_hash(to_json(s.options), list(s.modality)) for s, _ in items})
    place = folder.absolute() / content_hash(processing.settings(), readings)[:16]
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock")):
        if not _is_complete(place, items):
            _prepare(place, items, processing, n_jobs)
    corpus = Corpus(place)
    there = {info.id for info in corpus.recordings}
    missing = [source for source, _ in items if source.id not in there]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(items)} recordings could not be prepared, e.g. "
            f"{missing[0].path}: {_reason(place, missing[0])}; mend it or leave it out"
        )
    return corpus


def _is_complete(place: Path, items: Sequence[Item]) -> bool:
    """Return whether all recordings are there as they are now, without reading their samples."""
    if not (place / CORPUS_FILE).is_file():
        return False
    try:
        corpus = Corpus(place)
    except OSError:
        return False
    infos = {info.id: info for info in corpus.recordings}
    for source, recording in items:
        info = infos.get(source.id)
        if info is None:
            return False
        if recording is not None:
            if info.source_digest != array_digest(recording):
                return False
            continue
        source = from_anywhere(source)
        state = SourceState.of(source, files_of(source.path), info.config_digest)
        if remembered(place, source.id) != state.stamp():
            return False
    return True


def _prepare(place: Path, items: Sequence[Item], processing: ProcessingConfig, n_jobs: int) -> None:
    sources = [source for source, recording in items if recording is None]
    if sources:
        # The cache is ours: what changed is made again without asking.
        prepare_corpus(place, sources, processing, n_jobs=n_jobs, redo_changed=True)
    arrays = [(source, recording) for source, recording in items if recording is not None]
    if not arrays:
        return
    create_corpus(place, processing.settings())
    with alone_at_work(place):
        for source, recording in arrays:
            _write(place, source, recording, processing)
        write_index(place)


def _write(place: Path, source: Source, recording: Recording, processing: ProcessingConfig) -> None:
    processed = process(recording, processing)
    names = ("id", "dataset", "session", "task", "run", "licence")
    info = RecordingInfo(
        **{name: getattr(source, name) for name in names},
        subject=source.subject or recording.subject or "",
        source=recording.source,
        source_digest=array_digest(recording),
        device=source.device or recording.device,
        sfreq=processed.sfreq,
        highpass=processed.highpass,
        lowpass=processed.lowpass,
        line_freq=processed.line_freq,
        config_digest=create_corpus(place, processing.settings()),
    )
    write_recording(
        place,
        info,
        sensors=processed.sensors,
        good=processed.good,
        scale=processed.scale,
        quality=processed.quality,
        n_times=processed.n_times,
        blocks=processed.blocks(),
    )


def array_digest(recording: Recording) -> str:
    """Return a hash of the samples and sensors of a recording."""
    sensors = recording.sensors
    parts: list[Any] = [
        [recording.sfreq, recording.n_times, list(sensors.names), sensors.types.tolist()],
        sensors.positions.tobytes(),
        sensors.orientations.tobytes(),
        [recording.line_freq, recording.highpass, recording.lowpass, recording.bads.tolist()],
    ]
    for start in range(0, recording.n_times, CHUNK):
        block = recording.read(start, min(start + CHUNK, recording.n_times))
        parts.append(content_hash(np.ascontiguousarray(block).tobytes()))
    return content_hash(*parts)


def _reason(place: Path, source: Source) -> str:
    path = place / FAILURES_FILE
    for line in path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else ():
        cells = line.split("\t")
        if cells[0] == source.id:
            return cells[-1]
    return "it is not in the corpus"
