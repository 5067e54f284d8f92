"""Which parts of a corpus windows may come from, and which recordings may share a batch.

The quality track flags seconds that are clipped, flat, jump or were not recorded. A window may
hold a given share of them at most; what satisfies that is cut into stretches, on which the sampler
works.

Shapes: R recordings, I stretches, E flagged stretches of a recording.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainfm.corpus import Corpus
from brainfm.sampling import Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretches:
    """Uninterrupted pieces of recordings: ``recording``, ``begin``, ``length``, all (I,)."""

    recording: Ints
    begin: Ints
    length: Ints


def allowed_stretches(
    flagged: NDArray[np.int64], n_times: int, window: int, max_bad: float
) -> list[tuple[int, int]]:
    """Return pieces of a recording in which every window holds few enough flagged samples.

    Parameters
    ----------
    flagged
        (E, 2) first and last + 1 sample of each flagged part, in order, without overlap.
    n_times, window
        Samples of the recording and of a window.
    max_bad
        Flagged samples that a window may hold.

    Returns
    -------
    list of (begin, length)
        In order, without overlap, none shorter than a window.
    """
    last = n_times - window
    if last < 0:
        return []
    if len(flagged) == 0:
        return [(0, n_times)]
    # The flagged samples in a window are a piecewise linear function of its first sample, which
    # bends only where an edge of the window meets an edge of a flagged part.
    edges = np.clip(flagged, 0, n_times).reshape(-1)
    bends = np.unique(np.clip(np.concatenate([[0, last], edges, edges - window]), 0, last))
    amount = np.concatenate([[0.0], np.cumsum(np.diff(edges)[::2])])
    total = np.repeat(amount, 2)[1:-1]

    def bad(start: NDArray) -> NDArray:
        stop = np.interp(start + window, edges, total, left=0.0)
        return stop - np.interp(start, edges, total, left=0.0)

    found: list[list[int]] = []
    height = bad(bends)
    for k, low in enumerate(bends.tolist()):
        high = int(bends[min(k + 1, len(bends) - 1)])
        first, final = float(height[k]), float(height[min(k + 1, len(bends) - 1)])
        if min(first, final) > max_bad:
            continue
        slope = (final - first) / max(high - low, 1)
        start = low if first <= max_bad else int(np.ceil(low + (max_bad - first) / slope))
        stop = high if final <= max_bad else int(np.floor(low + (max_bad - first) / slope))
        if found and start <= found[-1][1] + 1:
            found[-1][1] = max(stop, found[-1][1])
        elif start <= stop:
            found.append([start, stop])
    pieces, end = [], 0
    for start, stop in found:
        # Two allowed runs of starts may share samples; the later one begins where the first ended.
        start = max(start, end)
        if start <= stop:
            end = stop + window
            pieces.append((start, end - start))
    return pieces


def find_stretches(
    corpus: Corpus, recordings: Sequence[int], window: int, max_bad_share: float
) -> Stretches:
    """Return the stretches of some recordings whose windows hold at most this share of flags."""
    if not 0 <= max_bad_share <= 1:
        raise ValueError(f"max_bad_share must lie in [0, 1], got {max_bad_share}")
    columns = corpus.columns
    rows: list[tuple[int, int, int]] = []
    for i in recordings:
        n_times, sfreq = int(columns.n_times[i]), float(columns.sfreq[i])
        seconds = columns.flags[columns.flag_begin[i] : columns.flag_begin[i + 1], :2]
        if len(seconds) == 0 or max_bad_share == 1:
            rows.append((i, 0, n_times))
            continue
        edges = seconds * sfreq
        flagged = np.column_stack([np.floor(edges[:, 0]), np.ceil(edges[:, 1])]).astype(np.int64)
        pieces = allowed_stretches(flagged, n_times, window, max_bad_share * window)
        rows.extend((i, begin, length) for begin, length in pieces)
    table = np.array(rows, np.int64).reshape(-1, 3)
    return Stretches(recording=table[:, 0], begin=table[:, 1], length=table[:, 2])


def kinds_of(type_counts: NDArray[np.int32], ratio: float = 1.25) -> Ints:
    """Return the kind of each recording, (R,): equal for those that may share a batch.

    They have the same set of sensor types, and channels that differ by less than ``ratio``, which
    bounds the padding.
    """
    if len(type_counts) == 0:
        return np.zeros(0, np.int64)
    sets = (type_counts > 0) @ (1 << np.arange(type_counts.shape[1]))
    buckets = np.floor(np.log(np.maximum(type_counts.sum(axis=1), 1)) / np.log(ratio) + 1e-9)
    _, kinds = np.unique(np.column_stack([sets, buckets]), axis=0, return_inverse=True)
    return np.asarray(kinds, np.int64).reshape(-1)
