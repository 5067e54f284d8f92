"""The codes of a whole corpus: lock, what is there already, progress, failures, closing lines."""

import sys
from pathlib import Path

from brainfm.atomic import remove_leftovers
from brainfm.code_file import RECORDINGS, is_stored
from brainfm.code_times import seconds_per_frame
from brainfm.codes import CODES_FILE, TOKENIZER, begin_codes, finish_codes, reopen_codes
from brainfm.codes_work import CodesJob, outcome_of, work
from brainfm.corpus import Corpus
from brainfm.corpus_file import recording_path
from brainfm.corpus_signal import check_settings
from brainfm.encoder import Encoder
from brainfm.hub import find_checkpoint
from brainfm.preparation import Outcome
from brainfm.preparation_progress import Progress
from brainfm.preparation_run import FAILURES_FILE, LISTED, write_failures
from brainfm.sources import Source
from brainfm.window_codes import CHANNEL_WINDOWS

LOCK_FILE = ".codes.lock"


def make_codes(
    corpus_folder: Path,
    checkpoint: str | Path,
    folder: Path,
    *,
    device: str = "cpu",
    n_jobs: int = 1,
    channel_windows: int = CHANNEL_WINDOWS,
) -> int:
    """Compute the codes of all recordings that have none yet; return the exit status.

    Parameters
    ----------
    corpus_folder
        What ``brainfm prepare`` made.
    checkpoint
        Folder or name of a tokenizer.
    folder
        The code corpus, made if missing.
    device
        Where the tokenizer computes.
    n_jobs
        Processes, on a CPU only; -1 for one per core.
    channel_windows
        Channels x windows that go through the tokenizer at once.

    Returns
    -------
    int
        1 if any recording has no codes. The others can be trained on all the same.

    Raises
    ------
    ValueError
        A corpus that was prepared otherwise than for this tokenizer, codes of another tokenizer,
        settings that do not fit together.
    OSError
        A folder that cannot be written, a full disk, another process at work on these codes.
    """
    from filelock import FileLock, Timeout

    if channel_windows < 1:
        raise ValueError(f"--batch-windows must be at least 1, got {channel_windows}")
    if n_jobs == 0 or (n_jobs != 1 and device != "cpu"):
        raise ValueError(f"--n-jobs must be 1 on {device} and not 0, got {n_jobs}")
    corpus, checkpoint = Corpus(corpus_folder), find_checkpoint(checkpoint)
    encoder = Encoder.from_pretrained(checkpoint).to(device)
    check_settings(corpus, encoder, checkpoint)
    folder = folder.absolute()
    _check_folder(folder)
    try:
        with FileLock(folder / LOCK_FILE, timeout=0):
            begin_codes(folder, checkpoint)
            for name in (".", TOKENIZER, RECORDINGS):
                remove_leftovers(folder / name)
            job = CodesJob(
                corpus=corpus.path.absolute(),
                folder=folder,
                tokenizer=folder / TOKENIZER,
                device=device,
                channel_windows=channel_windows,
            )
            return _run(job, encoder, corpus, n_jobs=n_jobs)
    except Timeout:
        raise OSError(
            f"{folder}: another 'brainfm codes' is at work on these codes; wait for it or choose "
            "another folder"
        ) from None


def _check_folder(folder: Path) -> None:
    """Make the folder and see that it holds codes or nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OSError(f"{folder}: is a file; --out needs a folder") from None
    own = {CODES_FILE, TOKENIZER, RECORDINGS, FAILURES_FILE}
    strange = sorted(p.name for p in folder.iterdir() if p.name[0] != "." and p.name not in own)
    if strange and not (folder / TOKENIZER).exists():
        raise ValueError(
            f"{folder}: holds other things than codes ({', '.join(strange[:3])}); give a new or "
            "empty folder"
        )


def _run(job: CodesJob, encoder: Encoder, corpus: Corpus, *, n_jobs: int) -> int:
    infos = list(corpus.recordings)
    sources = [
        Source(path=recording_path(corpus.path, info.id), id=info.id, dataset=info.dataset)
        for info in infos
    ]
    outcomes: list[Outcome] = []
    missing = []
    with Progress(sources, doing="codes") as progress:
        for i, info in enumerate(infos):
            if is_stored(job.folder, info):
                outcomes.append(outcome_of(corpus, i, "kept"))
                progress.add(outcomes[-1])
            else:
                missing.append(i)
        reopen_codes(job.folder, {infos[i].id for i in missing})
        for outcome in work(job, encoder, corpus, missing, n_jobs=n_jobs):
            outcomes.append(outcome)
            progress.add(outcome)
    write_failures(job.folder, outcomes)
    broken = sorted((o for o in outcomes if o.status == "failed"), key=lambda o: o.id)
    if len(broken) == len(outcomes):
        raise ValueError(_nothing_left(broken))
    finish_codes(job.folder, corpus, {o.id: o.reason for o in broken})
    _report(job.folder, outcomes, broken, encoder)
    return 1 if broken else 0


def _nothing_left(broken: list[Outcome]) -> str:
    if not broken:
        return "the corpus holds no recordings; prepare some"
    return f"none of {len(broken)} recordings has codes, e.g. {broken[0].id}: {broken[0].reason}"


def _report(folder: Path, outcomes: list[Outcome], broken: list[Outcome], encoder: Encoder) -> None:
    """Print what happened and where everything is."""
    for status, words in (("prepared", "computed now"), ("kept", "computed before")):
        of_status = [o for o in outcomes if o.status == status]
        hours = sum(o.duration for o in of_status) / 3600
        if of_status:
            print(f"{words:<16} {len(of_status):>7} recordings {hours:>9.2f} h")
    if broken:
        print(f"{'left out':<16} {len(broken):>7} recordings, see {folder / FAILURES_FILE}")
    for outcome in broken[:LISTED]:
        print(f"  {outcome.id}: {outcome.reason}")
    cfg = encoder.model.record.tokenizer
    rate = cfg.n_sources * cfg.quantizer.bits_per_token / seconds_per_frame(cfg)
    print(f"codes of {len(outcomes) - len(broken)} recordings, {rate:g} bit/s each, in {folder}")
    sys.stdout.flush()
