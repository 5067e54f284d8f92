import pickle

import mne
import numpy as np
import pytest

from brainfm.montage import sensors_by_name
from brainfm.recordings import (
    ReadOptions,
    read_recording,
    read_recordings,
    recording_from_array,
    recording_from_raw,
    recordings_from_epochs,
)

NAMES = ["Fz", "Cz", "Pz", "Oz"]


def volts(n_times=5000, scale=2e-5):
    return np.random.default_rng(0).normal(scale=scale, size=(4, n_times))


def eeg_raw(data=None, first_samp=0):
    info = mne.create_info(NAMES, 250.0, "eeg")
    data = volts() if data is None else data
    return mne.io.RawArray(data, info, first_samp=first_samp, verbose="ERROR")


def test_a_recording_reads_what_the_raw_holds():
    raw = eeg_raw()
    recording = recording_from_raw(raw)
    assert (recording.n_times, recording.sfreq, recording.duration) == (5000, 250.0, 20.0)
    assert recording.sensors.names == tuple(NAMES)
    block = recording.read(100, 350)
    assert block.shape == (4, 250)
    assert block.dtype == np.float64
    np.testing.assert_array_equal(block, raw.get_data(start=100, stop=350))
    assert recording.read(7, 7).shape == (4, 0)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, 5001), (10, 5)])
def test_reading_beyond_the_ends_is_refused(start, stop):
    with pytest.raises(ValueError, match="not within 0 to 5000"):
        recording_from_raw(eeg_raw()).read(start, stop)


def test_channels_come_in_the_order_of_the_file_without_those_excluded():
    raw = eeg_raw()
    turned = recording_from_raw(raw.copy().reorder_channels(NAMES[::-1]))
    np.testing.assert_array_equal(turned.read(0, 10), raw.get_data(stop=10)[::-1])
    fewer = recording_from_raw(raw, ReadOptions(exclude=("C*",)))
    assert fewer.sensors.names == ("Fz", "Pz", "Oz")
    np.testing.assert_array_equal(fewer.read(0, 10), raw.get_data(stop=10)[[0, 2, 3]])
    assert fewer.excluded == {"Cz": "excluded by option"}


def test_the_raw_is_left_alone(tmp_path):
    path = tmp_path / "x_raw.fif"
    eeg_raw().save(path, verbose="ERROR")
    raw = mne.io.read_raw_fif(path, verbose="ERROR")
    before = raw.info.copy()
    recording_from_raw(raw, ReadOptions(rename={"Fz": "F3"})).read(0, 100)
    assert not raw.preload
    assert mne.utils.object_diff(before, raw.info) == ""


def test_the_header_is_kept(tmp_path):
    folder = tmp_path / "sub-07" / "eeg"
    folder.mkdir(parents=True)
    raw = eeg_raw(first_samp=1000)
    raw.info["bads"] = ["Pz"]
    raw.info["line_freq"] = 60.0
    raw.set_annotations(mne.Annotations([6.0, 5.0], [0.5, 0.0], ["late", "early"]))
    raw.filter(1.0, 40.0, verbose="ERROR").save(folder / "sub-07_eeg.fif", verbose="ERROR")
    recording = read_recording(folder / "sub-07_eeg.fif")
    assert recording.bads.tolist() == [False, False, True, False]
    assert (recording.line_freq, recording.highpass, recording.lowpass) == (60.0, 1.0, 40.0)
    assert recording.subject == "07"
    assert recording.device == "FIF"
    onsets = [(round(onset, 6), duration, text) for onset, duration, text in recording.annotations]
    # Without a date MNE counts onsets from the first sample.
    assert onsets == [(5.0, 0.0, "early"), (6.0, 0.5, "late")]


def test_onsets_count_from_the_first_sample_of_a_dated_recording():
    raw = eeg_raw(first_samp=500)
    raw.set_meas_date(1_600_000_000)
    marks = mne.Annotations([7.0], [0.0], ["x"], orig_time=raw.info["meas_date"])
    raw.set_annotations(marks)
    # The first sample is at 500 / 250 Hz = 2 s of the clock.
    assert recording_from_raw(raw).annotations == ((5.0, 0.0, "x"),)
    assert recording_from_raw(raw).line_freq is None
    assert recording_from_raw(raw, ReadOptions(line_freq=50.0)).line_freq == 50.0


@pytest.mark.parametrize(("stated", "gain"), [("uV", 1e6), ("mV", 1e3), ("V as uV", 1e-6)])
def test_a_wrong_unit_is_refused_and_mended(stated, gain):
    raw = eeg_raw(volts() * gain)
    with pytest.raises(ValueError, match=rf"^Raw: EEG amplitude.*unit='{stated}'"):
        recording_from_raw(raw)
    mended = recording_from_raw(raw, ReadOptions(unit=stated))
    np.testing.assert_allclose(mended.read(0, 50), volts()[:, :50])


def test_large_offsets_and_drifts_are_no_wrong_unit():
    data = volts() + np.array([[0.25], [-0.1], [0.03], [0.0]]) + np.linspace(0, 0.02, 5000)
    assert recording_from_raw(eeg_raw(data)).n_times == 5000


def test_flat_recordings_are_left_to_quality():
    assert recording_from_raw(eeg_raw(np.zeros((4, 5000)))).n_times == 5000


def test_geometry_and_unit_are_reported_together():
    raw = eeg_raw(volts() * 1e3)
    for channel, y in zip(raw.info["chs"], (90.0, 30.0, -30.0, -90.0), strict=True):
        channel["loc"][:3] = [0, y, 190.0 - abs(y)]
    with pytest.raises(ValueError, match=r"position_unit='mm'.*also:.*unit='mV'"):
        recording_from_raw(raw)
    mended = recording_from_raw(raw, ReadOptions(position_unit="mm", unit="mV"))
    np.testing.assert_allclose(mended.sensors.positions[0], [0, 0.09, 0.1])
    np.testing.assert_allclose(mended.read(0, 9), volts()[:, :9])


def test_pauses_of_the_acquisition_are_nan():
    data = volts() - 0.166
    data[:, 1000:2000] = 0
    raw = eeg_raw(data, first_samp=300)
    raw.set_annotations(mne.Annotations([4.0], [4.0], ["BAD_ACQ_SKIP"]))
    recording = recording_from_raw(raw)
    block = recording.read(900, 2100)
    assert np.isnan(block[:, 100:1100]).all()
    np.testing.assert_array_equal(block[:, :100], data[:, 900:1000])
    np.testing.assert_array_equal(block[:, 1100:], data[:, 2000:2100])
    assert np.isnan(recording.read(1500, 1600)).all()
    assert np.isfinite(recording.read(2000, 2100)).all()


def test_opening_does_not_read_the_signal(tmp_path):
    asked = []

    class Counting(mne.io.BaseRaw):
        def _read_segment_file(self, data, idx, fi, start, stop, cals, mult):
            asked.append(stop - start)
            data[:] = np.random.default_rng(start).normal(scale=2e-5, size=data.shape)

    info = mne.create_info(NAMES, 1000.0, "eeg")
    path = tmp_path / "none"
    path.touch()
    raw = Counting(info, last_samps=[10**7 - 1], filenames=[path], verbose="ERROR")
    recording = recording_from_raw(raw)
    assert recording.n_times == 10**7
    assert sum(asked) <= 8 * 2000
    assert not raw.preload


def test_an_array_is_a_recording():
    values = (volts() * 1e6).astype(np.float32)
    values[1, 40:60] = np.nan
    recording = recording_from_array(
        values, 256, sensors_by_name(["TP9", "AF7", "AF8", "TP10"]), unit="uV", bads=["AF8"]
    )
    assert recording.bads.tolist() == [False, False, True, False]
    assert recording.device == "array"
    block = recording.read(30, 70)
    np.testing.assert_allclose(block[0], values[0, 30:70].astype(np.float64) * 1e-6)
    assert np.isnan(block[1, 10:30]).all()
    assert recording.signal.array is values


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 10)), "shape"),
        (np.zeros(10), "shape"),
        (np.zeros((4, 0)), "no samples"),
        (np.zeros((4, 10), complex), "real numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        recording_from_array(array, 250.0, sensors_by_name(NAMES))


def test_senseless_rates_and_names_are_refused():
    sensors = sensors_by_name(NAMES)
    for sfreq in (0, -1, np.nan):
        with pytest.raises(ValueError, match="sampling rate"):
            recording_from_array(volts(), sfreq, sensors)
    with pytest.raises(ValueError, match="'X'"):
        recording_from_array(volts(), 250.0, sensors, bads=["X"])
    with pytest.raises(ValueError, match="unit='uV'"):
        recording_from_array(volts() * 1e6, 250.0, sensors)


def make_epochs(preload=True, gain=1.0):
    events = np.array([[500 * i, 0, 1 + i % 2] for i in range(1, 7)])
    return mne.Epochs(
        eeg_raw(volts() * gain),
        events,
        {"left": 1, "right": 2},
        tmin=-0.2,
        tmax=0.796,
        baseline=None,
        preload=preload,
        verbose="ERROR",
    )


@pytest.mark.parametrize("preload", [True, False])
def test_every_epoch_is_a_recording(preload):
    epochs = make_epochs(preload)
    recordings = recordings_from_epochs(epochs)
    assert len(recordings) == 6
    assert [r.annotations[0][2] for r in recordings[:2]] == ["right", "left"]
    assert recordings[0].annotations[0][0] == pytest.approx(0.2)
    assert recordings[3].source == "Epochs[3]"
    # Event 3 lies at sample 1500; the epoch begins 50 samples before and lasts 250.
    np.testing.assert_allclose(recordings[2].read(0, 250), volts()[:, 1450:1700])
    np.testing.assert_allclose(recordings[2].read(20, 30), volts()[:, 1470:1480])
    assert epochs.preload is preload


def test_a_file_of_epochs_becomes_recordings(tmp_path):
    path = tmp_path / "x-epo.fif"
    make_epochs().save(path, verbose="ERROR")
    assert len(read_recordings(path)) == 6
    with pytest.raises(ValueError, match="read_recordings"):
        read_recording(path)
    with pytest.raises(ValueError, match="unit='uV'"):
        recordings_from_epochs(make_epochs(gain=1e6))


def test_a_recording_can_be_sent_to_another_process(tmp_path):
    path = tmp_path / "x_raw.fif"
    eeg_raw().save(path, verbose="ERROR")
    recording = read_recording(path)
    twin = pickle.loads(pickle.dumps(recording))
    np.testing.assert_array_equal(twin.read(5, 50), recording.read(5, 50))


def test_an_edf_written_from_known_numbers_reads_right(tmp_path):
    edfio = pytest.importorskip("edfio")
    seconds, rate = 10, 200
    wave = 50 * np.sin(2 * np.pi * 10 * np.arange(seconds * rate) / rate)  # microvolts
    labels = ["EEG Fp1-Ref", "EEG T3", "ECG", "EOG left"]
    signals = [
        edfio.EdfSignal(wave, rate, label=label, physical_dimension="uV") for label in labels
    ]
    path = tmp_path / "x.edf"
    edfio.Edf(signals).write(path)
    recording = read_recording(path)
    assert recording.sensors.names == ("EEG Fp1-Ref", "EEG T3")
    assert set(recording.excluded) == {"ECG", "EOG left"}
    # 16 bits over 100 uV: steps of 1.5 nV.
    np.testing.assert_allclose(recording.read(0, 2000)[1], wave * 1e-6, atol=2e-9)
    assert recording.device == "EDF"


def test_slower_channels_come_at_their_own_rate(tmp_path):
    edfio = pytest.importorskip("edfio")
    generator = np.random.default_rng(0)
    rates = {"Fz": 128, "Cz": 128, "Pz": 32, "ECG": 512}
    waves = {name: generator.normal(scale=30, size=20 * rate) for name, rate in rates.items()}
    signals = [
        edfio.EdfSignal(wave, rates[name], label=name, physical_dimension="uV")
        for name, wave in waves.items()
    ]
    path = tmp_path / "x.edf"
    edfio.Edf(signals).write(path)
    recording = read_recording(path)
    assert recording.sensors.names == ("Fz", "Cz")
    assert (recording.sfreq, recording.n_times) == (128.0, 2560)
    np.testing.assert_allclose(recording.read(333, 401)[1], waves["Cz"][333:401] * 1e-6, atol=3e-9)
    assert recording.excluded["Pz"] == "stored at 32 Hz, most channels at 128 Hz"
    assert "ECG" in recording.excluded
    # Given a Raw, the rate is the Raw's, but every stretch is cut from the same signal.
    raw = mne.io.read_raw_edf(path, verbose="ERROR")
    upsampled = recording_from_raw(raw)
    assert upsampled.sfreq == 512
    assert not raw.preload
    whole = upsampled.read(0, upsampled.n_times)
    np.testing.assert_array_equal(upsampled.read(1001, 1501), whole[:, 1001:1501])


def test_a_truncated_signal_is_noticed_at_once(tmp_path):
    path = tmp_path / "x_raw.fif"
    eeg_raw().save(path, buffer_size_sec=1, verbose="ERROR")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match=r"x_raw\.fif: samples .* truncated"):
        read_recording(path)
