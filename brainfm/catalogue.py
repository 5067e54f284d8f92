"""A catalogue: one YAML file that lists data sets and what each of them needs.

``root`` is a folder; every data set has a ``root`` below it, and ``bids: true`` or ``files``.
See ``configs/catalogue_example.yaml``.
"""

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from brainfm.bids_sources import bids_sources
from brainfm.recordings import ReadOptions
from brainfm.rooted_globs import glob_below
from brainfm.sources import (
    MODALITIES,
    Source,
    check_ids,
    entities,
    expand,
    file_id,
    slug,
)

PLACE_KEYS = (
    "root",
    "bids",
    "files",
    "skip",
    "modality",
    "subject",
    "session",
    "licence",
    "device",
)
READ_KEYS = tuple(f.name for f in fields(ReadOptions))


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """One data set of a catalogue.

    Parameters
    ----------
    name
        Name of the data set in the corpus.
    root
        Its folder.
    bids
        Whether it is a BIDS data set, taken whole.
    files
        Globs below ``root`` otherwise.
    skip
        Globs below ``root`` of files to leave out.
    modality
        Kinds of channels to keep: eeg, meg, ieeg; empty keeps all.
    subject, session
        Regular expressions whose first group, found in the path below ``root``, names them.
    licence
        Licence of the data.
    device
        Amplifier or MEG system; empty takes the header's word.
    options
        How its files are read.
    """

    name: str
    root: Path
    bids: bool = False
    files: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    subject: str = ""
    session: str = ""
    licence: str = ""
    device: str = ""
    options: ReadOptions = field(default_factory=ReadOptions)


def read_catalogue(path: str | Path, *, root: Path | None = None) -> list[DatasetEntry]:
    """Read and check a catalogue.

    Parameters
    ----------
    path
        YAML file.
    root
        Folder that takes the place of the catalogue's ``root``.

    Raises
    ------
    ValueError
        Naming the file, the data set and the key that is wrong.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("datasets"), dict):
        raise ValueError(f"{path}: needs a key 'datasets' with one entry per data set")
    _refuse_unknown(content, ("root", "datasets"), str(path))
    base = content.get("root", ".")
    if not isinstance(base, str):
        raise ValueError(f"{path}: root must be the path of a folder, got {base!r}")
    folder = Path(root) if root is not None else path.parent / Path(base).expanduser()
    folder = folder.resolve()
    if not folder.is_dir():
        raise ValueError(f"{path}: root is {folder}, which is no folder; set it there or by --root")
    return [_entry(f"{path}: {name}", name, e, folder) for name, e in content["datasets"].items()]


def _refuse_unknown(found: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    from difflib import get_close_matches

    for key in found:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"{where}: unknown key '{key}'; {hint}")


def _entry(where: str, name: Any, entry: Any, base: Path) -> DatasetEntry:
    if not isinstance(name, str) or slug(name) != name:
        raise ValueError(f"{where}: a data set's name needs letters, digits and . _ + = - only")
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: needs keys such as 'root' and 'files', got {entry!r}")
    _refuse_unknown(entry, PLACE_KEYS + READ_KEYS, where)
    values = {key: _checked(f"{where}: {key}", key, value) for key, value in entry.items()}
    place = {key: value for key, value in values.items() if key in PLACE_KEYS}
    place["root"] = base / place.get("root", name)
    if not place["root"].is_dir():
        raise ValueError(f"{where}: root: {place['root']} is no folder")
    if bool(place.get("bids")) == bool(place.get("files")):
        raise ValueError(f"{where}: give either 'bids: true' or 'files' (a list of globs)")
    for key in ("montage", "head_transform"):
        below = place["root"] / str(values.get(key, ""))
        if values.get(key) and below.is_file():
            values[key] = str(below)
    try:
        options = ReadOptions(**{key: values[key] for key in READ_KEYS if key in values})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return DatasetEntry(name=name, options=options, **place)


def _checked(where: str, key: str, value: Any) -> Any:
    """Return the value of a key in the type that it needs."""
    if key in ("files", "skip", "modality", "exclude"):
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise ValueError(f"{where}: must be a list of strings, got {value!r}")
        unknown = sorted(set(values) - set(MODALITIES)) if key == "modality" else []
        if unknown:
            raise ValueError(f"{where}: must be among {', '.join(MODALITIES)}, got {unknown[0]!r}")
        return tuple(values)
    if key == "bids":
        if not isinstance(value, bool):
            raise ValueError(f"{where}: must be true or false, got {value!r}")
        return value
    if key == "line_freq":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{where}: must be a frequency in Hz, got {value!r}")
        return float(value)
    if key == "rename":
        if not isinstance(value, dict):
            raise ValueError(f"{where}: must map old names to new ones, got {value!r}")
        return {str(old): str(new) for old, new in value.items()}
    if not isinstance(value, str):
        raise ValueError(f"{where}: must be a string, got {value!r}")
    if key in ("subject", "session"):
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"{where}: is no regular expression: {error}") from None
        if groups != 1:
            raise ValueError(f"{where}: needs exactly one group in parentheses, got {value!r}")
    return value


def catalogue_sources(entries: list[DatasetEntry]) -> list[Source]:
    """Return the sources of all data sets of a catalogue."""
    return check_ids([source for entry in entries for source in entry_sources(entry)])


def entry_sources(entry: DatasetEntry) -> list[Source]:
    """Return the sources of one data set."""
    if entry.bids:
        return bids_sources(
            entry.root,
            dataset=entry.name,
            licence=entry.licence,
            device=entry.device,
            options=entry.options,
            modality=entry.modality,
        )
    skipped = {
        Path(path)
        for pattern in entry.skip
        for path in glob.glob(glob_below(entry.root, pattern), recursive=True)
    }
    sources = []
    for path in expand(glob_below(entry.root, pattern) for pattern in entry.files):
        if path in skipped:
            continue
        source = Source(
            path=path,
            id=file_id(path, entry.name, entry.root),
            dataset=entry.name,
            licence=entry.licence,
            device=entry.device,
            options=entry.options,
            modality=entry.modality,
        )
        below = path.relative_to(entry.root).as_posix()
        found = entities(path.name)
        for key, pattern in (("subject", entry.subject), ("session", entry.session)):
            match = re.search(pattern, below) if pattern else None
            if pattern and not match:
                raise ValueError(
                    f"{path}: the {key} of {entry.name}, {pattern!r}, is not in its path"
                )
            if match:
                found[key] = match[1]
        sources.append(replace(source, **found))
    if not sources:
        raise ValueError(f"{entry.root}: no file of {entry.name} is left")
    return sources
