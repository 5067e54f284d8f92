"""``brainfm codes``: again and again, on one core or many, whatever is in the corpus."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from killing import kill_somewhere

from brainfm.checkpoints import codes_digest, load_checkpoint, read_config, save_checkpoint
from brainfm.cli import main
from brainfm.code_file import recording_file
from brainfm.codes import CODES_FILE, CodeCorpus
from brainfm.codes_run import LOCK_FILE
from brainfm.corpus import Corpus, create_corpus
from brainfm.corpus_index import write_index
from brainfm.preparation_run import FAILURES_FILE
from brainfm.processing import ProcessingConfig
from brainfm.seal import is_intact


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    model = tiny_model(masked=None, types={"eeg": 0})
    return save_checkpoint(model, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def corpus(tmp_path, add_recording, signal):
    """Seven recordings of 2 to 4 electrodes, one with a bad one; a window is 128 samples."""
    folder = tmp_path / "corpus"
    create_corpus(folder, ProcessingConfig().settings())
    for k, n_times in enumerate((128, 700, 1500, 300, 129, 900, 1100)):
        x = signal(2 + k % 3, n_times, k)
        good = np.ones(len(x), bool)
        good[1] = k != 5
        add_recording(folder, f"rec{k}", x, good=good, flagged=(0,) if k == 2 else ())
    write_index(folder)
    return folder


def codes(corpus, checkpoint, out, *options):
    words = ["codes", str(corpus), "--tokenizer", str(checkpoint), "--out", str(out)]
    return main([*words, *map(str, options)])


def content(folder):
    """Every byte of a code corpus, by file."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LOCK_FILE
    }


def stamps(folder):
    return {p.name: p.stat().st_mtime_ns for p in (folder / "recordings").iterdir()}


def test_the_batch_changes_no_byte(corpus, checkpoint, tmp_path, capsys):
    assert codes(corpus, checkpoint, tmp_path / "a") == 0
    printed = capsys.readouterr().out
    assert "computed now           7 recordings" in printed
    assert f"codes of 7 recordings, 144 bit/s each, in {tmp_path / 'a'}" in printed
    for budget in (1, 5, 100000):
        out = tmp_path / str(budget)
        assert codes(corpus, checkpoint, out, "--batch-windows", budget) == 0
        assert content(out) == content(tmp_path / "a")


@pytest.mark.slow
@pytest.mark.distributed
def test_processes_make_the_same_bytes(corpus, checkpoint, tmp_path, capfd):
    assert codes(corpus, checkpoint, tmp_path / "a") == 0
    assert codes(corpus, checkpoint, tmp_path / "b", "--n-jobs", 2, "--batch-windows", 1) == 0
    assert content(tmp_path / "b") == content(tmp_path / "a")
    assert "7/7 recordings" not in capfd.readouterr().out  # progress is for stderr


def test_a_corpus_that_grew(corpus, checkpoint, tmp_path, add_recording, signal, capsys):
    out = tmp_path / "codes"
    assert codes(corpus, checkpoint, out) == 0
    before = stamps(out)
    add_recording(corpus, "another", signal(3, 500, 9))
    write_index(corpus)
    capsys.readouterr()
    assert codes(corpus, checkpoint, out) == 0
    printed = capsys.readouterr().out
    assert "computed now           1 recordings" in printed
    assert "computed before        7 recordings" in printed
    assert {name: t for name, t in stamps(out).items() if name in before} == before
    assert codes(corpus, checkpoint, tmp_path / "fresh") == 0
    assert content(out) == content(tmp_path / "fresh")


def test_only_whole_files_count(corpus, checkpoint, tmp_path):
    out = tmp_path / "codes"
    assert codes(corpus, checkpoint, out) == 0
    before = content(out)
    flipped = bytearray(before["recordings/rec1.h5"])
    flipped[-3] ^= 1
    recording_file(out, "rec1").write_bytes(flipped)
    recording_file(out, "rec2").write_bytes(before["recordings/rec2.h5"][:-1])
    recording_file(out, "rec3").unlink()
    (out / "recordings" / ".rec4.h5.0123.tmp").write_bytes(b"of a killed run")
    kept = stamps(out)["rec0.h5"]
    assert codes(corpus, checkpoint, out) == 0
    assert content(out) == before
    assert stamps(out)["rec0.h5"] == kept


def test_while_files_change_there_is_no_list_of_them(corpus, checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "codes"
    assert codes(corpus, checkpoint, out) == 0
    recording_file(out, "rec1").unlink()

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("brainfm.codes_work.store_codes", interrupted)
    assert codes(corpus, checkpoint, out) == 130
    with pytest.raises(FileNotFoundError, match=r"is not finished .* run 'brainfm codes'"):
        CodeCorpus(out)


def test_what_the_tokenizer_cannot_take_is_named(
    corpus, checkpoint, tmp_path, add_recording, signal, capsys
):
    add_recording(corpus, "short", signal(2, 100, 1))
    add_recording(corpus, "foreign", signal(3, 600, 1), kind="mag")
    add_recording(corpus, "unread", signal(3, 600, 1))
    write_index(corpus)
    (corpus / "recordings" / "unread.h5").write_bytes(b"")
    out = tmp_path / "codes"
    assert codes(corpus, checkpoint, out) == 1
    printed = capsys.readouterr().out
    assert "left out               3 recordings" in printed
    assert "short: is 0.390625 s long, shorter than a window of the tokenizer (0.5 s)" in printed
    assert "foreign: this model takes eeg; the recording also has mag channels" in printed
    made = CodeCorpus(out)
    assert [info.id for info in made.recordings] == [f"rec{k}" for k in range(7)]
    assert sorted(made.left_out) == ["foreign", "short", "unread"]
    lines = (out / FAILURES_FILE).read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["id", "foreign", "short", "unread"]
    mended = tmp_path / "mended"
    add_recording(corpus, "unread", signal(3, 600, 1))
    write_index(corpus)
    assert codes(corpus, checkpoint, out) == 1
    assert sorted(CodeCorpus(out).left_out) == ["foreign", "short"]
    assert codes(corpus, checkpoint, mended) == 1
    assert content(out) == content(mended)


def test_a_corpus_with_nothing_for_the_tokenizer(
    checkpoint, tmp_path, add_recording, signal, capsys
):
    create_corpus(tmp_path / "corpus", ProcessingConfig().settings())
    add_recording(tmp_path / "corpus", "short", signal(2, 100, 1))
    write_index(tmp_path / "corpus")
    assert codes(tmp_path / "corpus", checkpoint, tmp_path / "codes") == 1
    assert "none of 1 recordings has codes, e.g. short: is 0.39" in capsys.readouterr().err
    assert not (tmp_path / "codes" / CODES_FILE).exists()


def test_two_runs_at_once(corpus, checkpoint, tmp_path, capsys):
    from filelock import FileLock

    out = tmp_path / "codes"
    out.mkdir()
    with FileLock(out / LOCK_FILE):
        assert codes(corpus, checkpoint, out) == 1
    assert "another 'brainfm codes' is at work" in capsys.readouterr().err
    assert codes(corpus, checkpoint, out) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n-jobs", 2, "--device", "cuda"), "--n-jobs must be 1 on cuda"),
        (("--n-jobs", 0), "--n-jobs must be 1 on cpu and not 0"),
        (("--batch-windows", 0), "--batch-windows must be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be(corpus, checkpoint, tmp_path, capsys, options, message):
    assert codes(corpus, checkpoint, tmp_path / "codes", *options) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "codes").exists()


def test_folders_that_hold_something_else(corpus, checkpoint, tmp_path, capsys):
    assert codes(corpus, checkpoint, corpus) == 1
    assert "holds other things than codes (corpus.json, index.h5)" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert codes(corpus, checkpoint, tmp_path / "file") == 1
    assert "is a file; --out needs a folder" in capsys.readouterr().err


def test_a_tokenizer_that_was_half_copied(corpus, checkpoint, tmp_path, tiny_model):
    """A run with another one was killed before its configuration was there."""
    other = save_checkpoint(tiny_model(masked=None, seed=5), tmp_path / "other")
    out = tmp_path / "codes"
    (out / "tokenizer").mkdir(parents=True)
    shutil.copy(other / "model.safetensors", out / "tokenizer")
    assert codes(corpus, checkpoint, out) == 0
    assert read_config(out / "tokenizer") == read_config(checkpoint)
    assert (
        codes_digest(load_checkpoint(out / "tokenizer").tokenizer) == CodeCorpus(out).codes_digest
    )


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    checkpoint, tmp_path, add_recording, signal, n_jobs
):
    folder, out = tmp_path / "corpus", tmp_path / "killed"
    create_corpus(folder, ProcessingConfig().settings())
    for k in range(16):
        add_recording(folder, f"rec{k:02d}", signal(2 + k % 2, 20000 + 500 * k, k))
    write_index(folder)
    assert codes(folder, checkpoint, tmp_path / "calm") == 0
    command = [sys.executable, "-m", "brainfm.cli", "codes", str(folder)]
    command += ["--tokenizer", str(checkpoint), "--out", str(out)]
    command += ["--n-jobs", str(n_jobs), "--batch-windows", "50"]
    rng = np.random.default_rng(n_jobs)
    interrupted = 0
    for _ in range(6 // n_jobs):
        if kill_somewhere(command, out / "recordings", rng, changes=(1, 10), late=0.01):
            whole = list((out / "recordings").glob("[!.]*.h5"))
            interrupted += 0 < len(whole) < 16
            assert all(is_intact(path) for path in whole)
        else:
            shutil.rmtree(out)
    assert interrupted >= 1
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert content(out) == content(tmp_path / "calm")
    assert json.loads((out / CODES_FILE).read_text())["left_out"] == {}


def test_info_follows_the_corpus(corpus, checkpoint, tmp_path):
    assert codes(corpus, checkpoint, tmp_path / "codes") == 0
    made, source = CodeCorpus(tmp_path / "codes"), Corpus(corpus)
    assert made.recordings == list(source.recordings)
    assert made.digest == source.digest
    assert made.codes_digest == read_config(checkpoint)["codes_digest"]
    np.testing.assert_allclose(made.times(0), (np.arange(4) + 0.5) / 8)
    assert made.flagged(2).tolist() == [[0, 8]]
