"""Responses as weights of frames: what falls where, and which lag is found."""

import numpy as np
import pytest
import torch
from brainfm.finetune.lag_layers import (
    LagConfig,
    Query,
    Response,
    basis_in_frames,
    in_frames,
    lags_of,
)

from brainfm.hrf import ResponseConfig, response_basis

WINDOW = (-20.0, 0.0)


def canonical():
    return response_basis(20.0, ResponseConfig(derivatives=0))


def test_a_response_of_one_moment_weighs_the_frame_it_falls_in():
    # At 4 Hz the eleventh sample is from 2.5 to 2.75 s before the volume: of ten frames of 2 s the
    # last but one covers 2 to 4 s.
    one = np.zeros((1, 60))
    one[0, 10] = 3.0
    weights = in_frames(one, 4.0, WINDOW, 10)
    assert weights[0] == pytest.approx(3.0 * np.eye(10)[8])


def test_a_window_that_ends_before_the_volume_has_the_lags_it_covers():
    one = np.zeros((1, 60))
    one[0, 10] = 1.0
    assert in_frames(one, 4.0, (-22.0, -2.0), 10)[0] == pytest.approx(np.eye(10)[9])


def test_the_canonical_response_is_largest_five_seconds_before_the_volume():
    weights = basis_in_frames(ResponseConfig(derivatives=0), WINDOW, 20)
    assert weights.shape == (1, 20)
    assert weights[0].argmax() in (14, 15)
    # Of a response whose sum is 1, what is over after 20 s is missing.
    assert weights[0].sum() == pytest.approx(canonical()[0, : 20 * 20].sum(), abs=1e-6)


def test_boxes_beyond_the_window_are_left_out():
    fir = LagConfig(kind="fir", length=20.0, width=2.0).response
    assert basis_in_frames(fir, WINDOW, 20).shape == (10, 20)
    assert basis_in_frames(fir, (-8.0, 0.0), 8).shape == (4, 8)


@pytest.mark.parametrize(("kind", "error"), [("canonical", 0.5), ("fir", 0.3)])
@pytest.mark.parametrize("lag", [0.0, 0.7, 1.5])
def test_the_lag_of_a_late_response_is_found(kind, error, lag):
    basis = basis_in_frames(LagConfig(kind=kind, width=1.0).response, WINDOW, 40)
    fine = canonical()[0]
    late = np.interp(np.arange(len(fine)) / 20 - lag, np.arange(len(fine)) / 20, fine, left=0)
    shape = in_frames(late[None], 20.0, WINDOW, 40)
    weights = -2.0 * shape @ np.linalg.pinv(basis)  # a region that answers the other way
    assert lags_of(weights, basis, WINDOW) == pytest.approx([lag], abs=error)


@pytest.mark.parametrize("kind", ["canonical", "fir"])
def test_a_layer_starts_as_the_canonical_response(kind):
    layer = Response(LagConfig(kind=kind), WINDOW, 20, 3)
    drive = torch.zeros(1, 20, 3)
    drive[0, 15, 1] = 1.0  # 4 to 5 s before the volume
    with torch.no_grad():
        bold = layer(drive, drive[..., None])
    expected = canonical()[0, 80:100].sum()
    assert bold[0, [0, 2]].tolist() == [0.0, 0.0]
    assert float(bold[0, 1]) == pytest.approx(expected, rel=0.15)


def test_attention_is_a_mean_of_frames_at_first_sight_of_equal_features():
    torch.manual_seed(0)
    layer = Query(2, 5, 3, 4)
    drive = torch.randn(2, 5, 3)
    with torch.no_grad():
        bold = layer(drive, torch.ones(2, 5, 1, 2))
    assert torch.allclose(bold, drive.mean(1), atol=1e-6)


@pytest.mark.parametrize("window", [(-10.0, 2.0), (-1.0, -1.0)])
def test_a_window_must_lie_before_its_volume(window):
    with pytest.raises(ValueError, match="before its volume"):
        basis_in_frames(ResponseConfig(), window, 10)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="derivatives must be 0, 1 or 2, got 3"):
        LagConfig(derivatives=3)
    with pytest.raises(ValueError, match="canonical, fir or query"):
        LagConfig(kind="gamma")  # type: ignore[arg-type]
