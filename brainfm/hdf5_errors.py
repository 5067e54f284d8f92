"""Tell a disk that fails while HDF5 writes from a source that fails while it is read."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

BlockT = TypeVar("BlockT")


class _SourceError(Exception):
    """Carries an error of whoever makes the blocks past the handler of writing errors."""

    def __init__(self, original: OSError | RuntimeError) -> None:
        self.original = original


def unmistaken(blocks: Iterable[BlockT]) -> Iterator[BlockT]:
    """Pass blocks on, so that an error in making them is not taken for one in writing them."""
    try:
        yield from blocks
    except (OSError, RuntimeError) as error:
        raise _SourceError(error) from error


@contextmanager
def hdf5_writing(target: Path) -> Iterator[None]:
    """Turn what HDF5 raises on a full or failing disk (of either class) into one OSError."""
    try:
        yield
    except _SourceError as error:
        raise error.original from None
    except (OSError, RuntimeError) as error:
        raise OSError(f"{target.name} could not be written to {target.parent}: {error}") from error
