"""The recordings of a BIDS data set, read with what stands beside them (mne-bids)."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from brainfm.formats import quiet_mne
from brainfm.recordings import ReadOptions, Recording, recording_from_raw
from brainfm.sources import (
    BIDS_DESCRIPTION,
    MODALITIES,
    Source,
    check_ids,
    file_id,
    is_bti,
    slug,
)

BIDS_ENDINGS = frozenset(
    ".fif .edf .bdf .vhdr .set .ds .sqd .con .kdf .raw .mff .mefd .nwb .gz".split()  # noqa: SIM905
)


def bids_sources(
    root: Path,
    *,
    dataset: str = "",
    licence: str = "",
    device: str = "",
    options: ReadOptions | None = None,
    modality: Sequence[str] = (),
) -> list[Source]:
    """Return every EEG, MEG and iEEG recording of a BIDS data set.

    Derivatives, empty-room recordings and the later parts of split files are left out.
    """
    import mne_bids

    root = Path(root)
    description = root / BIDS_DESCRIPTION
    if not description.exists():
        raise ValueError(f"{root}: is no BIDS data set: it has no {BIDS_DESCRIPTION}")
    try:
        described = json.loads(description.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{description}: is not valid JSON ({error})") from None
    dataset = dataset or slug(root.absolute().name)
    licence = licence or str(described.get("License") or "")
    kinds = tuple(modality) or tuple(MODALITIES)
    with quiet_mne():
        found = mne_bids.find_matching_paths(
            root, datatypes=list(kinds), ignore_json=True, ignore_nosub=True, check=False
        )
    sources = []
    for item in found:
        path = Path(item.fpath)
        if item.suffix not in kinds or not _is_bids_recording(path):
            continue
        if item.subject == "emptyroom" or (item.split and int(item.split) > 1):
            continue
        sources.append(
            Source(
                path=path,
                id=file_id(path.with_name(_short(path)), dataset, path.parent),
                dataset=dataset,
                subject=item.subject or "",
                session=item.session or "",
                task=item.task or "",
                run=item.run or "",
                licence=licence,
                device=device,
                options=options or ReadOptions(),
                modality=tuple(modality),
                bids_root=root,
            )
        )
    if not sources:
        raise ValueError(f"{root}: this BIDS data set holds no EEG, MEG or iEEG recording")
    return check_ids(sources)


def _is_bids_recording(path: Path) -> bool:
    return path.suffix.lower() in BIDS_ENDINGS or (path.is_dir() and is_bti(path))


def _short(path: Path) -> str:
    """Return a BIDS name without ``split-01``."""
    return re.sub(r"_split-\d+", "", path.name)


def read_bids(path: Path, root: Path, options: ReadOptions) -> Recording:
    """Read a recording with its ``channels.tsv``, ``electrodes.tsv`` and bad channels."""
    import mne_bids

    with quiet_mne():
        try:
            item = mne_bids.get_bids_path_from_fname(path, check=False, verbose="error")
            raw = mne_bids.read_raw_bids(item.update(root=root), verbose="error")
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{path}: cannot be read as BIDS: {reason[:300]}") from error
    return recording_from_raw(raw, options, source=str(path))
