"""Write files so that a reader finds the old one or the new one, never a half.

The new content goes to a temporary name in the same folder, is flushed to the disk and renamed;
then the folder itself is flushed, so that the name survives a power cut too. A process that is
killed leaves at most a ``.NAME.XXXX.tmp`` behind, which no reader looks at and
:func:`remove_leftovers` deletes.
"""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SUFFIX = ".tmp"


def flush_to_disk(path: str | Path) -> None:
    """Return once the file or folder at ``path`` is on the disk, not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends without an exception.

    The block must close the file before it ends. On an exception, or when it wrote nothing,
    ``path`` stays as it was and the temporary file is removed.

    Raises
    ------
    OSError
        Folder missing or not writable, disk full.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:180]}.{uuid.uuid4().hex[:12]}{_SUFFIX}")
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, target)
        flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_atomic(path: str | Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` as a whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8) as a whole or not at all."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: str | Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON; NaN is refused because JSON has none."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_text_atomic(path, text + "\n")


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Delete what killed writers left in ``folder`` (not below it) and return the names.

    Call it only while no other process writes there (under a lock).
    """
    leftovers = sorted(Path(folder).glob(f".*{_SUFFIX}"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers
