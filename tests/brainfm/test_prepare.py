"""``brainfm prepare``: what the corpus holds, the first time and again, on one core or many."""

import os
import shutil
from pathlib import Path

import mne
import numpy as np
import pytest
from prepared_files import NAMES, digests, prepare, table, write_eeg

from brainfm.cli import main
from brainfm.corpus import Corpus
from brainfm.preparation_run import DUPLICATES_FILE, FAILURES_FILE
from brainfm.processing import process
from brainfm.recordings import read_recording


def test_a_corpus_holds_what_processing_gives(files, tmp_path, capsys):
    out = tmp_path / "corpus"
    assert prepare(*files, "--out", out, "--dataset", "pilot", "--licence", "CC0") == 0
    assert str(out) in capsys.readouterr().out
    corpus = Corpus(out)
    assert [info.id for info in corpus.recordings] == [f"pilot_s{i}_rest_raw-fif" for i in range(3)]
    info = corpus.recordings[1]
    assert (info.dataset, info.subject, info.licence) == ("pilot", "s1", "CC0")
    expected = process(read_recording(files[1]))
    np.testing.assert_array_equal(corpus.read(1), expected.array().astype(np.float32))
    np.testing.assert_array_equal(corpus.good(1), expected.good)
    assert corpus.scale(1) == expected.scale


def test_a_second_run_keeps_everything_and_mends_what_is_missing(files, tmp_path, capsys):
    out = tmp_path / "corpus"
    prepare(*files, "--out", out)
    before = digests(out)
    times = {p: p.stat().st_mtime_ns for p in (out / "recordings").iterdir()}
    capsys.readouterr()
    assert prepare(*files, "--out", out) == 0
    assert "prepared before        3" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in (out / "recordings").iterdir()} == times
    next((out / "recordings").iterdir()).unlink()
    shutil.rmtree(out / "sources")  # a cache: without it the hashes are compared
    (out / "index.h5").unlink()
    assert prepare(*files, "--out", out) == 0
    assert digests(out) == before


def test_processes_make_the_same_corpus_as_one(files, tmp_path):
    assert prepare(*files, "--out", tmp_path / "one") == 0
    assert prepare(*files, "--out", tmp_path / "two", "--n-jobs", 2) == 0
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_broken_sources_are_listed_and_the_rest_goes_on(files, tmp_path, capsys):
    good = files[0]
    (tmp_path / "empty.edf").write_bytes(b"")
    (tmp_path / "text.edf").write_text("no recording")
    (tmp_path / "cut_raw.fif").write_bytes(good.read_bytes()[:3000])
    write_eeg(tmp_path / "one_raw.fif", n_channels=1)
    raw = mne.io.read_raw_fif(good, preload=True, verbose="error")
    raw.info["chs"][2]["loc"][:3] = np.nan
    raw.save(tmp_path / "nan_raw.fif", verbose="error")
    mne.io.RawArray(np.ones((2, 2000)), mne.create_info(2, 200.0, "stim"), verbose="error").save(
        tmp_path / "stim_raw.fif", verbose="error"
    )
    broken = ["empty.edf", "text.edf", "cut_raw.fif", "one_raw.fif", "nan_raw.fif", "stim_raw.fif"]
    out = tmp_path / "corpus"
    status = prepare(*files, *(tmp_path / name for name in broken), "missing.edf", "--out", out)
    assert status == 1
    reasons = {Path(row["source"]).name: row["reason"] for row in table(out / FAILURES_FILE)}
    assert sorted(reasons) == sorted([*broken, "missing.edf"])
    assert all(reasons.values())
    assert "empty" in reasons["empty.edf"]
    assert "no such file" in reasons["missing.edf"]
    assert "1 channels" in reasons["one_raw.fif"]
    assert len(Corpus(out)) == 3
    printed = capsys.readouterr().out
    assert "Traceback" not in printed
    assert "empty.edf" in printed


def test_failures_are_forgotten_once_mended(files, tmp_path):
    out = tmp_path / "corpus"
    late = tmp_path / "s9" / "late_raw.fif"
    late.parent.mkdir()
    late.write_bytes(b"not yet")
    assert prepare(*files, late, "--out", out) == 1
    assert prepare(*files, "--out", out) == 0
    assert len(table(out / FAILURES_FILE)) == 1  # not tried again, so still known
    write_eeg(late)
    assert prepare(late, "--out", out) == 0
    assert not (out / FAILURES_FILE).exists()


def test_strict_stops_and_keeps_what_is_whole(files, tmp_path, capsys):
    (tmp_path / "zzz.edf").write_bytes(b"")
    out = tmp_path / "corpus"
    assert prepare(*files, tmp_path / "zzz.edf", "--out", out, "--strict") == 1
    assert "--strict" in capsys.readouterr().err
    assert len(Corpus(out)) == 3


def test_a_changed_source_is_refused_then_redone(files, tmp_path, capsys):
    out = tmp_path / "corpus"
    prepare(*files, "--out", out)
    before = digests(out)
    write_eeg(files[0], seed=99)
    assert prepare(*files, "--out", out) == 1
    assert "changed since" in capsys.readouterr().out
    assert digests(out) == before
    assert prepare(*files, "--out", out, "--redo-changed") == 0
    assert sum(digests(out)[name] != digest for name, digest in before.items()) == 1


def test_another_way_of_reading_counts_as_change(files, tmp_path, capsys):
    out = tmp_path / "corpus"
    prepare(files[0], "--out", out)
    assert prepare(files[0], "--out", out, "--exclude", "Oz") == 1
    assert "how it is read changed" in capsys.readouterr().out


def test_a_file_that_moved_or_was_touched_is_the_same(files, tmp_path):
    out = tmp_path / "corpus"
    prepare(*files, "--out", out)
    moved = tmp_path / "elsewhere" / "s0" / files[0].name
    moved.parent.mkdir(parents=True)
    files[0].rename(moved)
    os.utime(files[1])
    assert prepare(moved, *files[1:], "--out", out) == 0
    assert len(Corpus(out)) == 3


def test_other_settings_are_refused(files, tmp_path, capsys):
    out = tmp_path / "corpus"
    prepare(*files, "--out", out)
    before = digests(out)
    assert prepare(*files, "--out", out, "--h-freq", 40) == 1
    assert "h_freq 96.0 -> 40.0" in capsys.readouterr().err
    assert prepare(*files, "--out", out, "--block-s", 3) == 0
    assert digests(out) == before


def test_the_same_samples_under_two_names_are_reported(files, tmp_path, capsys):
    copy = tmp_path / "s7" / "other_raw.fif"
    copy.parent.mkdir()
    shutil.copy(files[1], copy)
    out = tmp_path / "corpus"
    assert prepare(*files, copy, "--out", out) == 0
    rows = table(out / DUPLICATES_FILE)
    assert [row["id"] for row in rows] == ["s1_rest_raw-fif", "s7_other_raw-fif"]
    assert "s1_rest_raw-fif = s7_other_raw-fif" in capsys.readouterr().out


def test_split_fif_files_count_once(tmp_path):
    rng = np.random.default_rng(0)
    info = mne.create_info(NAMES, 500.0, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((6, 200_000)), info, verbose="error")
    raw.set_montage(mne.channels.make_standard_montage("colin27_1005"), verbose="error")
    raw.save(tmp_path / "long_raw.fif", split_size="3MB", verbose="error")
    assert len(list(tmp_path.glob("*.fif"))) > 1
    out = tmp_path / "corpus"
    assert prepare(tmp_path / "*.fif", "--out", out) == 0
    assert [info.duration for info in Corpus(out).recordings] == [400.0]


def test_bids_names_give_subject_session_task_and_run(tmp_path):
    write_eeg(tmp_path / "eeg" / "sub-07_ses-a_task-rest_run-2_raw.fif")
    out = tmp_path / "corpus"
    assert prepare(tmp_path / "**" / "*.fif", "--out", out) == 0
    info = Corpus(out).recordings[0]
    assert (info.subject, info.session, info.task, info.run) == ("07", "a", "rest", "2")


def test_nothing_to_do_is_said(tmp_path, capsys):
    assert prepare("--out", tmp_path / "c") == 1
    assert "nothing to prepare" in capsys.readouterr().err
    assert prepare(tmp_path / "*.edf", "--out", tmp_path / "c") == 1
    assert "no file matches" in capsys.readouterr().err
    assert prepare(tmp_path, "--out", tmp_path / "c") == 1
    assert "neither a BIDS data set" in capsys.readouterr().err


def test_help_has_units_and_an_example(capsys):
    assert main(["prepare", "--help"]) == 0
    text = capsys.readouterr().out
    for words in ("brainfm prepare subject1.fif", "Hz", "--position-unit", "--n-jobs", "--dask"):
        assert words in text


@pytest.mark.slow
@pytest.mark.distributed
def test_a_dask_cluster_makes_the_same_corpus(files, tmp_path):
    distributed = pytest.importorskip("distributed")
    (tmp_path / "empty.edf").write_bytes(b"")
    assert prepare(*files, "--out", tmp_path / "here") == 0
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        arguments = [*files, tmp_path / "empty.edf", "--out", tmp_path / "there"]
        assert prepare(*arguments, "--dask", address) == 1
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    assert len(table(tmp_path / "there" / FAILURES_FILE)) == 1


@pytest.mark.slow
def test_no_dask_scheduler_is_said(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("brainfm.preparation_workers.DASK_TIMEOUT_S", 1)
    assert prepare(*files, "--out", tmp_path / "c", "--dask", "tcp://127.0.0.1:9") == 1
    assert "no Dask scheduler answers" in capsys.readouterr().err
