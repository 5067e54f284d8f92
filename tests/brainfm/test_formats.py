import gzip
import logging
import warnings

import mne
import numpy as np
import pytest

from brainfm.formats import open_epochs, open_raw, quiet_mne


def refusal(path) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        open_raw(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text.removeprefix(str(path))


def small_raw(n_times=4000, n_channels=4, sfreq=200.0):
    generator = np.random.default_rng(0)
    names = ["Fz", "Cz", "Pz", "Oz", "C3", "C4"][:n_channels]
    data = generator.normal(scale=2e-5, size=(n_channels, n_times))
    return mne.io.RawArray(data, mne.create_info(names, sfreq, "eeg"), verbose="ERROR")


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_raw(tmp_path / "gone.fif")


@pytest.mark.parametrize(
    "ending", ["fif", "edf", "bdf", "gdf", "vhdr", "set", "con", "cnt", "nedf"]
)
def test_empty_and_senseless_files_give_one_line(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    path.touch()
    assert refusal(path) == ": the file is empty"
    path.write_bytes(b"\x00nonsense\n\xff" * 400)
    assert "cannot be read" in refusal(path)


@pytest.mark.parametrize("name", ["muse.csv", "muse.csv.gz", "x.tsv", "x.arff", "x.ts", "x.npy"])
def test_tables_point_to_the_array_entry(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"1,2") if name.endswith("gz") else b"1,2")
    text = refusal(path)
    assert "recording_from_array" in text
    assert "sensors_by_name" in text


def test_files_of_no_known_format(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("hello")
    assert refusal(path) == ": is in no format that MNE reads"


def test_a_part_names_the_file_to_give(tmp_path):
    for part, main in (("a.eeg", "a.vhdr"), ("a.vmrk", "a.vhdr"), ("b.fdt", "b.set")):
        (tmp_path / part).write_bytes(b"x")
        (tmp_path / main).write_bytes(b"x")
        assert f"give {main}" in refusal(tmp_path / part)
    folder = tmp_path / "c.ds"
    folder.mkdir()
    (folder / "c.meg4").write_bytes(b"x")
    assert f"give {folder}" in refusal(folder / "c.meg4")


def test_a_folder_that_is_no_recording(tmp_path):
    assert "is a folder but no recording" in refusal(tmp_path)


def test_a_4d_folder_is_read_through_its_data_file(tmp_path, monkeypatch):
    given = {}

    def read_raw_bti(path, **options):
        given.update(path=path, **options)
        return small_raw()

    monkeypatch.setattr(mne.io, "read_raw_bti", read_raw_bti)
    (tmp_path / "c,rfDC").write_bytes(b"x")
    (tmp_path / "config").write_bytes(b"x")
    open_raw(tmp_path)
    assert given == {"path": tmp_path / "c,rfDC", "head_shape_fname": None}
    (tmp_path / "hs_file").write_bytes(b"x")
    open_raw(tmp_path / "c,rfDC")
    assert given["head_shape_fname"] == tmp_path / "hs_file"


def test_fif_files_without_a_signal_say_so(tmp_path):
    path = tmp_path / "test-eve.fif"
    mne.write_events(path, np.array([[10, 0, 1]]), verbose="ERROR")
    assert "without a signal" in refusal(path)
    path = tmp_path / "x-trans.fif"
    mne.write_trans(path, mne.Transform("meg", "head"))
    assert "without a signal" in refusal(path)


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "x_raw.fif"
    small_raw().save(path, verbose="ERROR")
    path.write_bytes(path.read_bytes()[:500])
    assert "cannot be read" in refusal(path)


def test_split_parts_are_one_recording_and_a_later_part_is_refused(tmp_path):
    raw = small_raw(300_000, 6)
    path = tmp_path / "long_raw.fif"
    raw.save(path, split_size="2MB", buffer_size_sec=10, verbose="ERROR")
    parts = sorted(tmp_path.glob("*.fif"))
    assert len(parts) > 2
    opened = open_raw(path)
    assert opened.n_times == 300_000
    assert not opened.preload
    np.testing.assert_allclose(opened[:, 290_000:][0], raw[:, 290_000:][0], atol=1e-11)
    for part in parts:
        if part != path:
            assert "later part of a split recording" in refusal(part)
    (tmp_path / "long_raw-1.fif").rename(tmp_path / "away")
    assert "long_raw-1.fif does not exist" in refusal(path)


def test_a_file_of_epochs_is_told_from_a_recording(tmp_path):
    events = np.array([[i * 200, 0, 1] for i in range(1, 6)])
    epochs = mne.Epochs(
        small_raw(), events, tmin=0, tmax=0.5, baseline=None, preload=True, verbose="ERROR"
    )
    path = tmp_path / "x-epo.fif"
    epochs.save(path, verbose="ERROR")
    assert "holds epochs" in refusal(path)
    assert len(open_epochs(path) or []) == 5
    assert open_epochs(tmp_path / "none.fif") is None


def test_mne_is_quiet_only_inside(capsys):
    level = logging.getLogger("mne").level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet_mne():
            warnings.warn("from a reader", stacklevel=1)
            mne.utils.logger.warning("loud")
    assert logging.getLogger("mne").level == level
    assert capsys.readouterr() == ("", "")
