"""Recordings of many devices and formats read as what they are, or are refused in one line."""

import collections

import mne
import numpy as np
import pytest

from brainfm.recordings import ReadOptions, Recording, read_recording, recording_from_raw

REAL = [
    ("meg_eeg_neuromag/test_raw.fif", {}, {"planar": 204, "mag": 102, "eeg": 60}, "Neuromag"),
    ("meg_ctf/test_ctf_raw.fif", {}, {"axial": 275}, "CTF"),
    ("meg_ctf/testdata_ctf_short_discontinuous.ds", {}, {"axial": 273, "eeg": 8}, "CTF"),
    (
        "formats/141027_cropped_90Hz_raw.fif",
        {"head_transform": "device"},
        {"planar": 204, "mag": 102},
        "Neuromag",
    ),
    ("formats/Example_RICOH160-1_10021-export_anonymyze.con", {}, {"axial": 160}, "KIT"),
    ("formats/nyu_157ch_5s.sqd", {"head_transform": "device"}, {"axial": 157}, "KIT"),
    ("formats/mgh70_raw.fif", {}, {"eeg": 70}, "FIF"),
    ("formats/test.vhdr", {}, {"eeg": 26}, "BrainVision"),
    ("formats/testdata.nedf", {}, {"eeg": 32}, "Nedf"),
    (
        "formats/test_reduced.edf",
        {"montage": "biosemi256", "unplaced": "drop"},
        {"eeg": 117},
        "EDF",
    ),
    ("eeglab/eeglab_data.set", {}, {"eeg": 30}, "EEGLAB"),
    ("eeglab/test.bdf", {"montage": "biosemi128"}, {"eeg": 16}, "BDF"),
    ("eeglab/test.edf", {}, {"eeg": 16}, "EDF"),
    ("eegmmidb/S001/S001R01_first60s.edf", {}, {"eeg": 64}, "EDF"),
    ("rest_hypyp/eyes-closed-1.edf", {}, {"eeg": 31}, "EDF"),
    (
        "ssvep/subject01/record-[2012.07.06-19.02.16]_raw.fif",
        {"position_unit": "mm", "unit": "mV"},
        {"eeg": 8},
        "FIF",
    ),
    ("ssvep/subject04/record-[2012.07.18-17.52.30].gdf", {"unit": "mV as uV"}, {"eeg": 8}, "GDF"),
]

# test_reduced.edf: 128 channels A1 to H16, less the eleven that its header stores at other rates.


def check_real(recording: Recording) -> None:
    """Assert what holds of every recording of a head."""
    sensors = recording.sensors
    assert np.isfinite(sensors.positions).all()
    distances = np.linalg.norm(sensors.positions, axis=1)
    assert 0.05 < np.median(distances) < 0.2
    oriented = ~np.isin(sensors.types, ["eeg", "ieeg"])
    normal = np.isin(sensors.types, ["mag", "axial"])
    outward = (sensors.orientations * (sensors.positions - [0, 0, 0.04])).sum(axis=1)
    assert (outward[normal] > 0).all()
    np.testing.assert_allclose(np.linalg.norm(sensors.orientations[oriented], axis=1), 1)
    whole = recording.read(0, recording.n_times)
    assert whole.shape == (len(sensors), recording.n_times)
    for start in np.random.default_rng(0).integers(0, recording.n_times - 60, size=12).tolist():
        np.testing.assert_array_equal(
            recording.read(start, start + 53), whole[:, start : start + 53]
        )


@pytest.mark.shared
@pytest.mark.parametrize(("path", "options", "counts", "device"), REAL, ids=[r[0] for r in REAL])
def test_real_recordings_read_right(shared_data, path, options, counts, device):
    if options:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at below
            read_recording(shared_data / path)
        assert "\n" not in str(caught.value)
        for name in options.keys() - {"unplaced"}:
            assert f"{name}=" in str(caught.value)
    recording = read_recording(shared_data / path, ReadOptions(**options))
    assert dict(collections.Counter(recording.sensors.types.tolist())) == counts
    assert recording.device == device
    check_real(recording)


@pytest.mark.shared
def test_an_egi_folder_reads_right(shared_data):
    pytest.importorskip("mffpy", reason="MNE reads EGI .mff through mffpy")
    recording = read_recording(shared_data / "formats/test_egi_multiepoch_paused.mff")
    assert dict(collections.Counter(recording.sensors.types.tolist())) == {"eeg": 257}
    whole = recording.read(0, recording.n_times)
    assert np.isnan(whole).any()  # two pauses
    assert not (whole == 0).all(axis=0).any()
    check_real(recording)


@pytest.mark.shared
def test_every_real_file_reads_or_says_why_not_in_one_line(shared_data):
    files = [p for p in sorted(shared_data.rglob("*")) if p.is_file()]
    assert len(files) > 100
    refused = {}
    for path in files:
        if path.parent.name in ("fsdd", "data_wav"):
            continue
        try:
            read_recording(path)
        except (ValueError, OSError) as error:
            refused[path] = str(error)
    for path, text in refused.items():
        assert "\n" not in text
        assert text.startswith(str(path))
        assert len(text) - len(str(path)) < 420, text
    for path in shared_data.glob("ssvep/*/*_raw.fif"):
        assert "position_unit='mm'" in refused[path]
        assert "unit='mV'" in refused[path]
        assert len(read_recording(path, ReadOptions(position_unit="mm", unit="mV")).sensors) == 8


@pytest.mark.shared
@pytest.mark.parametrize(
    "path",
    [
        "meg_eeg_neuromag/test_raw.fif",
        "meg_ctf/test_ctf_raw.fif",
        "formats/Example_RICOH160-1_10021-export_anonymyze.con",
    ],
)
def test_directions_agree_with_mnes_coil_definitions(shared_data, path):
    from mne.forward._make_forward import _create_meg_coils

    raw = mne.io.read_raw(shared_data / path, verbose="ERROR")
    recording = recording_from_raw(raw)
    meg = np.flatnonzero(~np.isin(recording.sensors.types, ["eeg"]))
    chs = [raw.info["chs"][raw.ch_names.index(recording.sensors.names[i])] for i in meg]
    coils = _create_meg_coils(chs, "accurate", raw.info["dev_head_t"])
    for i, coil in zip(meg, coils, strict=True):
        weights = coil["w"][:, None]
        if recording.sensors.types[i] == "planar":
            direction = (weights * coil["rmag"]).sum(axis=0)  # of growing weight
        else:
            direction = (weights * coil["cosmag"])[coil["w"] > 0].sum(axis=0)
        direction /= np.linalg.norm(direction)
        np.testing.assert_allclose(recording.sensors.orientations[i], direction, atol=1e-6)
