"""Tell a disk that fails while HDF5 writes from a source that fails while it is read."""

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

BlockT = TypeVar("BlockT")


class _SourceError(Exception):
    """Carries an error of whoever makes the blocks past the handler of writing errors."""

    def __init__(self, original: OSError | RuntimeError) -> None:
        self.original = original


def disk_full(message: str) -> OSError:
    """Return the error of a full disk, in these words alone."""
    error = OSError(message)
    error.errno = errno.ENOSPC
    return error


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
        text = " ".join(str(error).split())
        # HDF5 hands the system's error number on in its text only, and not always first.
        number = re.search(r"errno = (\d+)", text)
        code = int(number[1]) if number else getattr(error, "errno", None)
        if code == errno.ENOSPC:
            raise disk_full(
                f"no room left for {target.name} in {target.parent}; free some or choose another "
                "folder"
            ) from error
        failure = OSError(f"{target.name} could not be written to {target.parent}: {text}")
        failure.errno = code
        raise failure from error
