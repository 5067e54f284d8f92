"""``brainfm prepare`` when things go wrong: other runs, full disks, damage, and being killed."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from killing import kill_somewhere
from prepared_files import digests, prepare, table, write_eeg

from brainfm.cli import main
from brainfm.corpus import Corpus
from brainfm.hdf5_errors import hdf5_writing
from brainfm.preparation_run import FAILURES_FILE, LOCK_FILE, prepare_corpus
from brainfm.processing import ProcessingConfig
from brainfm.recordings import Recording
from brainfm.seal import is_intact
from brainfm.sources import Source, file_sources


def test_two_runs_at_once_are_refused(files, tmp_path, capsys):
    from filelock import FileLock

    out = tmp_path / "corpus"
    out.mkdir()
    with FileLock(out / LOCK_FILE):
        assert prepare(*files, "--out", out) == 1
    assert "another 'brainfm prepare' is at work" in capsys.readouterr().err
    assert prepare(*files, "--out", out) == 0


def test_folders_that_cannot_be_a_corpus_are_refused(files, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("x")
    assert prepare(*files, "--out", file) == 1
    assert "is a file" in capsys.readouterr().err
    assert prepare(*files, "--out", "/proc/brainfm") == 1
    assert "cannot be written to" in capsys.readouterr().err
    assert prepare(*files, "--out", tmp_path) == 1
    assert "holds other things than a corpus" in capsys.readouterr().err


def test_a_full_disk_stops_the_run_and_leaves_nothing_half(files, tmp_path, monkeypatch, capsys):
    out = tmp_path / "corpus"
    prepare(files[0], "--out", out)
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert prepare(*files, "--out", out) == 1
    assert "no room" in capsys.readouterr().err
    monkeypatch.undo()
    assert len(list((out / "recordings").iterdir())) == 1
    assert prepare(*files, "--out", out) == 0
    assert len(Corpus(out)) == 3


def test_a_disk_that_fills_while_writing_stops_the_run(files, tmp_path, monkeypatch, capsys):
    def write(*arguments, **settings):
        with hdf5_writing(tmp_path / "x.h5"):
            raise OSError("write failed: errno = 28, error message = 'No space left on device'")

    monkeypatch.setattr("brainfm.preparation.write_recording", write)
    assert prepare(*files, "--out", tmp_path / "corpus") == 1
    told = capsys.readouterr()
    assert "no room left for x.h5" in told.err  # the disk, not the recordings, is to blame
    assert "Errno" not in told.err
    assert not (tmp_path / "corpus" / FAILURES_FILE).exists()


@pytest.mark.parametrize("how", ["header", "info", "cut"])
def test_a_damaged_recording_is_made_again(files, tmp_path, how):
    out = tmp_path / "corpus"
    prepare(*files, "--out", out)
    before = digests(out)
    path = out / "recordings" / "s1_rest_raw-fif.h5"
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[:700]
    else:
        content[512 if how == "header" else content.find(b'"licence"') + 1] ^= 1
    path.write_bytes(content)
    assert prepare(*files, "--out", out) == 0
    assert digests(out) == before
    assert main(["corpus", "verify", str(out)]) == 0


def test_damage_elsewhere_in_the_corpus_loses_nobody_else(files, tmp_path, capsys):
    out = tmp_path / "corpus"
    prepare(*files[:2], "--out", out)
    path = out / "recordings" / "s1_rest_raw-fif.h5"
    path.write_bytes(path.read_bytes()[:700])
    assert prepare(files[2], "--out", out) == 1
    told = capsys.readouterr().out
    assert "damaged                1 recordings, not in the index" in told
    assert list(digests(out)) == ["s0_rest_raw-fif", "s2_rest_raw-fif"]


@dataclass(frozen=True, kw_only=True)
class CrashingSource(Source):
    """A source whose reader kills its process, as a segmentation fault would."""

    def open(self) -> Recording:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@pytest.mark.slow
@pytest.mark.distributed
def test_a_reader_that_kills_its_process_is_one_failure(files, tmp_path):
    sources = file_sources(files)
    crashing = CrashingSource(path=files[0], id="crash", dataset="files")
    out = tmp_path / "corpus"
    status = prepare_corpus(out, [crashing, *sources], ProcessingConfig(), n_jobs=2)
    assert status == 1
    assert [row["id"] for row in table(out / FAILURES_FILE)] == ["crash"]
    assert len(Corpus(out)) == 3


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_killed_at_ten_random_moments_it_ends_with_the_same_corpus(tmp_path, n_jobs):
    files = [
        write_eeg(tmp_path / f"s{i}" / "rest_raw.fif", seconds=60.0, seed=i) for i in range(12)
    ]
    assert prepare(*files, "--out", tmp_path / "calm") == 0
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "brainfm.cli", "prepare", *map(str, files)]
    command += ["--out", str(out), "--n-jobs", str(n_jobs)]
    rng = np.random.default_rng(n_jobs)
    killed = interrupted = 0
    while killed < 10:
        if kill_somewhere(command, out / "recordings", rng, changes=(0, 8), late=0.05):
            killed += 1
            whole = list((out / "recordings").glob("[!.]*.h5"))
            interrupted += 0 < len(whole) < len(files)
            for path in whole:
                assert is_intact(path)
        else:
            assert digests(out) == digests(tmp_path / "calm")
            shutil.rmtree(out)
    assert interrupted >= 2
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert digests(out) == digests(tmp_path / "calm")
    assert not list((out / "recordings").glob(".*"))
