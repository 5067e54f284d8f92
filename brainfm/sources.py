"""Where recordings come from: files, globs and BIDS folders become a list of :class:`Source`."""

import glob
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brainfm.recording_info import content_hash
from brainfm.recordings import ReadOptions, Recording, read_recording
from brainfm.row_signal import select_types
from brainfm.source_files import head_of_part

MODALITIES = {
    "eeg": ("eeg",),
    "meg": ("mag", "planar", "axial"),
    "ieeg": ("ieeg",),
}
"""Sensor types by modality."""

BIDS_DESCRIPTION = "dataset_description.json"
RECORDING_FOLDERS = (".ds", ".mff", ".mefd")

ID_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class Source:
    """One recording to be prepared.

    Parameters
    ----------
    path
        File or folder to read.
    id
        Name in the corpus.
    dataset, subject, session, task, run, licence, device
        As in :class:`~brainfm.recording_info.RecordingInfo`; an empty subject is taken from the
        file's header, else from the folder it lies in; an empty device from the header.
    options
        How to read it.
    modality
        Keys of :data:`MODALITIES` whose channels are kept; empty keeps all.
    bids_root
        Root of the BIDS data set whose side files count; None outside of BIDS.
    """

    path: Path
    id: str
    dataset: str
    subject: str = ""
    session: str = ""
    task: str = ""
    run: str = ""
    licence: str = ""
    device: str = ""
    options: ReadOptions = field(default_factory=ReadOptions)
    modality: tuple[str, ...] = ()
    bids_root: Path | None = None

    def open(self) -> Recording:
        """Open the recording; nothing but its header is read."""
        if self.bids_root is None:
            recording = read_recording(self.path, self.options)
        else:
            from brainfm.bids_sources import read_bids

            recording = read_bids(self.path, self.bids_root, self.options)
        if self.modality:
            kinds = [kind for name in self.modality for kind in MODALITIES[name]]
            recording = select_types(recording, kinds)
        return recording


def slug(text: str) -> str:
    """Return ``text`` with only the characters that a recording's id may have."""
    return re.sub(r"[^A-Za-z0-9.+=-]+", "_", text).strip("_.-+=")


def file_id(path: Path, dataset: str, root: Path | None = None) -> str:
    """Return the id of a file: data set, folders below ``root`` (or the last one), name, ending.

    Where that is too long or in letters that an id cannot have, a hash of it tells files apart.
    """
    path = _composed(path)
    if root is None:
        folders = [path.parent.name]
    else:
        folders = list(path.parent.relative_to(_composed(root)).parts)
    name = slug("_".join([*folders, path.stem]))
    ending = slug(path.suffix.lower())
    parts = [slug(dataset), f"{name}-{ending}" if ending else name]
    text = "_".join(part for part in parts if part)
    whole = "/".join([dataset, *folders, path.name])
    return text if whole.isascii() and len(text) <= ID_LENGTH else _marked(text, whole)


def _marked(text: str, whole: str) -> str:
    """Return an id that no other name but ``whole`` has, however little of it ``text`` kept."""
    return f"{text[: ID_LENGTH - 11]}-{content_hash(whole)[:10]}".lstrip("_.-+=")


def _composed(path: Path) -> Path:
    """Return the absolute path in one of Unicode's two spellings; file systems differ in theirs."""
    return Path(unicodedata.normalize("NFC", str(Path(path).absolute())))


def expand(patterns: Iterable[str | Path]) -> list[Path]:
    """Return the recordings that files, folders and globs (``**`` too) name, each once, sorted.

    Later parts of a split FIF recording whose first part is in the list are left out: the first
    part brings them. So are folders that a glob passes on its way to what they hold.
    """
    found: dict[Path, Path] = {}
    for pattern in map(str, patterns):
        matches = (
            [pattern]
            if Path(pattern).exists()
            else [
                match
                for match in sorted(glob.glob(pattern, recursive=True))
                if not is_plain_folder(Path(match))
            ]
        )
        if not matches and glob.has_magic(pattern):
            raise FileNotFoundError(f"no file matches {pattern}")
        for match in matches or [pattern]:
            found.setdefault(Path(match).resolve(), Path(match))
    kept = []
    for path in found.values():
        head = head_of_part(path)
        if head is None or head.resolve() not in found:
            kept.append(path)
    return sorted(kept)


def file_sources(
    patterns: Iterable[str | Path],
    *,
    dataset: str = "",
    licence: str = "",
    device: str = "",
    options: ReadOptions | None = None,
) -> list[Source]:
    """Return the sources that files, globs and BIDS folders name.

    The session, task and run of a file named as in BIDS are kept.
    """
    options = options or ReadOptions()
    sources = []
    for path in expand(patterns):
        if path.is_dir() and (path / BIDS_DESCRIPTION).exists():
            from brainfm.bids_sources import bids_sources

            sources += bids_sources(
                path, dataset=dataset, licence=licence, device=device, options=options
            )
            continue
        if is_plain_folder(path):
            raise ValueError(
                f"{path}: is a folder, but neither a BIDS data set (no {BIDS_DESCRIPTION}) nor a "
                f"recording; give files or a pattern such as '{path}/**/*.edf'"
            )
        sources.append(
            Source(
                path=path,
                id=file_id(path, dataset),
                dataset=dataset or "files",
                licence=licence,
                device=device,
                options=options,
            )
        )
        sources[-1] = replace(sources[-1], **entities(path.name))
    return check_ids(sources)


def is_plain_folder(path: Path) -> bool:
    """Return whether this is a folder that is neither a recording nor a BIDS data set."""
    return not (
        not path.is_dir()
        or path.suffix.lower() in RECORDING_FOLDERS
        or (path / BIDS_DESCRIPTION).exists()
        or is_bti(path)
    )


def is_bti(path: Path) -> bool:
    """Return whether a folder holds a 4D/BTi recording."""
    return any(path.glob("c,rf*")) or any(path.glob("hc,rf*"))


def entities(name: str) -> dict[str, Any]:
    """Return what a file named as in BIDS says of its subject, session, task and run."""
    found = dict(re.findall(r"(?:^|_)(sub|ses|task|run)-([A-Za-z0-9+]+)", name))
    keys = {"sub": "subject", "ses": "session", "task": "task", "run": "run"}
    return {keys[key]: value for key, value in found.items()} if "sub" in found else {}


def check_ids(sources: list[Source]) -> list[Source]:
    """Return the sources, given longer ids where two would have the same."""
    counts = Counter(source.id for source in sources)
    out = []
    for source in sources:
        if counts[source.id] > 1:
            root = Path(source.path.absolute().anchor)
            source = replace(source, id=file_id(source.path, source.dataset, root))
        out.append(source)
    counts = Counter(source.id for source in out)
    return [
        # Names that differ only in signs that an id cannot have.
        replace(s, id=_marked(s.id, str(s.path.absolute()))) if counts[s.id] > 1 else s
        for s in out
    ]
