"""What was seen as the thing to decode: features of the pictures that were shown.

Shapes: N trials, M pictures or concepts, D features.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from brainfm.image_embedding import SMALL, ImageEmbedder
from brainfm.image_files import image_files, read_image
from brainfm.near_duplicates import cluster_groups, on_two_sides, thumbnails
from brainfm.network_features import ImageInput
from brainfm.target_audit import audit_contents
from brainfm.trial_splits import SIDES, TrialSplit
from brainfm.trials import CONTENTS, Trials

from .targets import Targets, TargetSource

Gallery = Literal["exact_image", "concept_centre"]
Centre = Literal["all", "others"]
THUMBNAIL = 64
"""Pixels at which pictures are read to look for near copies."""


class ImageTargets(TargetSource):
    """Features of pictures, or the centres of those of their concepts.

    The stimulus of a trial is the content id of its picture's file
    (:func:`brainfm.trial_events.content_id` of its bytes), whatever the file is called.

    Parameters
    ----------
    images
        Picture files, folders with such, or patterns (``**`` too).
    model
        ``small`` for the network that comes with the package, the folder of a transformers model
        (CLIP, DINOv2, ViT), or its name on the hub.
    network, given
        A module in place of ``model``, and how it wants pictures.
    layer
        Layer of the features; empty: the model's embedding.
    gallery
        ``exact_image``: which picture was shown, among those of the side; ``concept_centre``: which
        concept it is of, by the mean features of its pictures. The two differ in difficulty: name
        the gallery beside every number.
    concepts
        Table (TSV, else CSV) with columns ``file`` and ``concept``, files by name or by the end of
        their path; empty: the folder that a picture lies in is its concept.
    centre
        Pictures of a concept's centre: ``all`` in ``images``, or the ``others``, which no trial
        shows.
    twins
        Cosine of thumbnails from which two pictures are near copies, which the audit must not find
        on two sides of a split by content (:mod:`brainfm.near_duplicates`); 0: not looked for.
    cache
        Folder that keeps features for other folds and runs; empty: none are kept.
    """

    def __init__(
        self,
        images: Sequence[str],
        model: str = SMALL,
        network: nn.Module | None = None,
        given: ImageInput | None = None,
        layer: str = "",
        gallery: Gallery = "exact_image",
        concepts: str = "",
        centre: Centre = "all",
        twins: float = 0.0,
        cache: str = "",
    ) -> None:
        for name, value, choice in (("gallery", gallery, Gallery), ("centre", centre, Centre)):
            if value not in get_args(choice):
                raise ValueError(f"{name} must be {' or '.join(get_args(choice))}, got {value!r}")
        if not 0 <= twins <= 1:
            raise ValueError(f"twins must be a cosine in [0, 1], 0 for not at all, got {twins}")
        if gallery == "exact_image" and (concepts or centre != "all"):
            raise ValueError("concepts and centre are for gallery 'concept_centre' only")
        self.images, self.gallery, self.centre = tuple(images), gallery, centre
        self.concepts = Path(concepts).expanduser() if concepts else None
        self.model, self.network, self.given, self.layer = model, network, given, layer
        self.twins = twins
        self.cache = Path(cache).expanduser() if cache else None

    def make(self, trials: Trials) -> Targets:
        """Return pictures by content id, or concepts by name, and their features (M, D).

        Raises
        ------
        ValueError, FileNotFoundError
            A trial whose stimulus is none of ``images``; a picture without a concept; a concept
            without a picture for its centre.
        """
        paths = image_files(self.images)
        stimuli = [trial.stimulus for trial in trials.rows]
        missing = [k for k, stimulus in enumerate(stimuli) if stimulus not in paths]
        if missing:
            trial = trials.rows[missing[0]]
            raise FileNotFoundError(
                f"{len(missing)} of {len(stimuli)} trials show no picture of the {len(paths)} in "
                f"{', '.join(self.images)}, first the one at {trial.onset:g} s of recording "
                f"{trial.recording} (stimulus {trial.stimulus!r}, {trial.label}); a picture is "
                "known by the bytes of its file: name the folder of the originals in 'images'"
            )
        embed = ImageEmbedder(
            self.model,
            network=self.network,
            given=self.given,
            layer=self.layer,
            cache=self.cache,
        )
        if self.gallery == "exact_image":
            ids = sorted(set(stimuli))
            values, things = embed({name: paths[name] for name in ids}), stimuli
        else:
            concept = picture_concepts(paths, self.concepts)
            things = [self._concept(concept, name, paths) for name in stimuli]
            ids = sorted(set(things))
            values = self._centres(ids, concept, set(stimuli), paths, embed)
        place = {name: row for row, name in enumerate(ids)}
        return Targets(
            ids=np.array(ids, dtype=np.str_),
            rows=np.array([place[name] for name in things], dtype=np.int64),
            values=values,
        )

    def audit(self, trials: Trials, targets: Targets, split: TrialSplit) -> list[str]:
        """Return contents, or near copies of pictures, on two sides of a split by content."""
        findings = audit_contents(trials, split, targets.rows, targets.ids)
        if self.twins and split.config.by in CONTENTS:
            findings += self._twins(trials, split)
        return findings

    def _concept(self, concept: Mapping[str, str], name: str, paths: Mapping[str, Path]) -> str:
        if name not in concept:
            raise ValueError(f"{self.concepts}: has no concept for the picture {paths[name]}")
        return concept[name]

    def _centres(
        self,
        ids: Sequence[str],
        concept: Mapping[str, str],
        shown: set[str],
        paths: Mapping[str, Path],
        embed: ImageEmbedder,
    ) -> NDArray[np.float32]:
        members: dict[str, list[str]] = {name: [] for name in ids}
        for content, name in sorted(concept.items()):
            if name in members and (self.centre == "all" or content not in shown):
                members[name].append(content)
        empty = [name for name, inside in members.items() if not inside]
        if empty:
            raise ValueError(
                f"{len(empty)} concepts have no picture but those that were shown, e.g. "
                f"{empty[0]}; add other pictures of them to 'images', or use centre 'all'"
            )
        return np.stack(
            [embed({c: paths[c] for c in members[name]}).mean(0) for name in ids]
        ).astype(np.float32)

    def _twins(self, trials: Trials, split: TrialSplit) -> list[str]:
        paths = image_files(self.images)
        ids = sorted({trial.stimulus for trial in trials.rows})
        small = [thumbnails(read_image(paths[c], THUMBNAIL)[None]) for c in ids]
        groups = cluster_groups(ids, torch.cat(small), threshold=self.twins)
        findings = []
        for number, fold in enumerate(split.folds):
            sides = {
                side: sorted({trials.rows[k].stimulus for k in fold.indices(side)})
                for side in SIDES
            }
            pairs = [p for p in on_two_sides(groups, sides) if p[1] != p[3]]
            if pairs:
                side, one, other_side, other = pairs[0]
                findings.append(
                    f"fold {number}: {len(pairs)} pictures have a near copy on another side, e.g. "
                    f"{paths[one].name} ({side}) and {paths[other].name} ({other_side}); give both "
                    f"one group and split by group"
                )
        return findings


def picture_concepts(paths: Mapping[str, Path], table: Path | None) -> dict[str, str]:
    """Return the concept of pictures by content id: the table's, or the name of their folder.

    Raises
    ------
    ValueError, FileNotFoundError
        No such table, columns that are missing, a file with two concepts.
    """
    if table is None:
        return {content: path.parent.name for content, path in paths.items()}
    if not table.is_file():
        raise FileNotFoundError(f"no table of concepts {table}")
    named: dict[str, str] = {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, delimiter="\t" if table.suffix == ".tsv" else ",")
        columns = list(rows.fieldnames or ())
        if not {"file", "concept"} <= set(columns):
            raise ValueError(
                f"{table}: needs columns file and concept, has {', '.join(columns) or 'none'}"
            )
        for row in rows:
            if named.setdefault(row["file"], row["concept"]) != row["concept"]:
                raise ValueError(f"{table}, line {rows.line_num}: {row['file']} has two concepts")
    found = {}
    for content, path in paths.items():
        # A table names a file alone or with some of its folders.
        ends = ("/".join(path.parts[-depth:]) for depth in range(1, len(path.parts) + 1))
        name = next((end for end in ends if end in named), None)
        if name is not None:
            found[content] = named[name]
    return found
