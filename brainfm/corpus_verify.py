"""Compare every byte of a corpus with what was written."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from brainfm.corpus import CORPUS_FILE, read_config
from brainfm.corpus_file import RECORDINGS_FOLDER, read_header, recording_path
from brainfm.corpus_index import INDEX_NAME, open_index, recording_files
from brainfm.recording_info import RecordingInfo, content_hash
from brainfm.seal import is_intact
from brainfm.splits import SPLIT_FILE, Split


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One file: its name within the corpus, its bytes, and what is wrong (empty: nothing)."""

    name: str
    n_bytes: int
    problem: str = ""


def verify_corpus(folder: str | Path, *, threads: int = 2) -> Iterator[Checked]:
    """Check the settings, the split, the index and all recordings; yield each as it is done.

    Every byte is read. Found are changed, missing and added bytes, recordings that the index names
    and the folder lacks or the other way round, and an index made from other content.
    """
    folder = Path(folder)
    yield _check_settings(folder)
    if (folder / SPLIT_FILE).exists():
        yield _check_split(folder / SPLIT_FILE)
    index = folder / INDEX_NAME
    indexed: dict[str, RecordingInfo] = {}
    problem = ""
    try:
        if is_intact(index):
            indexed = {info.id: info for info in open_index(folder)[1]}
        else:
            problem = f"damaged; 'brainfm corpus index {folder}' makes it again"
    except OSError as error:
        problem = str(error)
    yield Checked(name=INDEX_NAME, n_bytes=_size(index), problem=problem)
    files = {path.stem: path for path in recording_files(folder)}
    if not problem:
        for name in sorted(set(indexed) - set(files)):
            path = recording_path(folder, name)
            yield Checked(name=str(path.relative_to(folder)), n_bytes=0, problem="missing")
    with ThreadPoolExecutor(threads) as pool:
        # hashlib releases the GIL, so threads do.
        yield from pool.map(
            lambda item: _check_recording(item[1], indexed.get(item[0]), has_index=not problem),
            sorted(files.items()),
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_settings(folder: Path) -> Checked:
    try:
        read_config(folder)
        problem = ""
    except (OSError, ValueError) as error:
        problem = str(error)
    return Checked(name=CORPUS_FILE, n_bytes=_size(folder / CORPUS_FILE), problem=problem)


def _check_split(path: Path) -> Checked:
    try:
        Split.load(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        seal = content.pop("seal", "")
        del content["format"]
        problem = "" if seal == content_hash(content) else "damaged, or edited by hand"
    except (OSError, ValueError) as error:
        problem = str(error)
    return Checked(name=path.name, n_bytes=_size(path), problem=problem)


def _check_recording(path: Path, indexed: RecordingInfo | None, *, has_index: bool) -> Checked:
    problem = ""
    try:
        if not is_intact(path):
            problem = "damaged; delete it and run 'brainfm prepare' again"
        elif has_index:
            info = read_header(path)[0]
            if info.id != path.stem:
                problem = f"holds the recording {info.id}; it was renamed"
            elif indexed is None:
                problem = "not in the index; run 'brainfm corpus index'"
            elif info != indexed:
                problem = "differs from the index; run 'brainfm corpus index'"
    except OSError as error:
        problem = str(error)
    return Checked(name=f"{RECORDINGS_FOLDER}/{path.name}", n_bytes=_size(path), problem=problem)
