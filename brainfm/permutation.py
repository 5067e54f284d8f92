"""Shuffle a million things without listing them.

A pseudo-random permutation of ``0 .. size - 1`` that is evaluated at any position on its own: a
Feistel network with modular addition on a rectangle of at least ``size`` cells, walked until it
lands inside (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"). Pure functions of the
key: any process on any machine and with any version of NumPy computes the same.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

UInts = NDArray[np.uint64]

_TURNS = 3
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(0xD6E8FEB86659FD93)


def mix(value: UInts | np.uint64) -> UInts:
    """Return 64 well-mixed bits for each value (the finaliser of splitmix64)."""
    z = np.array(value, np.uint64)
    # In place: arrays wrap around silently, NumPy scalars would warn.
    z += _GOLDEN
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


@lru_cache(maxsize=1024)
def key_of(*parts: int) -> np.uint64:
    """Return the key that belongs to a sequence of whole numbers (seed, epoch, purpose, ...)."""
    words = np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)
    return np.uint64(words[0])


def combine(key: UInts | np.uint64, value: NDArray[np.int64] | int) -> UInts:
    """Return a new key for every value under a key."""
    return mix(mix(key) ^ np.asarray(value).astype(np.uint64))


def permute(index: NDArray[np.int64], size: NDArray[np.int64] | int, key: UInts) -> NDArray:
    """Return where the permutation with this key puts each index.

    Parameters
    ----------
    index
        (N,) positions, each in ``0 .. size - 1``.
    size
        (N,) or one number: length of what is permuted, at least 1.
    key
        (N,) or one key; the same key and size are the same permutation.

    Returns
    -------
    ndarray of int64, shape (N,)
        Over all indices of one key and size: every number of ``0 .. size - 1`` once.
    """
    limit = np.broadcast_to(np.asarray(size, np.uint64), index.shape)
    keys = np.broadcast_to(np.asarray(key, np.uint64), index.shape)
    rows = np.ceil(np.sqrt(limit)).astype(np.uint64)
    columns = (limit + rows - np.uint64(1)) // rows
    result = _feistel(index.astype(np.uint64), rows, columns, keys)
    while (out := np.flatnonzero(result >= limit)).size:
        result[out] = _feistel(result[out], rows[out], columns[out], keys[out])
    return result.astype(np.int64)


def _feistel(value: UInts, rows: UInts, columns: UInts, key: UInts) -> UInts:
    """Permute ``0 .. rows * columns - 1``: each half is shifted by a hash of the other."""
    row, column = np.divmod(value, columns)
    for turn in range(_TURNS):
        row = (row + mix(key ^ (column * _ODD + np.uint64(2 * turn)))) % rows
        column = (column + mix(key ^ (row * _ODD + np.uint64(2 * turn + 1)))) % columns
    return row * columns + column
