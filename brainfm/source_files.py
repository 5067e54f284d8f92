"""The files that a recording consists of, and a hash of their bytes."""

import hashlib
import re
from collections.abc import Iterable
from itertools import count, takewhile
from pathlib import Path

SPLIT_PART = re.compile(r"^(?P<head>.+?)-(?P<part>[1-9]\d?)(?P<end>\.fif(?:\.gz)?)$")
BIDS_SPLIT = re.compile(r"_split-0*(?P<part>\d+)_")
BIDS_ENTITY = re.compile(r"(?:^|_)([a-z]+)-([A-Za-z0-9+]+)")
BIDS_SIDE_ENDINGS = ("channels.tsv", "electrodes.tsv", "coordsystem.json", "events.tsv")
CHUNK = 1 << 20


def files_of(path: Path) -> list[Path]:
    """Return all files of the recording at ``path``, sorted; those that do not exist are left out.

    A folder (CTF ``.ds``, EGI ``.mff``) counts with all that is in it, a BrainVision header with
    its data and markers, an EEGLAB ``.set`` with its ``.fdt``, a FIF file with its later parts.
    """
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    found = {path}
    suffix = path.suffix.lower()
    if suffix in (".vhdr", ".ahdr"):
        header = path.read_text(encoding="latin-1")
        named = re.findall(r"^(?:DataFile|MarkerFile)\s*=\s*(.+?)\s*$", header, re.MULTILINE)
        found |= {path.parent / name.replace("$b", path.stem) for name in named}
    elif suffix == ".set":
        found.add(path.with_suffix(".fdt"))
    elif suffix == ".fif" or path.name.endswith(".fif.gz"):
        found |= set(later_parts(path))
    return sorted(p for p in found if p.is_file())


def later_parts(path: Path) -> list[Path]:
    """Return the later parts of the split FIF file ``path``, by MNE's and BIDS' names."""
    split = BIDS_SPLIT.search(path.name)
    if split:
        width = len(split[0]) - len("_split-_")
        return _while_there(
            path.with_name(BIDS_SPLIT.sub(f"_split-{part:0{width}d}_", path.name))
            for part in count(int(split["part"]) + 1)
        )
    end = ".fif.gz" if path.name.endswith(".fif.gz") else ".fif"
    stem = path.name.removesuffix(end)
    return _while_there(path.with_name(f"{stem}-{part}{end}") for part in count(1))


def _while_there(paths: Iterable[Path]) -> list[Path]:
    return list(takewhile(Path.is_file, paths))


def head_of_part(path: Path) -> Path | None:
    """Return the first part of a split FIF file where ``path`` is named like a later one."""
    split = BIDS_SPLIT.search(path.name)
    if split and int(split["part"]) > 1:
        width = len(split[0]) - len("_split-_")
        return path.with_name(BIDS_SPLIT.sub(f"_split-{1:0{width}d}_", path.name))
    part = SPLIT_PART.match(path.name)
    return path.with_name(part["head"] + part["end"]) if part else None


def side_files(path: Path, root: Path) -> list[Path]:
    """Return the files of a BIDS data set that say how the recording at ``path`` is read, sorted.

    As BIDS has it, a file in the same folder or above counts for all recordings whose names have
    the entities that its own name has.
    """
    own = dict(BIDS_ENTITY.findall(path.name))
    datatype = path.name.split(".")[0].rpartition("_")[2]
    endings = (*BIDS_SIDE_ENDINGS, f"{datatype}.json")
    found = []
    folder = path.absolute().parent
    while True:
        for ending in endings:
            for beside in folder.glob(f"*{ending}"):
                entities = BIDS_ENTITY.findall(beside.name)
                if all(own.get(key) == value for key, value in entities if key != "space"):
                    found.append(beside)
        if folder in (root.absolute(), folder.parent):
            return sorted(found)
        folder = folder.parent


def hash_files(files: list[Path]) -> str:
    """Return the SHA-256 (hex) of the lengths and bytes of ``files``; names do not count."""
    state = hashlib.sha256()
    for path in files:
        state.update(path.stat().st_size.to_bytes(8, "little"))
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                state.update(chunk)
    return state.hexdigest()
