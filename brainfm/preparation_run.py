"""All sources into one corpus: lock, progress, failures, duplicates, closing table."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from brainfm.atomic import remove_leftovers, write_text_atomic
from brainfm.copies import duplicates
from brainfm.corpus import CORPUS_FILE, Corpus, create_corpus
from brainfm.corpus_file import RECORDINGS_FOLDER
from brainfm.corpus_index import write_index
from brainfm.preparation import Job, Outcome
from brainfm.preparation_progress import Progress
from brainfm.preparation_workers import work
from brainfm.processing import ProcessingConfig
from brainfm.source_state import SOURCES_FOLDER, from_anywhere, remembered
from brainfm.sources import Source, file_id

FAILURES_FILE = "failures.tsv"
DUPLICATES_FILE = "duplicates.tsv"
LOCK_FILE = ".prepare.lock"
LISTED = 20
"""Lines of a list on the screen; the rest is in its file."""


def prepare_corpus(
    folder: Path,
    sources: list[Source],
    config: ProcessingConfig,
    *,
    n_jobs: int = 1,
    dask: str | None = None,
    strict: bool = False,
    redo_changed: bool = False,
) -> int:
    """Prepare all sources that are not in the corpus yet; return the exit status.

    Parameters
    ----------
    folder
        The corpus, made if missing.
    sources
        What to prepare, ids unique.
    config
        Settings; those of the corpus where it exists.
    n_jobs
        Processes on this machine; -1 for one per core.
    dask
        Address of a Dask scheduler, instead of processes.
    strict
        Stop at the first failure.
    redo_changed
        Prepare again what changed since it was prepared.

    Raises
    ------
    ValueError
        Other settings than the corpus has, two sources of one name, a failure under ``strict``.
    OSError
        A folder that cannot be written, a full disk, another process at work on the corpus.
    """
    repeated = [name for name, n in Counter(source.id for source in sources).items() if n > 1]
    if repeated:
        paths = [str(source.path) for source in sources if source.id == repeated[0]]
        raise ValueError(
            f"{' and '.join(paths)} would both be {repeated[0]} in the corpus; give each data set "
            "its own --dataset NAME"
        )
    folder = folder.absolute()
    _check_folder(folder)
    with alone_at_work(folder):
        digest = create_corpus(folder, config.settings())
        for name in (".", RECORDINGS_FOLDER, SOURCES_FOLDER):
            remove_leftovers(folder / name)
        job = Job(folder=folder, config=config, config_digest=digest, redo_changed=redo_changed)
        sources = [_as_before(from_anywhere(source), folder) for source in sources]
        return _run(job, sources, n_jobs=n_jobs, dask=dask, strict=strict)


@contextmanager
def alone_at_work(folder: Path) -> Iterator[None]:
    """Keep every other process from writing to the corpus in ``folder`` meanwhile.

    Raises
    ------
    OSError
        Another process is at work on it, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OSError(
            f"{folder}: another 'brainfm prepare' is at work on this corpus, or a 'brainfm corpus' "
            "that writes; wait for it or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _as_before(source: Source, folder: Path) -> Source:
    """Return the source under the id that it had when it was prepared without its namesakes.

    Ids grow longer where two files of one run would share one; a file that is in the corpus under
    its short id must not come in a second time for that.
    """
    short = file_id(source.path, "" if source.dataset == "files" else source.dataset)
    if source.id == short:
        return source
    known = remembered(folder, short)
    same = known is not None and known.get("path") == str(source.path)
    return replace(source, id=short) if same else source


def _check_folder(folder: Path) -> None:
    """Make the corpus folder and see that it is one, or may become one, and can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}.tmp"
        probe.write_bytes(b"")
        probe.unlink()
    except FileExistsError:
        raise OSError(f"{folder}: is a file; --out needs a folder") from None
    except OSError as error:
        raise OSError(
            f"{folder}: cannot be written to ({error.strerror}); choose another --out"
        ) from error
    own = {RECORDINGS_FOLDER, SOURCES_FOLDER}
    strange = sorted(p.name for p in folder.iterdir() if p.name[0] != "." and p.name not in own)
    if strange and not (folder / CORPUS_FILE).exists():
        raise ValueError(
            f"{folder}: holds other things than a corpus ({', '.join(strange[:3])}); give a new or "
            "empty folder"
        )


def _run(job: Job, sources: list[Source], *, n_jobs: int, dask: str | None, strict: bool) -> int:
    outcomes: list[Outcome] = []
    try:
        with Progress(sources) as progress:
            for outcome in work(job, sources, n_jobs=n_jobs, dask=dask):
                outcomes.append(outcome)
                progress.add(outcome)
                if strict and outcome.status == "failed":
                    raise ValueError(f"{outcome.path}: {outcome.reason} (--strict stops here)")
    except BaseException:
        # What is whole stays usable, whatever stopped the run; a full disk may prevent even that.
        with suppress(OSError):
            write_failures(job.folder, outcomes)
            write_index(job.folder, damaged=[])
        raise
    write_failures(job.folder, outcomes)
    damaged: list[str] = []
    write_index(job.folder, damaged=damaged)
    return _report(job.folder, outcomes, damaged)


def write_failures(folder: Path, outcomes: list[Outcome]) -> None:
    """Bring ``failures.tsv`` up to date: sources that were not tried this time stay as they are."""
    path = folder / FAILURES_FILE
    tried = {outcome.id for outcome in outcomes}
    rows: dict[str, tuple[str, ...]] = {
        o.id: (o.id, o.path, o.reason) for o in outcomes if o.status == "failed"
    }
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            old = tuple(line.split("\t"))
            if len(old) == 3 and old[0] not in tried:
                rows[old[0]] = old
    _write_table(path, ("id", "source", "reason"), sorted(rows.values()))


def _write_table(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if not rows:
        path.unlink(missing_ok=True)
        return
    lines = ["\t".join(" ".join(cell.split()) for cell in row) for row in [header, *rows]]
    write_text_atomic(path, "\n".join(lines) + "\n")


def _report(folder: Path, outcomes: list[Outcome], damaged: list[str]) -> int:
    """Print what happened and where everything is; return the exit status."""
    corpus = Corpus(folder)
    infos = list(corpus.recordings)
    groups = duplicates(infos, corpus.shared)
    header = ("group", "id", "dataset", "subject", "source", "signal_digest")
    rows: list[tuple[str, ...]] = [
        (str(n), info.id, info.dataset, info.subject, info.source, info.signal_digest)
        for n, group in enumerate(groups, start=1)
        for info in group
    ]
    _write_table(folder / DUPLICATES_FILE, header, rows)
    for status, words in (("prepared", "prepared now"), ("kept", "prepared before")):
        of_status = [o for o in outcomes if o.status == status]
        hours = sum(o.duration for o in of_status) / 3600
        if of_status:
            print(f"{words:<16} {len(of_status):>7} recordings {hours:>9.2f} h")
    broken = sorted((o for o in outcomes if o.status == "failed"), key=lambda o: o.path)
    if broken:
        print(f"{'failed':<16} {len(broken):>7} recordings, see {folder / FAILURES_FILE}")
    for outcome in broken[:LISTED]:
        print(f"  {outcome.path}: {outcome.reason}")
    if damaged:
        print(f"{'damaged':<16} {len(damaged):>7} recordings, not in the index")
    for line in damaged[:LISTED]:
        print(f"  {line}")
    if groups:
        n = sum(len(group) - 1 for group in groups)
        print(f"{'same samples':<16} {n:>7} recordings, see {folder / DUPLICATES_FILE}")
    for group in groups[:LISTED]:
        print(f"  {' = '.join(info.id for info in group)}")
    hours = sum(info.duration for info in infos) / 3600
    print(f"{'corpus':<16} {len(infos):>7} recordings {hours:>9.2f} h in {folder}")
    sys.stdout.flush()
    return 1 if broken or damaged else 0
