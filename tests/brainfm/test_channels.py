import mne
import numpy as np
import pytest

from brainfm.channels import ReadOptions, select_channels
from brainfm.montage import positions_by_name


def info_of(names, types="eeg", montage=None):
    info = mne.create_info(list(names), 250.0, types)
    if montage:
        with mne.use_log_level("ERROR"):
            info.set_montage(montage, on_missing="ignore")
    return info


def select(info, reader="RawEDF", **options):
    return select_channels(info, ReadOptions(**options), reader=reader)


def test_a_file_without_positions_is_placed_by_name():
    chosen = select(info_of(["EEG Fp1-Ref", "Cz", "EOG left", "ECG", "Status"]))
    assert chosen.sensors.names == ("EEG Fp1-Ref", "Cz")
    np.testing.assert_array_equal(chosen.sensors.positions, positions_by_name(["Fp1", "Cz"]))
    assert chosen.picks.tolist() == [0, 1]
    assert list(chosen.excluded) == ["EOG left", "ECG", "Status"]
    assert "EOG" in chosen.excluded["EOG left"]
    assert "standard_1005" in chosen.notes[0]


def test_types_of_the_file_decide_not_its_names():
    # An electrode called MEG1 is EEG, a stimulus channel called Cz is none.
    info = info_of(["MEG1", "Cz", "Pz"], ["eeg", "stim", "eeg"])
    chosen = select(info, rename={"MEG1": "Oz"})
    assert chosen.sensors.names == ("Oz", "Pz")
    assert chosen.sensors.types.tolist() == ["eeg", "eeg"]
    assert chosen.excluded["Cz"] == "channel type stim"


def test_unknown_names_are_all_listed_with_ways_to_mend_them():
    info = info_of(["Fp1", "Foo", "Bar"])
    with pytest.raises(ValueError, match=r"2 of 3 electrodes \(Foo, Bar\)") as caught:
        select(info)
    for way in ("montage=", "rename=", "exclude=", "unplaced='drop'"):
        assert way in str(caught.value)
    assert select(info, unplaced="drop").sensors.names == ("Fp1",)
    assert select(info, exclude=("Foo", "B*")).sensors.names == ("Fp1",)
    assert select(info, rename={"Foo": "Cz", "Bar": "T3"}).sensors.names == ("Fp1", "Cz", "T3")
    assert set(select(info, unplaced="drop").excluded) == {"Foo", "Bar"}


def test_positions_of_the_file_go_before_names():
    info = info_of(["Cz", "Oz"], montage="biosemi64")
    stored = [ch["loc"][:3] for ch in info["chs"]]
    np.testing.assert_array_equal(select(info).sensors.positions, stored)
    by_name = select(info, montage="standard_1005").sensors.positions
    np.testing.assert_array_equal(by_name, positions_by_name(["Cz", "Oz"]))


def test_a_file_with_some_positions_is_not_mixed_with_a_template():
    info = info_of(["Cz", "Oz"])
    info["chs"][0]["loc"][:3] = [0, 0, 0.11]
    with pytest.raises(ValueError, match=r"1 of 2 electrodes \(Oz\)"):
        select(info)
    info["chs"][1]["loc"][:3] = 0
    with pytest.raises(ValueError, match="Oz"):
        select(info)
    assert select(info, montage="standard_1005").sensors.names == ("Cz", "Oz")


def test_a_name_outweighs_an_untyped_format_but_not_a_typed_one():
    info = info_of(["Cz", "EOG1"])
    for channel, xyz in zip(info["chs"], ([0, 0, 0.11], [0.05, 0.09, -0.01]), strict=True):
        channel["loc"][:3] = xyz
    assert select(info, reader="RawEEGLAB").sensors.names == ("Cz",)
    assert select(info, reader="Raw").sensors.names == ("Cz", "EOG1")


def test_biosemi_numbers_ask_for_a_montage():
    info = info_of(["A1", "A2", "A3", "B1", "EXG1", "Status"], ["eeg"] * 5 + ["stim"])
    with pytest.raises(ValueError, match=r"A1, A2, A3, B1\): give montage="):
        select(info)
    assert select(info, montage="biosemi128").sensors.names == ("A1", "A2", "A3", "B1")


def test_position_unit_scales_stored_positions_only():
    info = info_of(["Cz", "Oz"])
    for channel, xyz in zip(info["chs"], ([0, 0, 110.0], [0, -85.0, 30.0]), strict=True):
        channel["loc"][:3] = xyz
    found = select(info, position_unit="mm").sensors.positions
    np.testing.assert_allclose(found, [[0, 0, 0.11], [0, -0.085, 0.03]])
    template = select(info, position_unit="mm", montage="standard_1005").sensors.positions
    np.testing.assert_array_equal(template, positions_by_name(["Cz", "Oz"]))


def test_intracranial_contacts_need_positions_and_take_no_template():
    info = info_of(["LA1", "Cz"], ["seeg", "ecog"])
    with pytest.raises(ValueError, match="LA1, Cz"):
        select(info)
    info["chs"][0]["loc"][:3] = [0.02, 0.01, 0.04]
    info["chs"][1]["loc"][:3] = [0.03, 0.01, 0.06]
    chosen = select(info)
    assert chosen.sensors.types.tolist() == ["ieeg", "ieeg"]
    np.testing.assert_array_equal(chosen.sensors.orientations, np.zeros((2, 3)))


def meg_info():
    """One planar gradiometer, one magnetometer, one reference, one electrode."""
    info = info_of(["M1", "M2", "R1", "Cz"], ["grad", "mag", "ref_meg", "eeg"])
    loc = np.array([0.0, 0.1, 0.05, 1, 0, 0, 0, 0, 1, 0, 1, 0])
    for channel, coil in zip(info["chs"][:3], (3012, 8101, 5002), strict=True):
        channel["coil_type"] = coil
        channel["loc"] = loc.copy()
    info["chs"][3]["loc"][:3] = [0, 0, 0.11]
    trans = np.eye(4)
    trans[:3, 3] = [0, 0.004, 0.05]
    with info._unlock():
        info["dev_head_t"] = mne.Transform("meg", "head", trans)
    return info


def test_meg_and_eeg_share_head_coordinates():
    chosen = select(meg_info(), reader="Raw")
    assert chosen.sensors.types.tolist() == ["planar", "mag", "eeg"]
    np.testing.assert_allclose(
        chosen.sensors.positions, [[0, 0.104, 0.1], [0, 0.104, 0.1], [0, 0, 0.11]]
    )
    np.testing.assert_allclose(chosen.sensors.orientations, [[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert chosen.excluded == {"R1": "channel type ref_meg"}


@pytest.mark.parametrize("angle", [0.3, -1.1, 3.0])
def test_turning_the_device_turns_meg_rigidly_and_leaves_eeg(angle):
    before = select(meg_info(), reader="Raw").sensors
    info = meg_info()
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.eye(4)
    turn[:3, :3] = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
    with info._unlock():
        info["dev_head_t"]["trans"] = turn @ info["dev_head_t"]["trans"]
    after = select(info, reader="Raw").sensors
    meg = before.types != "eeg"
    np.testing.assert_allclose(after.positions[meg], before.positions[meg] @ turn[:3, :3].T)
    np.testing.assert_allclose(after.orientations, before.orientations @ turn[:3, :3].T, atol=1e-15)
    np.testing.assert_array_equal(after.positions[~meg], before.positions[~meg])


def test_meg_without_head_position_is_refused_or_taken_as_told():
    info = meg_info()
    with info._unlock():
        info["dev_head_t"] = None
    with pytest.raises(ValueError, match="head position not measured"):
        select(info, reader="Raw")
    assert len(select(info, reader="Raw", exclude=("M?",)).sensors) == 1
    chosen = select(info, reader="Raw", head_transform="device")
    np.testing.assert_allclose(chosen.sensors.positions[0], [0, 0.1, 0.05])
    assert "device" in chosen.notes[0]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_meg_without_geometry_is_refused_or_dropped(value):
    info = meg_info()
    info["chs"][0]["loc"][:] = value
    with pytest.raises(ValueError, match=r"1 of 2 MEG sensors \(M1\).*unplaced='drop'"):
        select(info, reader="Raw")
    assert select(info, reader="Raw", unplaced="drop").sensors.names == ("M2", "Cz")


def test_sensors_stored_at_another_rate_are_left_out_and_listed():
    info = info_of(["Fz", "Cz", "Pz", "ECG"])
    rates = np.array([256.0, 256.0, 1.0, 512.0])
    chosen = select_channels(info, ReadOptions(), reader="RawEDF", rates=rates)
    assert chosen.sensors.names == ("Fz", "Cz")
    assert chosen.excluded["Pz"] == "stored at 1 Hz, most channels at 256 Hz"


def test_nothing_but_other_channels_is_no_recording():
    with pytest.raises(ValueError, match=r"no EEG or MEG.*ECG \(ECG by its name\)"):
        select(info_of(["ECG", "EOG"]))


def test_info_is_not_changed():
    info = info_of(["Fp1", "Cz"])
    before = info.copy()
    select(info, rename={"Fp1": "Oz"})
    assert mne.utils.object_diff(before, info) == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "volt"}, "unit 'volt'"),
        ({"position_unit": "inch"}, "position_unit"),
        ({"unplaced": "ignore"}, "unplaced"),
        ({"line_freq": -50.0}, "line_freq"),
    ],
)
def test_wrong_options_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        ReadOptions(**options)


def test_renaming_two_channels_alike_is_refused():
    with pytest.raises(ValueError, match="same name: Cz"):
        select(info_of(["Fp1", "Cz"]), rename={"Fp1": "Cz"})
