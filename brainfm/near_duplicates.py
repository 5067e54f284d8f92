"""Clusters of near-identical images, so that they can be kept on one side of a split.

A decoder that has seen a picture's twin in training needs no brain to draw it. Images whose
features are more alike than a threshold are linked; what is linked, directly or through others, is
one cluster, and its name is the content id of the group that trials are divided by.

Shapes: N images, D features.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from brainfm.recording_info import content_hash

BLOCK = 2048


def thumbnails(images: Tensor, *, size: int = 16) -> Tensor:
    """Return small copies (N, 3 * ``size`` ** 2) of images (N, 3, H, W), mean free.

    Features for when no network is at hand: they find copies, crops of a few percent, changes of
    brightness and compression, not another view of the same thing.
    """
    small = F.interpolate(images.float(), (size, size), mode="area").flatten(1)
    return small - small.mean(1, keepdim=True)


def clusters(features: Tensor, *, threshold: float = 0.95) -> np.ndarray:
    """Return the number (N,) of each image's cluster, from 0 in the order of first images.

    Parameters
    ----------
    features
        (N, D), compared by cosine.
    threshold
        Cosine from which two images are linked, in (-1, 1].
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if features.ndim != 2 or not torch.isfinite(features).all():
        raise ValueError(f"features must be a finite table (N, D), got {tuple(features.shape)}")
    if not -1 < threshold <= 1:
        raise ValueError(f"threshold must lie in (-1, 1], got {threshold}")
    rows, columns = [], []
    unit = F.normalize(features.double(), dim=1)
    # A cosine of equal rows may be one less a rounding.
    least = threshold - 1e-9
    for start in range(0, len(unit), BLOCK):
        alike = (unit[start : start + BLOCK] @ unit.T >= least).nonzero().cpu().numpy()
        rows.append(alike[:, 0] + start)
        columns.append(alike[:, 1])
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(row), dtype=bool), (row, column)), shape=(len(unit),) * 2)
    found = connected_components(graph, directed=False)[1]
    first = np.unique(found, return_index=True)[1]
    rank: np.ndarray = np.argsort(np.argsort(first))[found]
    return rank


def cluster_groups(
    ids: Sequence[str], features: Tensor, *, threshold: float = 0.95
) -> dict[str, str]:
    """Return for each image's content id the content id of its cluster.

    It depends on the members only, not on their order; use it as the ``group`` of trials and split
    by "group".

    Raises
    ------
    ValueError
        An id is there twice, or ids and features differ in number.
    """
    if len(set(ids)) != len(ids) or len(ids) != len(features):
        raise ValueError(
            f"{len(ids)} ids ({len(set(ids))} different) for features of {len(features)} images"
        )
    number = clusters(features, threshold=threshold)
    members: dict[int, list[str]] = {}
    for content, cluster in zip(ids, number.tolist(), strict=True):
        members.setdefault(cluster, []).append(content)
    names = {cluster: content_hash(sorted(inside)) for cluster, inside in members.items()}
    return {c: names[cluster] for c, cluster in zip(ids, number.tolist(), strict=True)}


def on_two_sides(
    groups: Mapping[str, str], sides: Mapping[str, Sequence[str]]
) -> list[tuple[str, str, str, str]]:
    """Return clusters that sides of a split share, as (side, image, other side, its image).

    Parameters
    ----------
    groups
        By image, its cluster (:func:`cluster_groups`).
    sides
        By name of the side, the images.
    """
    found, owner = [], dict[str, tuple[str, str]]()
    for side, images in sides.items():
        for image in images:
            before, twin = owner.setdefault(groups[image], (side, image))
            if before != side:
                found.append((before, twin, side, image))
    return found
