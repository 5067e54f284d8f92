"""A salt by which few units are on all sides.

Hashes give each unit a side by chance: of ten people none is in a side of one twentieth in six of
ten corpora. Another salt is another throw, that still knows nothing of what is in the recordings.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from brainfm.recording_info import RecordingInfo
from brainfm.splits import Split, SplitConfig, make_split, unit_of

FEW = 100
"""Units up to which a side can be empty by chance: one of a twentieth is in 6 of 1000 corpora."""

THROWS = 1000


def split_with_all_sides(
    infos: Iterable[RecordingInfo],
    config: SplitConfig,
    *,
    shared: Mapping[str, str] | None = None,
) -> Split:
    """Divide by ``config``, or by the first of the salts 1, 2, ... that leaves no side empty.

    Parameters
    ----------
    infos, config, shared
        As for :func:`~brainfm.splits.make_split`.

    Returns
    -------
    Split
        That of ``config`` where no salt serves, where there are many units, or where no data set
        may have the sides that are empty.
    """
    infos = list(infos)
    first = make_split(infos, config, shared=shared)
    n_units = len({unit_of(info, config.by) for info in infos})
    if not empty_sides(first, infos) or n_units > FEW:
        return first
    for salt in range(1, THROWS + 1):
        other = dataclasses.replace(config, salt=str(salt))
        split = make_split(infos, other, shared=shared)
        if not empty_sides(split, infos):
            return split
    return first


def empty_sides(split: Split, infos: Iterable[RecordingInfo]) -> list[str]:
    """Return the sides that no recording is on, though some data set may have it."""
    config = split.config
    given = [config.dataset_fractions.get(info.dataset, config.fractions) for info in infos]
    return [
        side
        for side, entries in split.sides.items()
        if not entries and any(shares.get(side, 0) > 0 for shares in given)
    ]
