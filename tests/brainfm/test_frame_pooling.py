"""Pooling of features: numbers by hand."""

import numpy as np
import pytest

from brainfm.frame_pooling import pool_frames

VALUES = np.array([[[1.0, 2.0], [0.0, 4.0]], [[3.0, 2.0], [2.0, 0.0]]], dtype=np.float32)
"""Two frames, two sources, width two."""


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("flat", [1, 2, 0, 4, 3, 2, 2, 0]),
        ("mean", [2, 2, 1, 2]),
        ("moments", [2, 2, 1, 2, 1, 0, 1, 2]),
        ("all", [1.5, 2]),
        ("power", np.log([5, 4, 2, 8])),
    ],
)
def test_by_hand(pooling, expected):
    np.testing.assert_allclose(pool_frames(VALUES, pooling), expected, rtol=1e-6)


def test_unknown_name():
    with pytest.raises(ValueError, match="pooling must be one of"):
        pool_frames(VALUES, "median")
