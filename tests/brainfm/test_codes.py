"""The corpus of codes: whole or not at all, never with another tokenizer's codebooks."""

import json
import pickle
import shutil

import h5py
import numpy as np
import pytest

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.code_file import flagged_frames, recording_file
from brainfm.codes import (
    CodeCorpus,
    begin_codes,
    finish_codes,
    write_codes,
)
from brainfm.corpus import Corpus, create_corpus
from brainfm.corpus_index import write_index
from brainfm.corpus_signal import CorpusSignal
from brainfm.encoder import Encoder


@pytest.fixture(scope="module")
def corpus(noise_corpus, tmp_path_factory):
    return Corpus(noise_corpus(tmp_path_factory.mktemp("corpus"), n=3, seconds=3.0))


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return save_checkpoint(tiny_model(masked=None), tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return Encoder.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def whole(corpus, checkpoint, encoder, tmp_path_factory):
    """A finished code corpus; not to be written to."""
    folder = tmp_path_factory.mktemp("codes")
    begin_codes(folder, checkpoint)
    for i in range(len(corpus)):
        write_codes(encoder, corpus, i, folder)
    finish_codes(folder, corpus)
    return CodeCorpus(folder)


def test_codes_are_those_of_the_encoder(whole, corpus, encoder):
    assert len(whole) == 3
    assert [info.id for info in whole.recordings] == [info.id for info in corpus.recordings]
    assert whole.token_shape == (3, 2)
    for i in range(3):
        expected = np.concatenate(list(encoder.code_blocks(CorpusSignal(corpus=corpus, index=i))))
        assert np.array_equal(whole.read(i), expected)
        assert whole.n_frames[i] == len(expected) == -(-int(corpus.columns.n_times[i]) // 32)


def test_any_stretch_can_be_read(whole):
    everything = whole.read(1)
    assert np.array_equal(whole.read(1, 3, 5), everything[3:8])
    assert whole.read(1, 4, 0).shape == (0, 3, 2)
    assert whole.read(1).dtype == np.uint16
    for start, n in ((-1, 2), (0, 10**6), (len(everything), 1)):
        with pytest.raises(ValueError, match=r"outside recording rec1 with \d+ frames"):
            whole.read(1, start, n)


def test_windows_are_read_together(whole):
    recordings, starts = np.array([2, 0, 2]), np.array([0, 5, 3])
    found = whole.read_windows(recordings, starts, 4)
    assert found.shape == (3, 4, 3, 2)
    for row, i, start in zip(found, recordings, starts, strict=True):
        assert np.array_equal(row, whole.read(int(i), int(start), 4))
    with pytest.raises(ValueError, match=r"4 frames from \[0, 99\] on are outside"):
        whole.read_windows(np.array([0, 1]), np.array([0, 99]), 4)
    with pytest.raises(ValueError, match="outside"):
        whole.read_windows(np.array([0]), np.array([-1]), 4)


def test_files_that_are_gone_or_cut_short_are_said(whole, tmp_path):
    folder = shutil.copytree(whole.path, tmp_path / "copy")
    recording_file(folder, "rec0").unlink()
    path = recording_file(folder, "rec1")
    path.write_bytes(path.read_bytes()[:-1])
    damaged = CodeCorpus(folder)
    for i in (0, 1):
        with pytest.raises(OSError, match=rf"rec{i}.h5 is gone or damaged; run 'brainfm codes'"):
            damaged.read(i)
    assert np.array_equal(damaged.read(2), whole.read(2))


def test_an_older_format_is_said(whole, tmp_path):
    begin_codes(tmp_path, whole.path / "tokenizer")
    content = json.loads((whole.path / "codes.json").read_text()) | {"format": 1}
    (tmp_path / "codes.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"has format 1, expected 2; run 'brainfm codes' again"):
        CodeCorpus(tmp_path)


def test_what_is_read_may_be_changed(whole):
    before = whole.read(0)
    read = whole.read(0)
    read += 1
    assert np.array_equal(whole.read(0), before)


def test_files_are_plain_hdf5(whole):
    with h5py.File(recording_file(whole.path, "rec0"), "r") as file:
        assert np.array_equal(file["codes"][()], whole.read(0))
        assert json.loads(file.attrs["info"])["id"] == "rec0"


def test_more_recordings_than_open_files(whole):
    few = CodeCorpus(whole.path, max_open=1)
    for i in (0, 1, 2, 0, 1):
        assert np.array_equal(few.read(i), whole.read(i))


def test_workers_open_it_for_themselves(whole):
    whole.read(0)
    copy = pickle.loads(pickle.dumps(whole))
    assert len(pickle.dumps(whole)) < 1000
    assert np.array_equal(copy.read(2), whole.read(2))


def test_an_interrupted_run_continues(corpus, checkpoint, encoder, tmp_path):
    begin_codes(tmp_path, checkpoint)
    assert write_codes(encoder, corpus, 0, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"is not finished .* run 'brainfm codes'"):
        CodeCorpus(tmp_path)
    stamp = recording_file(tmp_path, "rec0").stat().st_mtime_ns
    begin_codes(tmp_path, checkpoint)
    assert [write_codes(encoder, corpus, i, tmp_path) for i in range(3)] == [False, True, True]
    assert recording_file(tmp_path, "rec0").stat().st_mtime_ns == stamp
    finish_codes(tmp_path, corpus)
    assert len(CodeCorpus(tmp_path)) == 3


def test_a_failure_in_the_middle_leaves_nothing_behind(corpus, checkpoint, encoder, tmp_path):
    begin_codes(tmp_path, checkpoint)

    class Broken:
        model = encoder.model

        def code_blocks(self, signal):
            yield np.zeros((4, 3, 2), np.uint16)
            raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_codes(Broken(), corpus, 0, tmp_path)
    assert list((tmp_path / "recordings").iterdir()) == []


def test_codes_of_a_changed_recording_are_made_anew(
    checkpoint, encoder, tmp_path, add_recording, signal
):
    create_corpus(tmp_path / "corpus", encoder.model.record.processing.settings())
    begin_codes(tmp_path / "codes", checkpoint)
    codes = []
    for seed in (0, 1):
        add_recording(tmp_path / "corpus", "a", signal(4, 600, seed))
        write_index(tmp_path / "corpus")
        corpus = Corpus(tmp_path / "corpus")
        assert write_codes(encoder, corpus, 0, tmp_path / "codes")
        finish_codes(tmp_path / "codes", corpus)
        codes.append(CodeCorpus(tmp_path / "codes").read(0))
    assert not np.array_equal(*codes)


def test_another_tokenizer_is_refused(whole, tiny_model, tmp_path):
    other = save_checkpoint(tiny_model(seed=5, masked=None), tmp_path)
    with pytest.raises(ValueError, match="holds codes of another tokenizer; choose another --out"):
        begin_codes(whole.path, other)


def test_codes_never_travel_without_their_codebooks(whole, encoder, checkpoint, tmp_path):
    from brainfm.checkpoints import codes_digest, load_checkpoint

    inside = load_checkpoint(whole.path / "tokenizer").tokenizer
    assert codes_digest(inside) == codes_digest(encoder.model.tokenizer)
    begin_codes(tmp_path, checkpoint)
    content = json.loads((whole.path / "codes.json").read_text()) | {"codes_digest": "0"}
    (tmp_path / "codes.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="do not belong together"):
        CodeCorpus(tmp_path)


def test_what_is_no_code_corpus(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no code corpus"):
        CodeCorpus(tmp_path)


def test_flagged_seconds_flag_their_frames(tmp_path, tokenizer_config, add_recording, signal):
    """Frames of 1/8 s: second 1 flags frames 8 to 15, seconds 3 and 4 flag 24 to 39."""
    create_corpus(tmp_path, {"sfreq": 256.0})
    add_recording(tmp_path, "a", signal(2, 6 * 256, 0), flagged=(1, 3, 4))
    add_recording(tmp_path, "b", signal(2, 6 * 256, 0))
    write_index(tmp_path)
    corpus = Corpus(tmp_path)
    assert flagged_frames(corpus, 0, tokenizer_config()).tolist() == [[8, 16], [24, 40]]
    assert flagged_frames(corpus, 1, tokenizer_config()).tolist() == []
    # Windows of 1 s every 0.75 s: the second (0.75 s) holds second 1 from its third frame on.
    overlapping = tokenizer_config(window=256, overlap=0.25)
    begin = np.array([[0.75 * w + f / 8 for f in range(8)] for w in range(8)]).ravel()
    bad = [(b + 1 / 8 > 1 and b < 2) or (b + 1 / 8 > 3 and b < 5) for b in begin]
    found = np.zeros(len(bad), bool)
    for first, stop in flagged_frames(corpus, 0, overlapping).tolist():
        found[first:stop] = True
    n = len(np.flatnonzero(begin < 6))
    assert found[:n].tolist() == bad[:n]


def test_the_command(corpus, checkpoint, tmp_path, capsys):
    words = ["codes", str(corpus.path), "--tokenizer", str(checkpoint), "--out", str(tmp_path)]
    assert main(words) == 0
    # 256 / 32 frames a second, 3 sources, 2 levels of 3 bit.
    assert "codes of 3 recordings, 144 bit/s each, in " in " ".join(capsys.readouterr().out.split())
    before = (tmp_path / "codes.json").read_bytes()
    assert main(words) == 0
    assert (tmp_path / "codes.json").read_bytes() == before


def test_a_corpus_prepared_otherwise_is_refused(
    checkpoint, tmp_path, add_recording, signal, capsys
):
    from brainfm.processing import ProcessingConfig

    create_corpus(tmp_path / "corpus", ProcessingConfig(l_freq=1.0).settings())
    add_recording(tmp_path / "corpus", "a", signal(2, 600, 0))
    write_index(tmp_path / "corpus")
    words = ["codes", str(tmp_path / "corpus"), "--tokenizer", str(checkpoint)]
    assert main([*words, "--out", str(tmp_path / "codes")]) == 1
    assert "prepared with other settings (l_freq)" in capsys.readouterr().err
