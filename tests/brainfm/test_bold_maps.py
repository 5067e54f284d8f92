"""Maps of BOLD: every voxel has the value of its region, and spaces are not mixed up."""

import numpy as np
import pytest

pytest.importorskip("nilearn", reason="pip install 'brainfm-toolkit[fmri]'")
import nibabel

from brainfm.bold import voxel_series
from brainfm.bold_maps import in_template_space, map_figure, region_map, voxel_map

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


def image(values, code=2):
    made = nibabel.Nifti1Image(np.asarray(values), AFFINE)
    made.header.set_sform(AFFINE, code)
    return made


def values_of(found):
    return np.asanyarray(found.dataobj)


@pytest.fixture
def labels():
    values = np.zeros((6, 7, 5), dtype=np.int16)
    values[:2, 1], values[4, 2:], values[5, 0, 0] = 30, 7, 12
    return values


def test_labels_take_values_in_their_order(labels):
    found = values_of(region_map(image(labels), [0.5, np.nan, -0.25]))
    np.testing.assert_array_equal(found[labels == 7], 0.5)
    np.testing.assert_array_equal(found[labels == 12], 0)  # no value, nothing to see
    np.testing.assert_array_equal(found[labels == 30], -0.25)
    np.testing.assert_array_equal(found[labels == 0], 0)


def test_a_voxel_of_two_maps_belongs_to_the_one_with_the_larger_weight():
    maps = np.zeros((4, 4, 4, 2))
    maps[0, 0, 0], maps[1, 0, 0], maps[2, 0, 0] = (1.0, 0.2), (0.3, 0.4), (0.05, 0.01)
    found = values_of(region_map(image(maps), [1.0, 2.0]))
    # The third voxel has a twentieth of the first map's largest weight: too little.
    assert found[:4, 0, 0].tolist() == [1.0, 2.0, 0.0, 0.0]


def test_voxels_lie_where_their_series_came_from(labels):
    bold = np.random.default_rng(0).normal(size=(6, 7, 5, 9)).astype(np.float32)
    mask = image((labels != 0).astype(np.int8))
    found = values_of(voxel_map(mask, voxel_series(image(bold), mask)[3]))
    np.testing.assert_allclose(found[labels != 0], bold[labels != 0, 3])
    assert not found[labels == 0].any()


@pytest.mark.parametrize(("code", "n_panels"), [(2, 3), (4, 6)])
def test_only_what_says_so_is_drawn_on_the_template(code, n_panels, labels):
    found = region_map(image(labels, code), [0.5, 0.2, -0.25])
    assert in_template_space(found) == (code == 4)
    figure = map_figure(found, label="r of synthetic regions")
    figure.canvas.draw()
    # A sagittal, a coronal and an axial view each, with the number of the slice or its sides.
    views = [axes for axes in figure.axes if any(t.get_text() in ("L", "R") for t in axes.texts)]
    assert len(views) == n_panels * 2 // 3
    assert "r of synthetic regions" in [text.get_text() for text in figure.texts]


def test_what_does_not_fit_is_named(labels):
    with pytest.raises(ValueError, match="2 values for 3 regions"):
        region_map(image(labels), [0.5, 0.2])
    with pytest.raises(ValueError, match="2 values for 36 voxels"):
        voxel_map(image((labels != 0).astype(np.int8)), [0.5, 0.2])
    with pytest.raises(FileNotFoundError, match="atlas: no file"):
        region_map("nowhere.nii.gz", [1.0])
