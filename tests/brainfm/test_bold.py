"""Regions, confounds, triggers and contrasts of small made images, and of one real experiment."""

import csv
import warnings

import numpy as np
import pytest

pytest.importorskip("nilearn", reason="pip install 'brainfm-toolkit[fmri]'")
import nibabel

from brainfm.bold import (
    check_grid,
    clean_confounds,
    contrast,
    loaded,
    roi_series,
    volume_times,
    voxel_series,
)
from brainfm.hrf import ResponseConfig, at_times, convolved, response_basis

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def image(values, affine=AFFINE):
    return nibabel.Nifti1Image(np.asarray(values), affine)


@pytest.fixture
def bold():
    return np.random.default_rng(0).normal(100, 1, (4, 5, 6, 30)).astype(np.float32)


@pytest.fixture
def labels():
    values = np.zeros((4, 5, 6), dtype=np.int16)
    values[:2, 1], values[3, 2:] = 1, 7
    return values


def test_label_regions_are_means_of_their_voxels(bold, labels):
    found = roi_series(image(bold), image(labels), t_r=2.0, names=("left", "right"))
    assert found.names == ("left", "right")
    for column, label in enumerate((1, 7)):
        np.testing.assert_allclose(
            found.series[:, column], bold[labels == label].mean(0), rtol=1e-5
        )
    assert roi_series(image(bold), image(labels), t_r=2.0).names == ("1", "7")


def test_maps_that_do_not_overlap_are_weighted_means(bold, labels):
    maps = np.stack([labels == 1, labels == 7], axis=3).astype(np.float32)
    found = roi_series(image(bold), image(maps), t_r=2.0)
    assert found.names == ("1", "2")
    for column, label in enumerate((1, 7)):
        np.testing.assert_allclose(
            found.series[:, column], bold[labels == label].mean(0), rtol=1e-4
        )


def test_a_confound_is_taken_out(bold, labels):
    drift = np.sin(np.arange(30) / 4)
    disturbed = bold + 5 * drift.astype(np.float32)
    cleaned = roi_series(image(disturbed), image(labels), t_r=2.0, confounds=drift[:, None])
    raw = roi_series(image(disturbed), image(labels), t_r=2.0)
    assert abs(np.corrcoef(raw.series[:, 0], drift)[0, 1]) > 0.9
    assert abs(np.corrcoef(cleaned.series[:, 0], drift)[0, 1]) < 1e-5


def test_an_atlas_in_another_space_is_refused(bold, labels):
    finer = image(np.repeat(labels, 2, axis=0), np.diag([1.5, 3.0, 3.0, 1.0]))
    with pytest.raises(ValueError, match="resample=True if they agree"):
        roi_series(image(bold), finer, t_r=2.0)
    away = AFFINE.copy()
    away[:3, 3] = 500
    with pytest.raises(ValueError, match="only 0% of the atlas lies in the field of view"):
        roi_series(image(bold), image(labels, away), t_r=2.0, resample=True)
    check_grid(finer, image(bold), resample=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert roi_series(image(bold), finer, t_r=2.0, resample=True).series.shape == (30, 2)


def test_voxels_are_those_of_the_mask(bold, labels):
    np.testing.assert_array_equal(
        voxel_series(image(bold), image(labels)), bold[labels != 0].T.astype(np.float64)
    )
    with pytest.raises(ValueError, match="no voxel"):
        voxel_series(image(bold), image(labels * 0))


def test_files_that_are_missing_or_no_images_are_named(tmp_path, bold, labels):
    with pytest.raises(FileNotFoundError, match=r"atlas: no file .*none.nii"):
        roi_series(image(bold), tmp_path / "none.nii", t_r=2.0)
    (tmp_path / "text.nii").write_text("no image")
    with pytest.raises(ValueError, match="no image that nibabel reads"):
        loaded(tmp_path / "text.nii", "BOLD", dims=(4,))
    with pytest.raises(ValueError, match="BOLD must have 4 axes"):
        roi_series(image(labels), image(labels), t_r=2.0)
    with pytest.raises(ValueError, match="1 names for 2 regions"):
        roi_series(image(bold), image(labels), t_r=2.0, names=("one",))


def test_confounds_lose_the_gap_of_their_first_difference_only():
    table = np.array([[np.nan, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(clean_confounds(table, 2), [[0, 1], [2, 3]])
    with pytest.raises(ValueError, match="2 rows for 5 volumes"):
        clean_confounds(table, 5)
    with pytest.raises(ValueError, match="volume 1"):
        clean_confounds(table[::-1], 2)


def test_triggers_and_volumes_must_match():
    times = 4.0 + 2.0 * np.arange(10)
    np.testing.assert_array_equal(volume_times(times, 10, 2.0), times)
    with pytest.raises(ValueError, match="9 volume triggers for 10 volumes"):
        volume_times(times[1:], 10, 2.0)
    with pytest.raises(ValueError, match=r"triggers 3 and 4 are 4.000 s apart"):
        volume_times(np.delete(times, 4), 9, 2.0)


def test_a_planted_contrast_is_found_and_noise_has_none():
    from brainfm.hrf import ResponseConfig, convolved, response_basis

    rng = np.random.default_rng(0)
    events = [(10.0 + 20 * k, 5.0, "ab"[k % 2]) for k in range(20)]
    box = np.zeros((4200, 1))
    for onset, duration, name in events:
        if name == "a":
            box[int(onset * 10) : int((onset + duration) * 10)] = 1
    ideal = convolved(box, response_basis(10.0, ResponseConfig(derivatives=0)))
    drive = ideal[np.arange(10, 4200, 20)]
    series = np.concatenate([2 * drive, np.zeros((210, 200))], axis=1)
    series += rng.standard_normal(series.shape)
    found = contrast(series, events, {"a": 1, "b": -1}, t_r=2.0)
    assert found.t[0] > 5
    assert found.effect[0] == pytest.approx(2, abs=0.5)
    assert np.abs(found.t[1:].mean()) < 4 / np.sqrt(200)
    assert 0.8 < found.t[1:].std() < 1.3
    with pytest.raises(ValueError, match=r"contrast of \['c'\]"):
        contrast(series, events, {"c": 1}, t_r=2.0)


@pytest.mark.shared
@pytest.mark.slow
def test_the_real_localizer_shows_sound_and_sight_in_their_regions(shared_data):
    folder = shared_data / "fmri_av_localizer"
    with (folder / "paradigm_loc_av.csv").open() as file:
        rows = list(csv.reader(file, delimiter=" "))
    events = [(float(row[2]), 0.5, row[1]) for row in rows]
    files = [folder / f"real_data_vol_4_regions_{name}.nii.gz" for name in ("BOLD", "mask")]
    sound, sight = {"audio": 1.0}, {"video": 1.0}
    regions = roi_series(*files, t_r=2.4).series
    both = {"audio": 1.0, "video": -1.0}
    # Regions 1 and 2 are auditory, 3 and 4 visual.
    assert (contrast(regions, events, sound, t_r=2.4).t[:2] > 5).all()
    assert (contrast(regions, events, sight, t_r=2.4).t[2:4] > 3).all()
    t = contrast(regions, events, both, t_r=2.4).t
    assert (t[:2] > 7).all()
    assert (t[2:4] < -2).all()
    # Published for the best voxels: 8 to 10.
    # The makers' program counts scans from their start.
    voxels = contrast(voxel_series(*files), events, both, t_r=2.4, slice_time=0.0).t
    assert 8 < voxels.max() < 13
    assert -13 < voxels.min() < -8


def test_volumes_are_modelled_when_they_were_acquired():
    times = (np.arange(200) + 0.5) * 2.4
    onsets = np.arange(10.0, 440.0, 17.3)
    drive = np.zeros(4900)
    drive[np.round(onsets * 10).astype(int)] = 1
    basis = response_basis(10.0, ResponseConfig(derivatives=0))
    shape = convolved(drive[:, None], basis)
    series = at_times(shape, 10.0, times) / shape.max()
    series = series + 0.1 * np.random.default_rng(0).standard_normal(series.shape)
    events = [(float(onset), 0.1, "sound") for onset in onsets]
    t = [
        float(contrast(series, events, {"sound": 1.0}, t_r=2.4, slice_time=share).t[0])
        for share in (0.0, 0.5, 1.0)
    ]
    assert t[1] > max(t[0], t[2])
    with pytest.raises(ValueError, match="slice_time is a share of t_r"):
        contrast(series, events, {"sound": 1.0}, t_r=2.4, slice_time=1.5)
