"""How the features of one recording or trial become one vector, without anything learned.

Shapes: P frames, N sources, D width.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

FramePooling = Literal["flat", "mean", "moments", "all", "power"]
"""``flat``: nothing is lost, (P N D). ``mean``: over frames, (N D). ``moments``: mean and standard
deviation over frames, (2 N D). ``all``: mean over frames and sources, (D). ``power``: logarithm of
the mean square over frames, (N D)."""

TINY = 1e-12


def check_pooling(pooling: str, *, name: str = "pooling") -> None:
    """Raise ValueError if there is no such pooling."""
    if pooling not in get_args(FramePooling):
        raise ValueError(f"{name} must be one of {get_args(FramePooling)}, got {pooling!r}")


def pool_frames(values: NDArray[np.float32], pooling: FramePooling) -> NDArray[np.float32]:
    """Return features (P, N, D) as one vector; see :data:`FramePooling`."""
    check_pooling(pooling)
    if pooling == "flat":
        return values.ravel()
    if pooling == "all":
        return values.mean(axis=(0, 1))
    if pooling == "power":
        return np.log(np.square(values).mean(axis=0) + TINY).ravel()
    mean = values.mean(axis=0).ravel()
    if pooling == "mean":
        return mean
    return np.concatenate([mean, values.std(axis=0).ravel()])
