"""benchmarks/decoding_synthetic_text.py: sentences of digits, and both presets from end to end."""

import sys

import numpy as np
import pytest
from scipy.io import wavfile
from shown_commands import documented

from brainfm.synthetic_words import words_beside

RATE = 8000


@pytest.fixture(scope="module")
def modules(root):
    sys.path.insert(0, str(root / "benchmarks"))
    import decoding_synthetic
    import decoding_synthetic_text
    import digit_sentences

    yield decoding_synthetic, decoding_synthetic_text, digit_sentences
    sys.path.remove(str(root / "benchmarks"))
    for name in ("decoding_synthetic", "decoding_synthetic_text", "digit_sentences"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Bursts of noise that stand for digits of two speakers, four recordings of each."""
    folder = tmp_path_factory.mktemp("speech") / "fsdd"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for digit in range(4):
        for speaker in ("ann", "bob"):
            for number in range(4):
                loud = np.repeat(rng.uniform(0, 1, 8) ** 3, RATE // 20)
                noise = (0.3 * loud * rng.standard_normal(len(loud))).astype("f4")
                wavfile.write(folder / f"{digit}_{speaker}_{number}.wav", RATE, noise)
    return sorted(folder.iterdir())


def test_every_recording_is_in_one_sentence_at_most(modules, recordings):
    lines = modules[2].each_once(recordings, 3, np.random.default_rng(0))
    used = [path for line in lines for path in line]
    assert len(lines) == 10  # five of the sixteen recordings of each speaker
    assert len(set(used)) == len(used) == 30
    assert all(len({path.stem.split("_")[1] for path in line}) == 1 for line in lines)


def test_one_voice_says_different_sentences_with_one_recording_a_digit(
    modules, recordings, tmp_path
):
    lines = modules[2].one_voice(recordings, 3, 20, np.random.default_rng(0))
    assert len({tuple(path.stem for path in line) for line in lines}) == 20
    assert {path.name for line in lines for path in line} == {f"{k}_ann_0.wav" for k in range(4)}
    paths = modules[2].write_sentences(lines, tmp_path)
    rate, samples = wavfile.read(paths[0])
    words = words_beside(paths[0], len(samples) / rate)
    names = [modules[2].NAMES[int(path.stem[0])] for path in lines[0]]
    assert [word.text for word in words] == names
    # Each lasts .4 s, with .1 s between; nothing after the last.
    assert [word.onset for word in words] == pytest.approx([0.0, 0.5, 1.0])
    assert len(samples) / rate == pytest.approx(1.4)
    assert not samples[round(0.41 * rate) : round(0.49 * rate)].any()


def test_even_sentences_have_words_of_one_length(modules, recordings, tmp_path):
    lines = modules[2].each_once(recordings, 3, np.random.default_rng(0))
    for path in modules[2].write_sentences(lines, tmp_path, even=True):
        rate, samples = wavfile.read(path)
        words = words_beside(path, len(samples) / rate)
        assert [word.onset for word in words] == pytest.approx([0.0, 0.5, 1.0])
        assert [word.duration for word in words] == pytest.approx([0.5] * 3)
        assert len(samples) / rate == pytest.approx(1.5)


FEW = ["--text-subjects", "2", "--text-duration", "60", "--epochs", "1", "--sentences", "30"]


@pytest.mark.slow
def test_texts_are_read_in_every_way_and_beside_their_controls(
    modules, recordings, tmp_path, capsys
):
    pytest.importorskip("flashlight.lib.text.decoder", reason="flashlight-text is not installed")
    bench, text, digits = modules
    name = "docs/decoding_synthetic.md: python benchmarks/decoding_synthetic.py texts"
    words = documented(name, scratch=str(tmp_path))[1:]
    assert bench.run([*words, "--speech", str(recordings[0].parents[1]), *FEW]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.count("|") == 6]
    # Three ways to read and two controls, with something planted and without.
    assert len(rows) == 2 + 2 * (1 + len(text.DECODINGS) + len(text.CONTROLS))
    run = text.load_run(next(tmp_path.glob("texts-planted-*-speech_ctc")))
    assert run.record.synthetic
    for cfg in text.DECODINGS.values():
        again = text.redecoded(run, cfg)
        words = {word for fold in again.folds for said in fold.output for word in said.split()}
        if cfg.lexicon:
            assert words <= set(digits.NAMES)


@pytest.mark.slow
def test_words_are_found_beside_their_controls(modules, recordings, tmp_path, capsys):
    name = "docs/decoding_synthetic.md: python benchmarks/decoding_synthetic.py words"
    words = documented(name, scratch=str(tmp_path))[1:]
    assert modules[0].run([*words, "--speech", str(recordings[0].parents[1]), *FEW]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.count("|") == 6]
    assert [row.split("|")[1].strip() for row in rows[2:]] == [
        f"{name}{control}"
        for name in ("planted", "null")
        for control in ("", ": metadata", ": prior only")
    ]
