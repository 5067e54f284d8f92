"""What is taken out of runs of voxels, where voxels lie, and blocks in FSL's files."""

import numpy as np
import pytest

from brainfm.voxel_series import bright_voxels, condition_events, standardised_run, voxel_places

nib = pytest.importorskip("nibabel", reason="reading NIfTI needs nibabel")


def test_a_run_loses_drift_scale_and_confounds_and_keeps_the_rest():
    rng = np.random.default_rng(0)
    times, movement = np.linspace(0, 1, 200), rng.standard_normal((200, 2))
    signal = np.sin(40 * times)[:, None] * [1.0, 0.5, 0.0]
    clean = signal + 0.01 * rng.standard_normal((200, 3))
    dirty = 900 + 50 * clean + 300 * times[:, None] + movement @ rng.normal(size=(2, 3)) * 200
    found = standardised_run(dirty, drift=1, confounds=movement)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(found.std(0), 1)
    assert abs(np.corrcoef(found[:, 0], clean[:, 0])[0, 1]) > 0.99
    assert np.abs(found.T @ times).max() < 1e-6
    assert np.abs(found.T @ (movement - movement.mean(0))).max() < 1e-6
    # Neither unit nor gain matters.
    other = standardised_run(1e-6 * dirty + 3, confounds=movement)
    np.testing.assert_allclose(other, found, atol=1e-6)


def test_a_voxel_that_never_changes_is_zero_and_not_noise():
    series = np.random.default_rng(0).standard_normal((30, 2))
    series[:, 1] = 1234.5678
    assert (standardised_run(series)[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drift": -1}, "drift must be a degree"),
        ({"drift": 9}, "10 volumes are too few"),
        ({"confounds": np.zeros((9, 1))}, "confounds have 9 rows for 10 volumes"),
    ],
)
def test_runs_that_cannot_be_cleaned_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        standardised_run(np.random.default_rng(0).standard_normal((10, 2)), **change)
    with pytest.raises(ValueError, match="not finite"):
        standardised_run(np.full((10, 2), np.nan))


def test_bright_voxels_are_those_of_the_head_in_all_runs():
    rng = np.random.default_rng(0)
    values = 20 * rng.random((6, 5, 4, 8))
    values[1:4, 1:4, 1:3] += 1000
    runs = [nib.Nifti1Image(values + k, np.eye(4)) for k in range(2)]
    mask = np.asarray(bright_voxels(runs).dataobj)
    assert mask[1:4, 1:4, 1:3].all()
    assert mask.sum() == 18
    with pytest.raises(ValueError, match="different grids"):
        bright_voxels([runs[0], nib.Nifti1Image(values[1:], np.eye(4))])
    with pytest.raises(ValueError, match="the images are empty"):
        bright_voxels([nib.Nifti1Image(0 * values, np.eye(4))])


def test_places_of_voxels_are_in_metres_in_the_order_of_their_series():
    from brainfm.bold import voxel_series

    mask = np.zeros((2, 3, 1), np.uint8)
    mask[1, 0, 0] = mask[0, 2, 0] = 1
    affine = np.array([[-3, 0, 0, 60], [0, 2, 0, -30], [0, 0, 2, 0], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(mask, affine)
    names, places = voxel_places(image)
    assert names == ("0-2-0", "1-0-0")
    np.testing.assert_allclose(places, [[0.060, -0.026, 0], [0.057, -0.030, 0]])
    bold = np.arange(6.0).reshape(2, 3, 1, 1) * [1.0, 10.0]
    series = voxel_series(nib.Nifti1Image(bold, affine), image)
    np.testing.assert_array_equal(series, [[2, 3], [20, 30]])


def test_blocks_of_a_condition(tmp_path):
    path = tmp_path / "cond001.txt"
    path.write_text("15.0\t22.5 1\n\n100 22.5 0\n200 10\n")
    found = condition_events(path, "house")
    assert [(e.onset, e.duration, e.name) for e in found] == [
        (15.0, 22.5, "house"),
        (200.0, 10.0, "house"),
    ]
    path.write_text("onset duration\n")
    with pytest.raises(ValueError, match=r"cond001.txt, line 1: 'onset duration' is not onset"):
        condition_events(path, "house")
    with pytest.raises(FileNotFoundError, match="blocks of condition 'house' are not there"):
        condition_events(tmp_path / "none.txt", "house")
