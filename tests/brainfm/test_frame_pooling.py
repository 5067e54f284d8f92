"""Pooling of features: numbers by hand."""

import numpy as np
import pytest
from scipy.linalg import logm

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


@pytest.mark.parametrize("pooling", ["source_covariance", "feature_covariance"])
def test_a_covariance_is_that_of_numpy(pooling):
    values = np.random.default_rng(0).standard_normal((50, 3, 4)).astype(np.float32)
    centred = values - values.mean(0)
    rows = centred.transpose(1, 0, 2) if pooling == "source_covariance" else centred.T
    rows = rows.reshape(len(rows), -1).astype(float)
    expected = logm(rows @ rows.T / rows.shape[1])
    found = pool_frames(values, pooling)
    size = len(rows)
    assert found.shape == (size * (size + 1) // 2,)
    np.testing.assert_allclose(np.linalg.norm(found), np.linalg.norm(expected), rtol=0.01)
    diagonal = found[np.cumsum([0, *range(size, 1, -1)])]
    np.testing.assert_allclose(diagonal, np.diag(expected), atol=0.01)


@pytest.mark.parametrize("pooling", ["source_covariance", "feature_covariance"])
def test_a_covariance_of_one_frame_is_finite(pooling):
    assert np.isfinite(pool_frames(VALUES[:1], pooling)).all()


@pytest.mark.parametrize("pooling", ["source_covariance", "feature_covariance"])
def test_a_covariance_does_not_see_the_order_of_frames_or_a_shift(pooling):
    values = np.random.default_rng(0).standard_normal((9, 3, 4)).astype(np.float32)
    found = pool_frames(values, pooling)
    np.testing.assert_allclose(pool_frames(values[::-1], pooling), found, atol=1e-4)
    np.testing.assert_allclose(pool_frames(values + 1, pooling), found, atol=1e-4)


def test_unknown_name():
    with pytest.raises(ValueError, match="pooling must be one of"):
        pool_frames(VALUES, "median")
