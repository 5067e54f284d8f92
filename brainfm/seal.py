"""A checksum inside the file it protects: any flipped, missing or added byte is found.

HDF5 leaves the first 512 bytes of a file to the user ("user block"). They hold a line of text with
the SHA-256 of all that follows; the rest of the block must be zero bytes.
"""

import hashlib
from pathlib import Path

BLOCK = 512
_MAGIC = b"brainfm sealed HDF5, sha256 of the bytes after 512: "
_CHUNK = 1 << 20


def _expected_block(path: Path) -> bytes:
    state = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(BLOCK)
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    line = _MAGIC + state.hexdigest().encode("ascii") + b"\n"
    return line.ljust(BLOCK, b"\0")


def seal(path: str | Path) -> None:
    """Write the checksum into the user block of a closed HDF5 file."""
    path = Path(path)
    block = _expected_block(path)
    with path.open("r+b") as file:
        file.write(block)


def is_intact(path: str | Path) -> bool:
    """Return whether every byte of a sealed file is as :func:`seal` left it."""
    path = Path(path)
    with path.open("rb") as file:
        block = file.read(BLOCK)
    return block.startswith(_MAGIC) and block == _expected_block(path)
