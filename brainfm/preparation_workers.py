"""Ways to prepare many sources at once: in this process, in several, or on a Dask cluster."""

from collections.abc import Iterator
from typing import Any

from brainfm.preparation import Job, Outcome, failed, prepare_source
from brainfm.sources import Source

DASK_TIMEOUT_S = 20
DASK_RETRIES = 3
CRASHED = "the reader crashed its process (out of memory, or a damaged file)"


def work(
    job: Job, sources: list[Source], *, n_jobs: int = 1, dask: str | None = None
) -> Iterator[Outcome]:
    """Yield the outcome of every source as it comes, in any order.

    Raises
    ------
    OSError
        What would make every later source fail too: a full disk, a cluster that does not answer.
    """
    if dask is not None:
        yield from _on_dask(job, sources, dask)
    elif n_jobs == 1 or len(sources) < 2:
        for source in sources:
            yield prepare_source(job, source)
    else:
        yield from _in_processes(job, sources, n_jobs)


def _in_processes(job: Job, sources: list[Source], n_jobs: int) -> Iterator[Outcome]:
    """Prepare in joblib's processes; where one is killed, go on one source per process."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    left = {source.id: source for source in sources}
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
    try:
        for outcome in parallel(delayed(prepare_source)(job, source) for source in sources):
            del left[outcome.id]
            yield outcome
    except BrokenProcessPool:
        for source in left.values():
            yield _isolated(job, source)


def _isolated(job: Job, source: Source) -> Outcome:
    """Prepare in a process of its own, whose death is only this source's failure."""
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    with ProcessPoolExecutor(max_workers=1) as pool:
        try:
            outcome: Outcome = pool.submit(prepare_source, job, source).result()
            return outcome
        except BrokenProcessPool:
            return failed(source, CRASHED)


def _on_dask(job: Job, sources: list[Source], address: str) -> Iterator[Outcome]:
    """Prepare on a running cluster; a worker that leaves has its sources done by another."""
    try:
        from distributed import CancelledError, Client, as_completed
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise ImportError("--dask needs Dask: pip install 'brainfm-toolkit[dask]'") from error
    try:
        client = Client(address, timeout=DASK_TIMEOUT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise OSError(
            f"no Dask scheduler answers at {address} ({error}); give the address that "
            "'dask scheduler' printed, such as tcp://host:8786"
        ) from error
    with client:
        futures: dict[Any, Source] = {
            client.submit(prepare_source, job, source, pure=False, retries=DASK_RETRIES): source
            for source in sources
        }
        for future in as_completed(list(futures)):
            source = futures.pop(future)
            try:
                trouble = future.exception()
                outcome = None if trouble else future.result()
            except (CommClosedError, CancelledError) as error:
                trouble = error
            if isinstance(trouble, CommClosedError | CancelledError):
                raise OSError(
                    f"the Dask scheduler at {address} went away; what was prepared is kept, run "
                    "the same line again"
                ) from trouble
            if isinstance(trouble, OSError):
                raise trouble
            if trouble is not None:
                reason = " ".join(str(trouble).split())[:300] or CRASHED
                outcome = failed(source, f"Dask gave up: {type(trouble).__name__}: {reason}")
            assert outcome is not None
            yield outcome
