"""Read the next batches while the present one is used."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def read_ahead(
    read: Callable[[ItemT], ResultT], items: Iterable[ItemT], *, depth: int
) -> Iterator[ResultT]:
    """Yield ``read(item)`` of every item in order, ``depth`` of them begun ahead in a thread.

    An error in reading comes up where its result would have been. Leaving the iteration early
    drops what has not begun.
    """
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    ahead: deque[Future[ResultT]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(read, item))
            if len(ahead) > depth:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
