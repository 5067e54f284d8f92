"""The manifests of what a model was trained on, kept beside its weights.

A training run and a checkpoint folder hold ``split-DIGEST.json`` for every split that any stage was
trained by: whoever has the checkpoint can tell what it has seen.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from brainfm.splits import Split

STAGES = ("tokenizer", "masked_model", "finetuning")
"""Parts of a model, and what became of all of them together: each may have a split of its own."""
TRAINED_ON = ("train", "validation")
"""Sides that have had a say: validation chose the weights that were kept."""


def split_file(digest: str) -> str:
    """Return the name under which the split of this digest is kept."""
    return f"split-{digest[:16]}.json"


def keep_split(folder: str | Path, split: Split) -> Path:
    """Write a split's manifest into a run or checkpoint folder, unless it is there."""
    path = Path(folder) / split_file(split.digest)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        split.save(path)
    return path


def read_kept_split(folder: str | Path, digest: str) -> Split | None:
    """Return the split of this digest if a folder keeps it.

    Raises
    ------
    ValueError
        The file is damaged, or another split under this name.
    """
    path = Path(folder) / split_file(digest)
    if not digest or not path.is_file():
        return None
    split = Split.load(path)
    if split.digest != digest:
        raise ValueError(
            f"{path} holds the split {split.digest[:12]}, not {digest[:12]}; restore the file"
        )
    return split


def split_digests(training: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of the split that each stage was trained by, where it is recorded.

    Parameters
    ----------
    training
        ``ModelRecord.training``.
    """
    found = {}
    for stage in STAGES:
        described = training.get(stage)
        digest = described.get("split_digest") if isinstance(described, Mapping) else None
        if digest:
            found[stage] = str(digest)
    return found


def collect_splits(
    training: Mapping[str, Any], folders: Iterable[str | Path], given: Iterable[Split] = ()
) -> tuple[Split, ...]:
    """Return the splits that a model was trained by, each once, from where they are kept.

    Parameters
    ----------
    training
        ``ModelRecord.training``.
    folders
        Runs and checkpoints to look in, in this order.
    given
        Further splits; each must be one of those looked for.

    Raises
    ------
    ValueError
        A given split is none that the model was trained by.
    """
    wanted = split_digests(training)
    by_digest = {split.digest: split for split in given}
    foreign = sorted(set(by_digest) - set(wanted.values()))
    if foreign:
        stages = ", ".join(f"{stage}: {digest[:12]}" for stage, digest in wanted.items())
        raise ValueError(
            f"the split {foreign[0][:12]} that was given is none the model was trained by "
            f"({stages or 'which are not recorded'})"
        )
    for digest in wanted.values():
        for folder in folders:
            if digest not in by_digest and (split := read_kept_split(folder, digest)):
                by_digest[digest] = split
    return tuple(by_digest[d] for d in dict.fromkeys(wanted.values()) if d in by_digest)


def missing_splits(training: Mapping[str, Any], splits: Iterable[Split]) -> list[str]:
    """Return, in words, the stages whose split is not among ``splits``."""
    there = {split.digest for split in splits}
    return [
        f"the {stage.replace('_', ' ')} was trained by the split {digest[:12]}"
        for stage, digest in split_digests(training).items()
        if digest not in there
    ]
