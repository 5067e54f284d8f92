"""Responses to pictures from tiny synthetic folders in the layouts of THINGS-fMRI and NSD."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from brainfm.picture_responses import PictureResponses, nsd, nsd_pictures, things_fmri


def responses(x, pictures, sessions, test):
    return PictureResponses(
        x=np.array(x, dtype=np.float32),
        picture=np.array(pictures),
        session=np.array(sessions),
        test=np.array(test),
    )


def test_standardisation_knows_the_training_of_the_session_only():
    found = responses(
        [[1.0], [3.0], [50.0], [10.0], [30.0]],
        ["a", "b", "t", "a", "b"],
        ["1", "1", "1", "2", "2"],
        [False, False, True, False, False],
    ).standardised()
    # Session 1: mean 2, deviation 1; session 2: mean 20, deviation 10.
    np.testing.assert_allclose(found.x[:, 0], [-1, 1, 48, -1, 1])
    with pytest.raises(ValueError, match="session 1 has 1 training trials"):
        responses([[1.0], [2.0]], ["a", "t"], ["1", "1"], [False, True]).standardised()


def test_presentations_of_a_picture_are_averaged():
    found = responses(
        [[1.0, 0.0], [5.0, 1.0], [3.0, 2.0]], ["b", "a", "b"], ["1", "1", "2"], [True, False, True]
    ).averaged()
    assert found.picture.tolist() == ["a", "b"]
    assert found.test.tolist() == [False, True]
    np.testing.assert_allclose(found.x, [[5, 1], [2, 1]])


def test_a_picture_of_both_sides_is_refused():
    with pytest.raises(ValueError, match=r"1 pictures are for training and test, e\.g\. a"):
        responses([[1.0], [2.0]], ["a", "a"], ["1", "1"], [False, True])


def things(root):
    folder = root / "betas_csv"
    folder.mkdir()
    rows = [("train", 1, "cat_01b.jpg"), ("catch", 1, "x.jpg"), ("test", 2, "dog_02s.jpg")]
    text = "trial_type,session,stimulus\n" + "\n".join(",".join(map(str, row)) for row in rows)
    (folder / "sub-02_StimulusMetadata.csv").write_text(text + "\n")
    with h5py.File(folder / "sub-02_ResponseData.h5", "w") as file:
        # Five voxels, three trials; the numbers of the voxels are a block of their own.
        file["ResponseData/block0_values"] = np.arange(15.0).reshape(5, 3)
        file["ResponseData/block1_values"] = np.arange(5)[:, None]
    return folder


def test_things_fmri_is_trials_by_voxels_without_catch_trials(tmp_path):
    folder = things(tmp_path)
    found = things_fmri(tmp_path, "02")
    assert found.picture.tolist() == ["cat_01b.jpg", "dog_02s.jpg"]
    assert found.session.tolist() == ["1", "2"]
    assert found.test.tolist() == [False, True]
    np.testing.assert_array_equal(found.x, [[0, 3, 6, 9, 12], [2, 5, 8, 11, 14]])
    with pytest.raises(FileNotFoundError, match=r"sub-03_StimulusMetadata.csv is missing"):
        things_fmri(tmp_path, "03")
    table = folder / "sub-02_StimulusMetadata.csv"
    table.write_text(table.read_text() + "train,2,cow_01b.jpg\n")
    with pytest.raises(ValueError, match="has no block of 4 trials"):
        things_fmri(tmp_path, "02")


def natural_scenes(root, shape=(2, 3, 4)):
    nib = pytest.importorskip("nibabel", reason="reading NIfTI needs nibabel")
    experiments = root / "nsddata/experiments/nsd"
    experiments.mkdir(parents=True)
    savemat(
        experiments / "nsd_expdesign.mat",
        {
            "masterordering": np.array([[1, 2, 1, 3]]),
            "subjectim": np.array([[5, 2, 4], [1, 2, 3]]),
            "sharedix": np.array([[2]]),
        },
    )
    mask = np.zeros(shape, dtype=np.uint8)
    mask[1, 2, 3] = mask[0, 1, 0] = 1
    folder = root / "nsddata/ppdata/subj01/func1pt8mm/roi"
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(mask, np.eye(4)), folder / "nsdgeneral.nii.gz")
    folder = root / "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    folder.mkdir(parents=True)
    volumes = np.arange(4 * 24).reshape(4, *shape) * 3
    for session in (1, 2):
        with h5py.File(folder / f"betas_session{session:02d}.hdf5", "w") as file:
            some = volumes[2 * session - 2 : 2 * session]
            file["betas"] = some.transpose(0, 3, 2, 1).astype(np.int16)
    return volumes


def test_nsd_is_in_percent_and_named_by_the_picture(tmp_path):
    volumes = natural_scenes(tmp_path)
    found = nsd(tmp_path, "01", sessions=(1, 2))
    # masterordering 1, 2, 1, 3 -> pictures 5, 2, 5, 4 from 1; the shared one is number 2.
    assert found.picture.tolist() == ["00004", "00001", "00004", "00003"]
    assert found.test.tolist() == [False, True, False, False]
    assert found.session.tolist() == ["01", "01", "02", "02"]
    expected = np.stack([volumes[:, 0, 1, 0], volumes[:, 1, 2, 3]], 1) / 300
    np.testing.assert_allclose(np.sort(found.x, 1), np.sort(expected, 1), rtol=1e-6)
    with pytest.raises(FileNotFoundError, match=r"betas_session03.hdf5 is missing"):
        nsd(tmp_path, "01", sessions=(3,))


def test_a_mask_of_another_space_is_refused(tmp_path):
    nib = pytest.importorskip("nibabel", reason="reading NIfTI needs nibabel")
    natural_scenes(tmp_path)
    roi = tmp_path / "nsddata/ppdata/subj01/func1pt8mm/roi/small.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)), roi)
    with pytest.raises(ValueError, match="take both in one space"):
        nsd(tmp_path, "01", sessions=(1,), mask="small")


def test_pictures_of_nsd_are_found_by_name(tmp_path):
    folder = tmp_path / "nsddata_stimuli/stimuli/nsd"
    folder.mkdir(parents=True)
    bytes_ = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    bytes_[2, 1, 3, 0] = 255
    with h5py.File(folder / "nsd_stimuli.hdf5", "w") as file:
        file["imgBrick"] = bytes_
    found = nsd_pictures(tmp_path, ["00002", "00000"])
    assert found.shape == (2, 3, 4, 4)
    assert float(found[0, 0, 1, 3]) == 1
    assert float(found.sum()) == 1
