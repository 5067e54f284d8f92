"""How the features of one recording or trial become one vector, without anything learned.

Shapes: P frames, N sources, D width.
"""

from typing import Literal, get_args

import numpy as np
from einops import einsum
from numpy.typing import NDArray

FramePooling = Literal[
    "flat", "mean", "moments", "all", "power", "source_covariance", "feature_covariance"
]
"""``flat``: nothing is lost, (P N D). ``mean``: over frames, (N D). ``moments``: mean and standard
deviation over frames, (2 N D). ``all``: mean over frames and sources, (D). ``power``: logarithm of
the mean square over frames, (N D). ``source_covariance``, ``feature_covariance``: logarithm of the
covariance matrix of sources (over frames and features) or of features (over frames and sources),
(N (N + 1) / 2) or (D (D + 1) / 2): distances between them are those of the log-Euclidean metric."""

TINY = 1e-12
SHRINKAGE = 1e-3
"""Share of the mean variance that is added to every variance: few frames give singular matrices."""


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
    if pooling == "source_covariance":
        return _log_covariance(values, "p n d, p m d -> n m")
    if pooling == "feature_covariance":
        return _log_covariance(values, "p n d, p n e -> d e")
    mean = values.mean(axis=0).ravel()
    if pooling == "mean":
        return mean
    return np.concatenate([mean, values.std(axis=0).ravel()])


def _log_covariance(values: NDArray[np.float32], axes: str) -> NDArray[np.float32]:
    """Return the upper half of the logarithm of a covariance matrix of features (P, N, D).

    Off the diagonal its entries count sqrt(2) times, so that the vector is as long as the matrix.
    """
    centred = values.astype(np.float64) - values.mean(axis=0)
    covariance = einsum(centred, centred, axes)
    covariance *= len(covariance) / centred.size
    size = len(covariance)
    ridge = SHRINKAGE * np.trace(covariance) / size + TINY
    power, directions = np.linalg.eigh(covariance + ridge * np.eye(size))
    logarithm = (directions * np.log(power)) @ directions.T
    rows, columns = np.triu_indices(size)
    weights = np.where(rows == columns, 1.0, np.sqrt(2))
    return (weights * logarithm[rows, columns]).astype(np.float32)
