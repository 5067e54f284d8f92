"""A salt by which few units are on all sides.

Hashes give each unit a side by chance: of ten people none is in a side of one twentieth in six of
ten corpora. Another salt is another throw, that still knows nothing of what is in the recordings.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from brainfm.copies import linked
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

    Where there are fewer units than sides, units that share samples being one, the sides with the
    largest shares are to be filled.

    Parameters
    ----------
    infos, config, shared
        As for :func:`~brainfm.splits.make_split`.

    Returns
    -------
    Split
        That of ``config`` where there are many units, or where no salt serves.
    """
    infos = list(infos)
    first = make_split(infos, config, shared=shared)
    families = linked(infos, lambda info: unit_of(info, config.by), shared or {})
    wanted = _sides_to_fill(infos, config, len(set(families.values())))
    if wanted <= _filled(first) or len(families) > FEW:
        return first
    one_each = _one_of_each_unit(infos, config)
    for salt in range(1, THROWS + 1):
        other = dataclasses.replace(config, salt=str(salt))
        if wanted <= _filled(make_split(one_each, other)):
            split = make_split(infos, other, shared=shared)
            if wanted <= _filled(split):
                return split
    return first


def empty_sides(split: Split, infos: Iterable[RecordingInfo]) -> list[str]:
    """Return the sides that no recording is on, though some data set may have it."""
    infos = list(infos)
    wanted = _sides_to_fill(infos, split.config, len(split.sides))
    return [side for side in split.sides if side in wanted - _filled(split)]


def _sides_to_fill(infos: list[RecordingInfo], config: SplitConfig, most: int) -> set[str]:
    """Return the sides that data sets may have, at ``most`` so many, the largest shares first."""
    given = [config.dataset_fractions.get(info.dataset, config.fractions) for info in infos]
    shares = {side: max((g.get(side, 0.0) for g in given), default=0) for side in config.fractions}
    possible = [side for side, share in shares.items() if share > 0]
    return set(sorted(possible, key=lambda side: -shares[side])[:most])


def _filled(split: Split) -> set[str]:
    return {side for side, entries in split.sides.items() if entries}


def _one_of_each_unit(infos: list[RecordingInfo], config: SplitConfig) -> list[RecordingInfo]:
    """Return a recording of each unit: enough to see quickly whether a salt may serve."""
    found: dict[tuple[str, str], RecordingInfo] = {}
    for info in infos:
        found.setdefault((unit_of(info, config.by), info.device), info)
    return list(found.values())
