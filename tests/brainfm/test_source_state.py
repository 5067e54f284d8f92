"""What counts as a change of a source that is in the corpus already, and what does not."""

import os
import shutil

import mne
import numpy as np
import pytest
from prepared_files import NAMES, prepare, write_eeg

from brainfm.corpus import Corpus
from brainfm.preparation_run import DUPLICATES_FILE
from brainfm.source_files import side_files
from brainfm.source_state import from_anywhere
from brainfm.sources import file_sources


@pytest.fixture
def bids_root(tmp_path):
    """Two subjects with the same samples, Oz marked bad in both."""
    mne_bids = pytest.importorskip("mne_bids")
    edfio = pytest.importorskip("edfio")
    rng = np.random.default_rng(0)
    signals = [
        edfio.EdfSignal(
            10 * rng.standard_normal(2000),
            200.0,
            label=name,
            physical_dimension="uV",
            physical_range=(-200, 200),
        )
        for name in NAMES
    ]
    edfio.Edf(signals).write(tmp_path / "x.edf")
    for subject in ("01", "02"):
        raw = mne.io.read_raw_edf(tmp_path / "x.edf", verbose="error")
        raw.info["line_freq"] = 60
        raw.info["bads"] = ["Oz"]
        raw.set_montage("colin27_1005", verbose="error")
        item = mne_bids.BIDSPath(
            subject=subject, task="rest", datatype="eeg", root=tmp_path / "ds", suffix="eeg"
        )
        mne_bids.write_raw_bids(raw, item, verbose="error")
    return tmp_path / "ds"


def mark_bad(root, subject, name):
    path = next(root.glob(f"sub-{subject}/eeg/*_channels.tsv"))
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    lines = [
        line.replace("good", "bad") if line.startswith(f"{name}\t") else line for line in lines
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def good_channels(folder):
    corpus = Corpus(folder)
    return [int(corpus.good(i).sum()) for i in range(len(corpus))]


def test_a_channel_marked_bad_beside_a_bids_recording_is_a_change(bids_root, tmp_path, capsys):
    out = tmp_path / "corpus"
    assert prepare("--bids", bids_root, "--out", out) == 0
    mark_bad(bids_root, "01", "Fz")
    assert prepare("--bids", bids_root, "--out", out) == 1
    assert "how it is read changed since ds_sub-01" in capsys.readouterr().out
    assert good_channels(out) == [5, 5]
    assert prepare("--bids", bids_root, "--out", out, "--redo-changed") == 0
    assert good_channels(out) == [4, 5]


def test_a_copy_with_other_bad_channels_is_still_a_copy(bids_root, tmp_path, capsys):
    mark_bad(bids_root, "01", "Fz")
    out = tmp_path / "corpus"
    assert prepare("--bids", bids_root, "--out", out) == 0
    # Another average reference: the samples differ, but they come from the same bytes.
    assert len({info.signal_digest for info in Corpus(out).recordings}) == 2
    assert (out / DUPLICATES_FILE).read_text().count("sub-0") == 4
    assert "same samples           1 recordings" in capsys.readouterr().out


def test_side_files_are_those_whose_entities_the_recording_has(tmp_path):
    folder = tmp_path / "sub-1" / "eeg"
    folder.mkdir(parents=True)
    own = [
        tmp_path / "task-rest_eeg.json",
        folder / "sub-1_space-CapTrak_electrodes.tsv",
        folder / "sub-1_task-rest_run-2_channels.tsv",
    ]
    others = [
        tmp_path / "task-move_eeg.json",
        tmp_path / "task-rest_meg.json",
        folder / "sub-1_task-rest_run-3_channels.tsv",
        tmp_path.parent / "task-rest_channels.tsv",
    ]
    for path in own + others:
        path.touch()
    found = side_files(folder / "sub-1_task-rest_run-2_eeg.edf", tmp_path)
    assert found == sorted(own)


def test_labels_that_changed_are_named(tmp_path, capsys):
    file = write_eeg(tmp_path / "s" / "a_raw.fif")
    out = tmp_path / "corpus"
    assert prepare(file, "--out", out) == 0
    assert prepare(file, "--out", out, "--licence", "CC0") == 1
    assert "its licence ('', now 'CC0') changed since" in capsys.readouterr().out
    assert prepare(file, "--out", out, "--licence", "CC0", "--redo-changed") == 0
    assert Corpus(out).recordings[0].licence == "CC0"


def test_another_montage_file_of_the_same_name_is_a_change(tmp_path, capsys):
    file = write_eeg(tmp_path / "s" / "a_raw.fif", montage=False)
    cap = tmp_path / "cap.sfp"
    standard = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    lines = [f"{name} {' '.join(f'{v * 100:.3f}' for v in standard[name])}" for name in NAMES]
    cap.write_text("\n".join(lines))
    words = [file, "--out", tmp_path / "corpus", "--montage", cap]
    assert prepare(*words) == 0
    moved = shutil.copy(cap, tmp_path / "moved.sfp")
    assert prepare(*words[:-1], moved) == 0  # where it lies does not matter
    cap.write_text("\n".join(lines[1:] + lines[:1]).replace(" 0.", " 0.1", 1) + "\n")
    assert prepare(*words) == 1
    assert "how it is read changed" in capsys.readouterr().out


def test_paths_mean_the_same_in_a_process_that_runs_elsewhere(tmp_path, monkeypatch):
    write_eeg(tmp_path / "s" / "a_raw.fif")
    (tmp_path / "cap.sfp").touch()
    monkeypatch.chdir(tmp_path)
    from brainfm.channels import ReadOptions

    source = from_anywhere(file_sources(["s/a_raw.fif"], options=ReadOptions(montage="cap.sfp"))[0])
    assert source.path == tmp_path / "s" / "a_raw.fif"
    assert source.options.montage == str(tmp_path / "cap.sfp")
    named = from_anywhere(
        file_sources(["s/a_raw.fif"], options=ReadOptions(montage="biosemi64"))[0]
    )
    assert named.options.montage == "biosemi64"


def test_a_namesake_in_a_later_run_renames_nobody(tmp_path):
    one = write_eeg(tmp_path / "p" / "s" / "a_raw.fif", seed=1)
    two = write_eeg(tmp_path / "q" / "s" / "a_raw.fif", seed=2)
    out = tmp_path / "corpus"
    assert prepare(one, "--out", out) == 0
    assert prepare(one, two, "--out", out) == 0
    assert len(Corpus(out)) == 2
    os.utime(one)
    assert prepare(tmp_path / "*" / "s" / "*.fif", "--out", out) == 0
    assert len(Corpus(out)) == 2
