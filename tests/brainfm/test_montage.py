import mne
import numpy as np
import pytest

from brainfm.montage import (
    clean_name,
    montage_positions,
    other_signal,
    positions_by_name,
    sensors_by_name,
    standard_montage,
)


@pytest.mark.parametrize(
    ("name", "electrode"),
    [
        ("Fc5.", "Fc5"),
        ("C3..", "C3"),
        ("EEG Fp1-Ref", "Fp1"),
        ("EEG Fp1-REF", "Fp1"),
        ("EEG FP1-LE", "FP1"),
        ("EEG T3", "T3"),
        ("EEGCz", "Cz"),
        ("POL Fz", "Fz"),
        ("C3-A2", "C3"),
        ("O1:M2", "O1"),
        ("F4-AVG", "F4"),
        (" Pz ", "Pz"),
        ("Fp1-F7", "Fp1-F7"),
        ("Fpz-Cz", "Fpz-Cz"),
        ("Poz", "Poz"),
    ],
)
def test_names_are_cleaned_but_bipolar_leads_stay_bipolar(name, electrode):
    assert clean_name(name) == electrode


@pytest.mark.parametrize(
    "name",
    [
        *("EOG1", "HEOG", "EOG left", "EEG EOG-A2", "ECG", "EKG1", "ECG EKG", "EMG-chin", "Status"),
        *(
            "STI 014",
            "TRIG",
            "Resp",
            "EXG3",
            "GSR1",
            "AccX",
            "Temp rectal",
            "Event marker",
            "VEOGU",
        ),
    ],
)
def test_whole_words_tell_what_is_no_electrode(name):
    assert other_signal(name)


@pytest.mark.parametrize("name", ["POz", "Fp1", "EEG Fpz-Cz", "STEOG", "C3", "TP10", "O1", "E12"])
def test_parts_of_words_tell_nothing(name):
    assert other_signal(name) is None


def test_a_standard_montage_ends_where_mne_puts_it():
    names = ["Fp1", "Cz", "T8", "Oz"]
    info = mne.create_info(names, 100.0, "eeg")
    built = mne.channels.make_standard_montage(standard_montage("standard_1005") or "")
    info.set_montage(built)
    expected = [channel["loc"][:3] for channel in info["chs"]]
    np.testing.assert_allclose(positions_by_name(names), expected, rtol=0, atol=1e-7)


def test_head_coordinates_are_right_anterior_superior():
    where = dict(zip("FLCR", positions_by_name(["Fpz", "T7", "Cz", "T8"]), strict=True))
    assert where["F"][1] > 0.08
    assert where["L"][0] < -0.07
    assert where["R"][0] > 0.07
    assert where["C"][2] > 0.09


def test_names_are_found_in_any_writing():
    written = ["Fc5.", "EEG FC5-Ref", "fc5", "FC5"]
    positions = positions_by_name(written)
    assert np.ptp(positions, axis=0).max() == 0


def test_old_and_new_temporal_names_are_one_place():
    for old, new in (("T3", "T7"), ("T4", "T8"), ("T5", "P7"), ("T6", "P8")):
        both = positions_by_name([old, new])
        np.testing.assert_array_equal(both[0], both[1])
    assert np.isfinite(positions_by_name(["T3", "t5"], "biosemi64")).all()


def test_biosemi_numbers_are_not_taken_for_ten_twenty_names():
    numbered = ["A1", "A2", "A3", "C3", "F4"]
    assert np.isnan(positions_by_name(numbered)).all()
    assert np.isfinite(positions_by_name(["A1", "A2", "C3", "F4"])).all()
    assert np.isfinite(positions_by_name(["A1", "A3", "C3"], "biosemi128")).all()


def test_unknown_names_have_no_place():
    assert np.isnan(positions_by_name(["Foo", "Fp1-F7", ""])).all()


def test_montage_names_survive_mnes_renaming():
    assert standard_montage("standard_1005") == standard_montage("colin27_1005")
    assert standard_montage("no such") is None


def test_an_unknown_montage_names_near_ones():
    with pytest.raises(ValueError, match="biosemi128"):
        montage_positions("biosemi129")


def test_a_montage_file_is_read(tmp_path):
    built = mne.channels.make_dig_montage(
        {"X1": [0.0, 0.09, 0.03], "X2": [0.0, 0.0, 0.11]},
        nasion=[0, 0.1, 0],
        lpa=[-0.08, 0, 0],
        rpa=[0.08, 0, 0],
        coord_frame="head",
    )
    path = tmp_path / "cap-dig.fif"
    built.save(path)
    found = positions_by_name(["X1", "X2"], str(path))
    np.testing.assert_allclose(found, [[0, 0.09, 0.03], [0, 0, 0.11]], atol=1e-7)
    sfp = tmp_path / "cap.sfp"
    sfp.write_text(
        "fidnz 0 10 0\nfidt9 -8 0 0\nfidt10 8 0 0\nX1 0 9 3\nX2 0 0 11\n", encoding="ascii"
    )
    positions = positions_by_name(["X1", "X2"], str(sfp))
    assert np.isfinite(positions).all()
    assert positions[1, 2] > positions[0, 2]


def test_a_file_that_is_no_montage_is_named(tmp_path):
    path = tmp_path / "cap.elc"
    path.write_text("nothing of the kind")
    with pytest.raises(ValueError, match=r"cap\.elc: cannot be read as a montage"):
        montage_positions(str(path))


def test_sensors_of_a_bare_array():
    sensors = sensors_by_name(["TP9", "AF7", "AF8", "TP10"])
    assert sensors.types.tolist() == ["eeg"] * 4
    assert sensors.positions[0, 0] < 0 < sensors.positions[3, 0]
    with pytest.raises(ValueError, match="AUX"):
        sensors_by_name(["TP9", "AUX"])
