"""Which recordings of a corpus are looked at when a model is judged, and on which devices.

A *sensor array* here is a device and its channels: what makes two recordings of one kind.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.recording_info import RecordingInfo
from brainfm.report_style import label_of
from brainfm.sensors import SENSOR_TYPES
from brainfm.splits import Split

TRAINING = "train"


class Shown(NamedTuple):
    """A recording that is looked at: its side (empty without a split) and place."""

    side: str
    place: int
    info: RecordingInfo


def sides_of(corpus: Corpus, split: Split | None) -> dict[str, list[int]]:
    """Return the places of the recordings of every side; without a split one side, ''."""
    if split is None:
        return {"": list(range(len(corpus)))}
    infos = list(corpus.recordings)
    return {side: split.indices(infos, side, allow_new=True) for side in split.sides}


def held_out_recordings(corpus: Corpus, split: Split | None, most: int) -> list[Shown]:
    """Return up to ``most`` evenly chosen recordings of every side but training.

    Of all recordings where there is no split.
    """
    shown: list[Shown] = []
    for side, indices in sides_of(corpus, split).items():
        if side == TRAINING or not indices:
            continue
        for k in np.linspace(0, len(indices) - 1, min(len(indices), most)).round().astype(int):
            shown.append(Shown(side, indices[k], corpus.recordings[indices[k]]))
    return shown


def array_name(info: RecordingInfo) -> str:
    """Return device and channels of a recording: what makes two sensor arrays of one kind."""
    counts = [
        f"{info.types[kind]} {label_of(kind, info.types[kind])}"
        for kind in SENSOR_TYPES
        if info.types.get(kind)
    ]
    return f"{info.device or 'unknown device'}, {' + '.join(counts)}"


def by_array(infos: Sequence[RecordingInfo]) -> dict[str, list[int]]:
    """Return the places of recordings by :func:`array_name`."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, info in enumerate(infos):
        groups[array_name(info)].append(index)
    return dict(groups)


def matching_encoder(folder: Path, corpus: Corpus | None, device: str) -> Encoder:
    """Load a checkpoint folder and check that the corpus was prepared as its training data."""
    encoder = Encoder.from_pretrained(folder).to(device)
    made_with = encoder.model.record.processing.settings()
    if corpus is not None and made_with != corpus.config.settings():
        raise ValueError(
            f"{folder} was trained on recordings prepared in another way than {corpus.path}; "
            "prepare them again with its settings"
        )
    return encoder
