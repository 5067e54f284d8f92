"""Codes of some recordings of a corpus into files: in this process, or in several.

Recordings with as many usable sensors go through the tokenizer together; which those are decides
how fast it goes and not what comes out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.code_file import flagged_frames, store_codes
from brainfm.code_times import n_windows
from brainfm.corpus import Corpus
from brainfm.corpus_file import recording_path
from brainfm.corpus_signal import CorpusSignal, too_short
from brainfm.encoder import Encoder
from brainfm.preparation import Outcome, Status, one_line
from brainfm.recordings_together import codes_together
from brainfm.window_codes import CHANNEL_WINDOWS

CALLS_PER_SHARE = 16
"""Full calls of the tokenizer in a share of the work: its last one, not full, then costs little."""


@dataclass(frozen=True, kw_only=True)
class CodesJob:
    """What workers have in common.

    Parameters
    ----------
    corpus
        Folder to read from.
    folder
        The code corpus.
    tokenizer
        Checkpoint folder.
    device
        Where the tokenizer computes.
    channel_windows
        Channels x windows that go through it at once.
    """

    corpus: Path
    folder: Path
    tokenizer: Path
    device: str = "cpu"
    channel_windows: int = CHANNEL_WINDOWS

    def open(self) -> tuple[Encoder, Corpus]:
        """Load the tokenizer and open the corpus."""
        return Encoder.from_pretrained(self.tokenizer).to(self.device), Corpus(self.corpus)


def outcome_of(corpus: Corpus, index: int, status: Status, reason: str = "") -> Outcome:
    """Return what became of a recording."""
    info = corpus.recordings[index]
    path = str(recording_path(corpus.path, info.id))
    return Outcome(id=info.id, path=path, status=status, reason=reason, duration=info.duration)


def shares(
    corpus: Corpus, indices: Sequence[int], cfg: TokenizerConfig, channel_windows: int
) -> list[list[int]]:
    """Divide recordings into shares of the work.

    Members of a share have as many usable sensors, so that they can go through the tokenizer
    together; a share is worth some full calls, or is one long recording. The largest arrays come
    first: too little memory shows at once.
    """
    n_good = {i: _n_usable(corpus, i) for i in indices}
    found: list[list[int]] = []
    room = 0
    for i in sorted(indices, key=lambda i: (-n_good[i], i)):
        if room <= 0 or n_good[found[-1][0]] != n_good[i]:
            found.append([])
            room = CALLS_PER_SHARE * max(1, channel_windows // max(1, n_good[i]))
        found[-1].append(i)
        room -= n_windows(int(corpus.columns.n_times[i]), cfg.window, cfg.stride)
    return found


def _n_usable(corpus: Corpus, index: int) -> int:
    try:
        return int(corpus.channels(index).good.sum())
    except OSError:
        return 0  # whoever encodes it will say what is wrong with it


def code_share(
    encoder: Encoder, corpus: Corpus, share: Sequence[int], job: CodesJob
) -> Iterator[Outcome]:
    """Compute and store the codes of a share; yield the outcome of each recording.

    Raises
    ------
    OSError
        The disk is full or cannot be written to: nothing that follows could be stored either.
    """
    cfg = encoder.model.record.tokenizer
    fitting = []
    for i in share:
        reason = too_short(int(corpus.columns.n_times[i]), cfg)
        if reason:
            yield outcome_of(corpus, i, "failed", reason)
        else:
            fitting.append((i, CorpusSignal(corpus=corpus, index=i)))
    for i, codes in codes_together(encoder, fitting, channel_windows=job.channel_windows):
        if isinstance(codes, np.ndarray):
            info = corpus.recordings[i]
            store_codes(job.folder, info, codes, flagged_frames(corpus, i, cfg))
            yield outcome_of(corpus, i, "prepared")
        elif isinstance(codes, MemoryError):
            yield outcome_of(corpus, i, "failed", "not enough memory; lower --batch-windows")
        else:
            path = recording_path(corpus.path, corpus.recordings[i].id)
            yield outcome_of(corpus, i, "failed", one_line(codes, path))


def work(
    job: CodesJob, encoder: Encoder, corpus: Corpus, indices: Sequence[int], *, n_jobs: int
) -> Iterator[Outcome]:
    """Yield the outcome of every recording as it comes, in any order.

    Raises
    ------
    OSError
        A disk that cannot be written to, a process that was killed.
    """
    divided = shares(corpus, indices, encoder.model.record.tokenizer, job.channel_windows)
    if n_jobs == 1 or len(divided) < 2:
        for share in divided:
            yield from code_share(encoder, corpus, share, job)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
    try:
        for outcomes in parallel(delayed(_in_worker)(job, share) for share in divided):
            yield from outcomes
    except BrokenProcessPool as error:
        raise OSError(
            "a worker process was killed, most likely for want of memory; what is whole is kept: "
            "run the same line again with a smaller --n-jobs"
        ) from error


def _in_worker(job: CodesJob, share: list[int]) -> list[Outcome]:
    """Code a share with one thread: the processes are the parallelism."""
    import torch

    torch.set_num_threads(1)
    encoder, corpus = _opened(job)
    return list(code_share(encoder, corpus, share, job))


@lru_cache(maxsize=1)
def _opened(job: CodesJob) -> tuple[Encoder, Corpus]:
    return job.open()
