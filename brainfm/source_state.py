"""What a recording was prepared from, and what of it is different today.

The bytes of the files decide, and how they are read: options, the side files of BIDS, a montage
file. So that a second run need not read everything again, sizes and times of all files are kept in
``sources/ID.json``; where they differ, or that file is gone, the hashes are compared.
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainfm.recording_info import RecordingInfo, content_hash
from brainfm.source_files import hash_files, side_files
from brainfm.sources import Source

SOURCES_FOLDER = "sources"
OPTION_FILES = ("montage", "head_transform")
LABELS = ("session", "task", "run", "licence")


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """A source as it is now.

    Parameters
    ----------
    source
        Where it is and how it is read.
    files, beside
        Files that hold the signal, and files beside them that decide how it is read.
    config_digest
        Hash of the processing settings.
    """

    source: Source
    files: list[Path]
    beside: list[Path]
    config_digest: str

    @classmethod
    def of(cls, source: Source, files: list[Path], config_digest: str) -> "SourceState":
        """Look at a source; nothing is read but names."""
        beside = side_files(source.path, source.bids_root) if source.bids_root else []
        beside += [Path(text) for text in _option_files(source).values()]
        return cls(source=source, files=files, beside=beside, config_digest=config_digest)

    def source_digest(self) -> str:
        """Return the hash of the bytes of the signal's files."""
        return hash_files(self.files)

    def reading_digest(self) -> str:
        """Return the hash of how they are read; where a file is does not count, its bytes do."""
        options = dataclasses.asdict(self.source.options)
        options |= dict.fromkeys(_option_files(self.source), "file")
        return content_hash(_json(options), list(self.source.modality), hash_files(self.beside))

    def stamp(self) -> dict[str, Any]:
        """Return what tells, without reading the files, that nothing changed."""
        return {
            "path": str(self.source.path.absolute()),
            "files": [
                [p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in self.files + self.beside
            ],
            "options": _json(dataclasses.asdict(self.source.options)),
            "modality": list(self.source.modality),
            "labels": [getattr(self.source, name) for name in ("subject", "device", *LABELS)],
            "config": self.config_digest,
        }

    def changes(self, old: RecordingInfo, source_digest: str, reading_digest: str) -> list[str]:
        """Return in words what is different from when ``old`` was prepared."""
        found = []
        if old.config_digest != self.config_digest:
            found.append("its processing")
        if old.source_digest != source_digest:
            found.append(f"the content of {self.source.path.name}")
        # What the source does not say was taken from the header, which the bytes stand for.
        said = [name for name in ("subject", "device") if getattr(self.source, name)]
        names = [*said, *LABELS]
        for name in names:
            before, now = getattr(old, name), getattr(self.source, name)
            if before != now:
                found.append(f"its {name} ({before!r}, now {now!r})")
        if old.reading_digest != reading_digest:
            found.append("how it is read")
        return found


def _option_files(source: Source) -> dict[str, str]:
    """Return the options of a source that name a file."""
    values = {name: getattr(source.options, name) for name in OPTION_FILES}
    return {name: text for name, text in values.items() if text and Path(text).is_file()}


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def from_anywhere(source: Source) -> Source:
    """Return the source with paths that mean the same in any process on any machine."""
    options: dict[str, Any] = {
        name: str(Path(text).absolute()) for name, text in _option_files(source).items()
    }
    return dataclasses.replace(
        source,
        path=source.path.absolute(),
        bids_root=source.bids_root.absolute() if source.bids_root else None,
        options=dataclasses.replace(source.options, **options),
    )


def remembered(folder: Path, recording_id: str) -> dict[str, Any] | None:
    """Return the stamp of a recording's source in the corpus at ``folder``, if it is there."""
    try:
        stored = json.loads((folder / SOURCES_FOLDER / f"{recording_id}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return stored if isinstance(stored, dict) else None


def remember(folder: Path, recording_id: str, stamp: dict[str, Any]) -> None:
    """Keep the stamp of a recording's source."""
    path = folder / SOURCES_FOLDER / f"{recording_id}.json"
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name[:180]}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(stamp), encoding="utf-8")
    temporary.replace(path)
