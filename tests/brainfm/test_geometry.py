import mne
import numpy as np
import pytest

from brainfm.geometry import (
    COILS,
    coil_geometry,
    device_name,
    electrode_positions,
    geometry_problem,
    has_head_position,
    head_transform,
    sensor_type,
)
from brainfm.sensors import SensorArray


def channel(kind=1, coil=3012, loc=None, frame=1):
    record = {"kind": kind, "coil_type": coil, "coord_frame": frame, "ch_name": "X"}
    # Position, then the coil's x, y, z axes: here x is up, y is left, z is forward.
    record["loc"] = np.array(loc or [0.1, 0, 0, 0, 0, 1, -1, 0, 0, 0, 1, 0], dtype=float)
    return record


QUARTER_TURN = np.array([[0, -1, 0, 0.01], [1, 0, 0, 0.02], [0, 0, 1, 0.03], [0, 0, 0, 1.0]])
"""Device x becomes head y, device y becomes head -x; then a shift."""


@pytest.mark.parametrize(
    ("coil", "kind"),
    [
        (2, "planar"),
        (3012, "planar"),
        (3014, "planar"),
        (3022, "mag"),
        (3024, "mag"),
        (4001, "mag"),
        (4002, "axial"),
        (5001, "axial"),
        (6001, "axial"),
        (7001, "axial"),
        (8001, "mag"),
        (8101, "mag"),
        (8201, "mag"),
        (2000, "mag"),
        (5001 | (3 << 16), "axial"),
    ],
)
def test_coil_constants_decide_the_type(coil, kind):
    assert sensor_type(channel(coil=coil)) == kind


def test_every_coil_is_one_that_mne_knows():
    from mne._fiff.constants import FIFF

    constants = {int(v) for k, v in FIFF.items() if k.startswith("FIFFV_COIL_")}
    assert set(COILS) <= constants


def test_kinds_decide_where_there_is_no_coil():
    assert sensor_type(channel(kind=2, coil=1)) == "eeg"
    assert sensor_type(channel(kind=802, coil=1)) == "ieeg"
    assert sensor_type(channel(kind=902, coil=1)) == "ieeg"
    assert sensor_type(channel(kind=301, coil=5002)) is None  # reference MEG
    assert sensor_type(channel(kind=202, coil=0)) is None  # EOG
    assert sensor_type(channel(kind=2, coil=5)) is None  # bipolar lead
    with pytest.raises(ValueError, match="1000"):
        sensor_type(channel(coil=1000))


def test_gradients_point_along_x_and_normals_along_z_of_the_coil():
    channels = [channel(coil=3012), channel(coil=3022), channel(coil=5001)]
    positions, orientations = coil_geometry(channels, QUARTER_TURN)
    # (0.1, 0, 0) turned is (0, 0.1, 0), shifted (0.01, 0.12, 0.03).
    np.testing.assert_allclose(positions, [[0.01, 0.12, 0.03]] * 3, atol=1e-15)
    # Up stays up; forward (+y) becomes left (-x).
    np.testing.assert_allclose(orientations, [[0, 0, 1], [-1, 0, 0], [-1, 0, 0]], atol=1e-15)


def test_coils_in_head_coordinates_stay():
    positions, orientations = coil_geometry([channel(coil=8001, frame=4)], None, unit=1e-3)
    np.testing.assert_allclose(positions, [[1e-4, 0, 0]])
    np.testing.assert_allclose(orientations, [[0, 1, 0]])


def test_electrodes_are_read_from_head_coordinates_only():
    records = [
        channel(2, 1, [0.01, 0.02, 0.1, *[0] * 9], frame=4),
        channel(2, 1, [0.0] * 12, frame=4),
        channel(2, 1, [np.nan] * 12, frame=4),
        channel(2, 1, [0.01, 0.02, 0.1, *[0] * 9], frame=5),
    ]
    found = electrode_positions(records, None)
    np.testing.assert_allclose(found[0], [0.01, 0.02, 0.1])
    assert np.isnan(found[1:]).all()


def test_a_missing_or_identical_transformation_is_refused_with_a_way_out():
    info = mne.create_info(["M1"], 100.0, "mag")
    for stored in (None, mne.Transform("meg", "head")):
        with info._unlock():
            info["dev_head_t"] = stored
        assert not has_head_position(info)
        with pytest.raises(ValueError, match="head_transform='device'"):
            head_transform(info, None)
        np.testing.assert_array_equal(head_transform(info, "device"), np.eye(4))


def test_a_transformation_is_taken_from_another_file_only_where_none_is(tmp_path):
    info = mne.create_info(["M1"], 100.0, "mag")
    path = tmp_path / "session-trans.fif"
    mne.write_trans(path, mne.Transform("meg", "head", QUARTER_TURN))
    with info._unlock():
        info["dev_head_t"] = None
    np.testing.assert_allclose(head_transform(info, str(path)), QUARTER_TURN)
    other = QUARTER_TURN.copy()
    other[0, 3] = 0.05
    with info._unlock():
        info["dev_head_t"] = mne.Transform("meg", "head", other)
    np.testing.assert_allclose(head_transform(info, str(path)), other)


def test_a_file_without_the_transformation_is_named(tmp_path):
    info = mne.create_info(["M1"], 100.0, "mag")
    with info._unlock():
        info["dev_head_t"] = None
    with pytest.raises(ValueError, match=r"gone\.fif"):
        head_transform(info, str(tmp_path / "gone.fif"))
    path = tmp_path / "mri-trans.fif"
    mne.write_trans(path, mne.Transform("head", "mri"))
    with pytest.raises(ValueError, match="holds no transformation from device"):
        head_transform(info, str(path))


def cap(scale=1.0, n=20, kind="eeg"):
    """Return n sensors on the upper half of a sphere of 10 cm, times a scale."""
    generator = np.random.default_rng(0)
    points = generator.normal(size=(n, 3))
    points[:, 2] = np.abs(points[:, 2])
    points *= 0.1 * scale / np.linalg.norm(points, axis=1, keepdims=True)
    oriented = np.tile([0.0, 0.0, 1.0 if kind == "mag" else 0.0], (n, 1))
    return SensorArray(
        positions=points,
        orientations=oriented,
        types=np.full(n, kind),
        names=tuple(f"S{i}" for i in range(n)),
    )


@pytest.mark.parametrize("kind", ["eeg", "mag", "ieeg"])
def test_a_head_is_a_head(kind):
    assert geometry_problem(cap(kind=kind)) is None
    assert geometry_problem(cap(0.75, kind=kind)) is None


@pytest.mark.parametrize(
    ("scale", "found", "mend"),
    [(1000, "100 m", "position_unit='mm'"), (100, "10 m", "position_unit='cm'")],
)
@pytest.mark.parametrize("kind", ["eeg", "mag", "ieeg"])
def test_other_units_are_found_and_named(kind, scale, found, mend):
    problem = geometry_problem(cap(scale, kind=kind)) or ""
    assert f"{found} from the head's origin" in problem
    assert mend in problem


def test_shrunken_identical_flat_and_stray_positions_are_found():
    assert "montage=" in (geometry_problem(cap(0.001)) or "")
    one = cap()
    same = SensorArray(
        positions=np.tile([0, 0.08, 0.05], (20, 1)),
        orientations=one.orientations,
        types=one.types,
        names=one.names,
    )
    assert "same position" in (geometry_problem(same) or "")
    flat = one.positions.copy()
    flat[:, 2] = 0
    flat *= 0.1 / np.linalg.norm(flat, axis=1, keepdims=True)
    drawn = SensorArray(
        positions=flat, orientations=one.orientations, types=one.types, names=one.names
    )
    assert "one plane" in (geometry_problem(drawn) or "")
    stray = one.positions.copy()
    stray[7] = [0, 0, 2.0]
    lost = SensorArray(
        positions=stray, orientations=one.orientations, types=one.types, names=one.names
    )
    assert "S7" in (geometry_problem(lost) or "")


def test_the_maker_is_told_by_the_coils():
    assert device_name([channel(2, 1), channel(1, 5001 | (1 << 16))]) == "CTF"
    assert device_name([channel(2, 1)]) is None
