"""One number per sensor type that takes a recording from SI units to about one, and back.

Shapes: C channels, T samples.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from brainfm.tape import Block, copied

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

IQR_OF_UNIT_NORMAL = 1.3489795003921634
CHANNELS_PER_SORT = 16

VALUES_AT_ONCE = 65_536
"""Numbers that are scaled together: half a megabyte, which stays in the processor's cache."""


def channel_spread(pieces: Iterable[Block]) -> FloatArray:
    """Return each channel's robust standard deviation (C,): interquartile range over 1.349.

    Parameters
    ----------
    pieces
        (C, T) and where it is missing, all of them together being what is judged; each is needed
        only until the next is asked for.
    """
    held = list(map(copied, pieces))  # holds no piece while the next is computed
    n_channels = len(held[0][0])
    out = np.zeros(n_channels)
    for first in range(0, n_channels, CHANNELS_PER_SORT):
        rows = slice(first, first + CHANNELS_PER_SORT)
        x = np.concatenate([piece[rows] for piece, _ in held], axis=1)
        if all(missing is None for _, missing in held):
            low, high = np.quantile(x, [0.25, 0.75], axis=1)
            out[rows] = (high - low) / IQR_OF_UNIT_NORMAL
            continue
        gone = np.concatenate(
            [np.zeros_like(p[rows], bool) if m is None else m[rows] for p, m in held], axis=1
        )
        for i in range(len(x)):
            kept = x[i, ~gone[i]]
            if len(kept):
                low, high = np.quantile(kept, [0.25, 0.75])
                out[first + i] = (high - low) / IQR_OF_UNIT_NORMAL
    return out


def type_scales(spread: FloatArray, good: BoolArray, types: NDArray[np.str_]) -> dict[str, float]:
    """Return the median spread of the good channels of every sensor type, SI units.

    A type without a good channel takes all its channels; where even those do not move, 1.
    """
    scales = {}
    for kind in dict.fromkeys(types.tolist()):
        of_kind = types == kind
        live = spread[of_kind & good]
        live = live[live > 0]
        if not len(live):
            live = spread[of_kind & (spread > 0)]
        scales[kind] = float(np.median(live)) if len(live) else 1.0
    return scales


def to_half(x: FloatArray, scale: FloatArray, limit: float) -> NDArray[np.float16]:
    """Divide (C, T) by each channel's scale (C,), clip to +-``limit`` and round to float16."""
    out = np.empty(x.shape, np.float16)
    at_once = max(1, VALUES_AT_ONCE // max(1, x.shape[1]))
    for first in range(0, len(x), at_once):
        rows = slice(first, first + at_once)
        y = x[rows] / scale[rows, None]
        out[rows] = np.clip(y, -limit, limit, out=y)
    return out
