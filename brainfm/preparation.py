"""One source into one corpus file, whole or not at all; any number of processes at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brainfm.completeness import cut_short
from brainfm.corpus_file import read_header, recording_path, write_recording
from brainfm.formats import quiet_mne
from brainfm.processing import ProcessingConfig, process
from brainfm.recording_info import RecordingInfo
from brainfm.source_files import files_of
from brainfm.source_state import SourceState, remember, remembered
from brainfm.sources import Source

Status = Literal["prepared", "kept", "failed"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one source.

    Parameters
    ----------
    id, path
        Of the source.
    status
        "prepared" now, "kept" from an earlier run, or "failed".
    reason
        Why it failed, one line.
    duration
        Length of the recording in seconds.
    """

    id: str
    path: str
    status: Status
    reason: str = ""
    duration: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """The corpus that workers add to.

    Parameters
    ----------
    folder
        The corpus.
    config, config_digest
        Its settings.
    redo_changed
        Prepare a recording again when its source changed; otherwise that is a failure.
    """

    folder: Path
    config: ProcessingConfig
    config_digest: str
    redo_changed: bool = False


def prepare_source(job: Job, source: Source) -> Outcome:
    """Prepare one source, or find that it is in the corpus; never raises for a broken source."""
    try:
        files = files_of(source.path)
        if not files:
            raise FileNotFoundError(f"{source.path}: no such file or folder")
        duration, kept = _prepare(job, source, files)
    except MemoryError:
        return failed(source, "not enough memory; use fewer jobs or a smaller --block-s")
    except OSError as error:
        if _is_fatal(error):
            raise
        return failed(source, one_line(error, source.path))
    except Exception as error:  # a broken file may raise anything in the reader of its format
        return failed(source, one_line(error, source.path))
    return Outcome(
        id=source.id,
        path=str(source.path),
        status="kept" if kept else "prepared",
        duration=duration,
    )


def failed(source: Source, reason: str) -> Outcome:
    """Return the outcome of a source that could not be prepared."""
    return Outcome(id=source.id, path=str(source.path), status="failed", reason=reason)


def _is_fatal(error: OSError) -> bool:
    """Return whether every later source would fail in the same way."""
    import errno

    return error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT)


def one_line(error: Exception, path: Path) -> str:
    """Return an error's text as one line without the path, which stands in its own column."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, ValueError | OSError):
        text = f"{type(error).__name__}: {text}"
    return text.removeprefix(f"{path}:").strip()


def _prepare(job: Job, source: Source, files: list[Path]) -> tuple[float, bool]:
    """Return the length in seconds, and whether the recording was there already."""
    target = recording_path(job.folder, source.id)
    state = SourceState.of(source, files, job.config_digest)
    stamp = state.stamp()
    old = _existing(target)
    if old is not None and remembered(job.folder, source.id) == stamp:
        return old.duration, True
    source_digest, reading_digest = state.source_digest(), state.reading_digest()
    if old is not None:
        changes = state.changes(old, source_digest, reading_digest)
        if not changes:
            remember(job.folder, source.id, stamp)
            return old.duration, True
        if not job.redo_changed:
            raise ValueError(
                f"{', '.join(changes)} changed since {source.id} was prepared, or it is another "
                "recording of that name; --redo-changed prepares it again, --dataset NAME tells "
                "two apart"
            )
    for path in files:
        damage = cut_short(path)
        if damage:
            raise ValueError(damage if path == source.path else f"{path.name} {damage}")
    with quiet_mne():
        recording = source.open()
        processed = process(recording, job.config)
        info = RecordingInfo(
            id=source.id,
            dataset=source.dataset,
            subject=source.subject or recording.subject or source.path.absolute().parent.name,
            session=source.session,
            task=source.task,
            run=source.run,
            source=source.path.name,
            source_digest=source_digest,
            reading_digest=reading_digest,
            device=source.device or recording.device,
            licence=source.licence,
            sfreq=processed.sfreq,
            highpass=processed.highpass,
            lowpass=processed.lowpass,
            line_freq=processed.line_freq,
            config_digest=job.config_digest,
        )
        full = write_recording(
            job.folder,
            info,
            sensors=processed.sensors,
            good=processed.good,
            scale=processed.scale,
            quality=processed.quality,
            n_times=processed.n_times,
            blocks=processed.blocks(),
        )
    remember(job.folder, source.id, stamp)
    return full.duration, False


def _existing(target: Path) -> RecordingInfo | None:
    """Return what is known of a recording that is in the corpus already and can be read."""
    try:
        return read_header(target)[0]
    except FileNotFoundError:
        return None
    except OSError:
        return None  # damaged, and its source is at hand: it is made again in its place
