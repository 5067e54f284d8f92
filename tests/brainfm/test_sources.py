"""From files, globs and BIDS folders to a list of recordings."""

from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

from brainfm.bids_sources import bids_sources
from brainfm.cli import main
from brainfm.corpus import Corpus
from brainfm.recordings import ReadOptions
from brainfm.source_files import files_of, hash_files, head_of_part
from brainfm.sources import expand, file_id, file_sources

NAMES = ["Fz", "Cz", "Pz", "Oz", "C3", "C4"]


@pytest.fixture
def bids_root(tmp_path):
    """Two subjects, one bad channel, digitised electrodes, a derivative and an empty room."""
    mne_bids = pytest.importorskip("mne_bids")
    edfio = pytest.importorskip("edfio")
    root = tmp_path / "ds"
    rng = np.random.default_rng(0)
    for subject, session in (("01", "a"), ("02", "a"), ("02", "b")):
        path = tmp_path / f"{subject}{session}.edf"
        edfio.Edf(
            [
                edfio.EdfSignal(
                    10 * rng.standard_normal(2000),
                    200.0,
                    label=name,
                    physical_dimension="uV",
                    physical_range=(-200, 200),
                )
                for name in NAMES
            ]
        ).write(path)
        raw = mne.io.read_raw_edf(path, verbose="error")
        raw.info["line_freq"] = 60
        raw.info["bads"] = ["Oz"]
        raw.set_montage("colin27_1005", verbose="error")
        item = mne_bids.BIDSPath(
            subject=subject, session=session, task="rest", run="1", datatype="eeg", root=root
        )
        mne_bids.write_raw_bids(raw, item, verbose="error")
    mne_bids.make_dataset_description(
        path=root, name="tiny", data_license="CC0", overwrite=True, verbose="error"
    )
    copy = root / "derivatives" / "clean" / "sub-01" / "ses-a" / "eeg"
    copy.mkdir(parents=True)
    original = next(root.glob("sub-01/ses-a/eeg/*.edf"))
    (copy / original.name).write_bytes(original.read_bytes())
    return root


def test_bids_sources_keep_their_entities(bids_root):
    sources = bids_sources(bids_root)
    assert [(s.subject, s.session, s.task, s.run) for s in sources] == [
        ("01", "a", "rest", "1"),
        ("02", "a", "rest", "1"),
        ("02", "b", "rest", "1"),
    ]
    assert {s.dataset for s in sources} == {"ds"}
    assert {s.licence for s in sources} == {"CC0"}
    assert len({s.id for s in sources}) == 3


def test_bids_side_files_count(bids_root):
    recording = bids_sources(bids_root)[0].open()
    assert recording.line_freq == 60
    assert [n for n, bad in zip(NAMES, recording.bads, strict=True) if bad] == ["Oz"]
    info = mne.create_info(NAMES, 200.0, "eeg").set_montage("colin27_1005")
    expected = np.array([channel["loc"][:3] for channel in info["chs"]])  # head coordinates
    np.testing.assert_allclose(recording.sensors.positions, expected, atol=2e-3)
    assert not recording.notes  # nothing was placed by name


@pytest.mark.parametrize("how", ["--bids", "folder"])
def test_a_bids_folder_becomes_a_corpus(bids_root, tmp_path, how):
    out = tmp_path / "corpus"
    named = ["--bids", str(bids_root)] if how == "--bids" else [str(bids_root)]
    assert main(["prepare", *named, "--out", str(out)]) == 0
    corpus = Corpus(out)
    assert [info.subject for info in corpus.recordings] == ["01", "02", "02"]
    assert not corpus.good(0)[NAMES.index("Oz")]


def test_bids_complaints_name_the_folder(tmp_path):
    with pytest.raises(ValueError, match=r"no BIDS data set"):
        bids_sources(tmp_path)
    (tmp_path / "dataset_description.json").write_text("{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        bids_sources(tmp_path)
    (tmp_path / "dataset_description.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no EEG, MEG or iEEG"):
        bids_sources(tmp_path)


def test_ids_come_from_the_path_and_differ():
    assert file_id(Path("/data/S01/rest.edf"), "") == "S01_rest-edf"
    assert file_id(Path("/data/S01/rest.edf"), "pilot") == "pilot_S01_rest-edf"
    assert file_id(Path("/d/a b/[1] x.bdf"), "") == "a_b_1_x-bdf"
    assert file_id(Path("/d/x/y/r.fif"), "n", Path("/d")) == "n_x_y_r-fif"
    sources = file_sources(["/a/s/r.edf", "/b/s/r.edf", "/b/s/r.bdf"])
    assert [s.id for s in sources] == ["files_a_s_r-edf", "s_r-bdf", "files_b_s_r-edf"]


def test_globs_are_expanded_once_and_later_parts_left_out(tmp_path):
    for name in ("b_raw.fif", "b_raw-1.fif", "b_raw-2.fif", "a.edf", "sub-1_split-01_meg.fif"):
        (tmp_path / name).touch()
    (tmp_path / "sub-1_split-02_meg.fif").touch()
    found = expand([tmp_path / "*", tmp_path / "a.edf"])
    assert [path.name for path in found] == ["a.edf", "b_raw.fif", "sub-1_split-01_meg.fif"]
    alone = expand([tmp_path / "b_raw-1.fif"])
    assert [path.name for path in alone] == ["b_raw-1.fif"]  # its reader says what is missing
    assert head_of_part(Path("eve-3.fif")) == Path("eve.fif")
    assert head_of_part(Path("run_1_raw.fif")) is None


def test_files_that_belong_together_are_hashed_together(tmp_path):
    header = tmp_path / "r.vhdr"
    header.write_text("[Common Infos]\nDataFile=r.eeg\nMarkerFile=$b.vmrk\n")
    (tmp_path / "r.eeg").write_bytes(b"12")
    (tmp_path / "r.vmrk").write_text("m")
    (tmp_path / "other.eeg").write_text("o")
    files = files_of(header)
    assert [path.name for path in files] == ["r.eeg", "r.vhdr", "r.vmrk"]
    before = hash_files(files)
    (tmp_path / "r.eeg").write_bytes(b"13")
    assert hash_files(files) != before
    folder = tmp_path / "x.ds"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "f").touch()
    assert [path.name for path in files_of(folder)] == ["f"]
    (tmp_path / "m.fif").touch()
    (tmp_path / "m-1.fif").touch()
    (tmp_path / "m-ave.fif").touch()
    assert [path.name for path in files_of(tmp_path / "m.fif")] == ["m-1.fif", "m.fif"]


def test_modality_keeps_only_its_channels(tmp_path):
    rng = np.random.default_rng(0)
    info = mne.create_info(NAMES, 200.0, ["eeg"] * 4 + ["ecog"] * 2)
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((6, 1000)), info, verbose="error")
    for channel, place in zip(raw.info["chs"], rng.standard_normal((6, 3)), strict=True):
        channel["loc"][:3] = 0.09 * place / np.linalg.norm(place)
    raw.save(tmp_path / "x_raw.fif", verbose="error")
    source = file_sources([tmp_path / "x_raw.fif"], options=ReadOptions())[0]
    assert len(source.open().sensors) == 6
    eeg = replace(source, modality=("eeg",)).open()
    assert eeg.sensors.names == tuple(NAMES[:4])
    np.testing.assert_allclose(eeg.read(10, 20), source.open().read(10, 20)[:4])
    with pytest.raises(ValueError, match="has no mag or planar or axial channels"):
        replace(source, modality=("meg",)).open()


def test_names_that_an_id_cannot_hold_stay_different(tmp_path):
    paths = [
        tmp_path / "被験者一_raw.fif",
        tmp_path / "被験者二_raw.fif",
        tmp_path / ("x" * 230 + "1.fif"),
        tmp_path / ("x" * 230 + "2.fif"),
        tmp_path / "a b.fif",
        tmp_path / "a_b.fif",
    ]
    for path in paths:
        path.touch()
    ids = [source.id for source in file_sources(paths, dataset="pilot")]
    assert len(set(ids)) == 6
    assert all(len(name) <= 200 and name.isascii() and name.startswith("pilot_") for name in ids)
    # The same letter, as two file systems spell it.
    composed, decomposed = "s/\u00fc.edf", "s/u\u0308.edf"
    assert file_id(Path(composed), "") == file_id(Path(decomposed), "")


def test_a_glob_passes_folders_on_its_way(tmp_path):
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "deep" / "a.edf").touch()
    (tmp_path / "sub" / "c.ds").mkdir()
    found = [path.name for path in expand([f"{tmp_path}/**/*"])]
    assert found == ["c.ds", "a.edf"]
