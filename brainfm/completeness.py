"""Recordings that end before their header says so; MNE reads what is there without an error."""

import os
import re
import struct
from pathlib import Path

TAG = struct.Struct(">iIii")  # kind, type, size, next
NEXT_IN_ORDER, NEXT_NONE = 0, -1


def cut_short(path: Path) -> str | None:
    """Return in words how a recording was cut short, None where nothing tells so.

    Looks at EDF and BDF (records announced), FIF (the chain of tags must reach its end; every part
    of a split file has its own) and BrainVision (whole samples).
    """
    if not path.is_file():
        return None
    name = path.name.lower()
    if name.endswith((".edf", ".bdf")):
        return _edf(path)
    if name.endswith(".fif"):
        return _fif(path)
    if name.endswith((".vhdr", ".ahdr")):
        return _brainvision(path)
    return None


def _edf(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(256)
        try:
            header_bytes, n_records, n_signals = (
                int(head[a:b]) for a, b in ((184, 192), (236, 244), (252, 256))
            )
            file.seek(256 + 216 * n_signals)
            samples = [int(file.read(8)) for _ in range(n_signals)]
        except (ValueError, OSError):
            return None  # the reader will say what is wrong with the header
    width = 3 if path.suffix.lower() == ".bdf" else 2
    there = (os.path.getsize(path) - header_bytes) / max(1, width * sum(samples))
    if n_records > 0 and there < n_records:
        return f"is cut short: {n_records} data records announced, {there:.1f} are there"
    return None


def _fif(path: Path) -> str | None:
    size = os.path.getsize(path)
    at = 0
    with path.open("rb") as file:
        while True:
            file.seek(at)
            head = file.read(TAG.size)
            if len(head) < TAG.size:
                return f"is cut short: the FIF file ends after {size} bytes without its closing tag"
            _, _, n_bytes, following = TAG.unpack(head)
            end = at + TAG.size + n_bytes
            if n_bytes < 0 or end > size:
                return f"is cut short or damaged: a FIF tag at byte {at} ends at {end} of {size}"
            if following == NEXT_NONE:
                return None
            target = end if following == NEXT_IN_ORDER else following
            if target <= at:
                return f"is damaged: the FIF tag at byte {at} points back to {target}"
            if target == size:
                return None  # some writers leave the last tag open
            at = target


def _brainvision(path: Path) -> str | None:
    text = path.read_text(encoding="latin-1")
    found = {
        key: re.search(rf"^{key}\s*=\s*(\S+)", text, re.MULTILINE)
        for key in ("DataFile", "NumberOfChannels", "BinaryFormat")
    }
    if not all(found.values()):
        return None
    name, channels, kind = (m[1] for m in found.values() if m)
    width = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}.get(kind.upper())
    data = path.parent / name.replace("$b", path.stem)
    if width is None or not channels.isdigit() or int(channels) == 0 or not data.is_file():
        return None
    if data.stat().st_size % (width * int(channels)):
        return f"is cut short: {data.name} does not end with a whole sample of {channels} channels"
    return None
