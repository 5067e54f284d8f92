"""Features of many recordings, a file each, several at once; a killed run continues."""

import dataclasses
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from brainfm.atomic import remove_leftovers
from brainfm.checkpoints import CONFIG, WEIGHTS
from brainfm.encode import EncodeSettings, write_features
from brainfm.encoder import Encoder
from brainfm.given_recordings import recordings_of
from brainfm.hub import find_checkpoint
from brainfm.published_models import file_sha256
from brainfm.recording_info import content_hash
from brainfm.source_files import files_of, hash_files, side_files
from brainfm.sources import Source


class Written(NamedTuple):
    """What became of a recording: its id, the error, and whether it was there before."""

    id: str
    error: str = ""
    before: bool = False


def encode_many(
    checkpoint: str | Path,
    sources: list[Source],
    out: Path,
    settings: EncodeSettings,
    *,
    n_jobs: int = 1,
    device: str = "cpu",
) -> int:
    """Write ``out/ID.h5`` of every recording; return the exit status, 1 if any failed.

    A file that was made of the same model, recording and settings is not made again.

    Parameters
    ----------
    checkpoint
        Folder or name.
    sources
        The recordings, ids unique.
    out
        Folder, made if missing.
    settings
        What to write.
    n_jobs
        Processes; -1 for one per core. They share the cores.
    device
        "cpu", "cuda" or "cuda:N".
    """
    from joblib import Parallel, cpu_count, delayed

    from brainfm.progress import track

    folder = find_checkpoint(checkpoint)
    model = content_hash(file_sha256(folder / CONFIG), file_sha256(folder / WEIGHTS))
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    workers = min(len(sources), cpu_count() if n_jobs == -1 else n_jobs)
    if workers < 1:
        raise ValueError(f"n_jobs must be -1 or at least 1, got {n_jobs}")
    threads = None if workers == 1 else max(1, cpu_count() // workers)
    work = Parallel(n_jobs=workers, return_as="generator_unordered")(
        delayed(_encode_one)(folder, model, source, out, settings, device, threads)
        for source in sources
    )
    done: list[Written] = []
    for _ in track(range(len(sources)), "encode", unit="recordings"):
        done.append(next(work))
    failed = sorted(item for item in done if item.error)
    for item in failed:
        print(f"{item.id}: {item.error}", file=sys.stderr)
    before = sum(item.before for item in done)
    text = f"{len(done) - len(failed)} of {len(done)} recordings in {out}"
    print(text + (f", {before} of them from before" if before else ""))
    return 1 if failed else 0


def _encode_one(
    checkpoint: Path,
    model: str,
    source: Source,
    out: Path,
    settings: EncodeSettings,
    device: str,
    threads: int | None,
) -> Written:
    """Encode one recording; errors of its own are returned, not raised."""
    import torch

    os.environ.setdefault("MNE_LOGGING_LEVEL", "WARNING")
    if threads is not None:
        torch.set_num_threads(threads)
    path = out / f"{source.id}.h5"
    try:
        options = dataclasses.asdict(source.options)
        files = files_of(source.path)
        if source.bids_root is not None:
            files += side_files(source.path, source.bids_root)
        data = hash_files(files)
        made_of = content_hash(model, dataclasses.asdict(settings), options, data)
        if _made_of(path) == made_of:
            return Written(source.id, before=True)
        encoder = _loaded(checkpoint, device)
        if source.bids_root is None and not source.modality:
            recordings, stacked = recordings_of(source.path, source.options)
        else:
            recordings, stacked = [source.open()], False
        write_features(
            encoder, recordings, path, settings, stacked=stacked, made_of=made_of, progress=False
        )
    except (ValueError, OSError, MemoryError) as error:
        return Written(source.id, error=" ".join(str(error).split()) or type(error).__name__)
    return Written(source.id)


def _made_of(path: Path) -> str | None:
    """Return what a finished file was made of, None where there is none."""
    import h5py

    if not path.is_file():
        return None
    try:
        with h5py.File(path) as file:
            return str(file.attrs.get("made_of", ""))
    except OSError:  # another program's file under our name: it is made anew
        return None


@lru_cache(maxsize=1)
def _loaded(checkpoint: Path, device: str) -> Encoder:
    return Encoder.from_pretrained(checkpoint).to(device)
