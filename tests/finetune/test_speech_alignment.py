"""When words were heard, by the recording: planted clocks are found, wrong tables refused."""

import json

import mne
import numpy as np
import pytest
from brainfm.finetune.speech_alignment import SpeechAlignmentConfig, align_words, told
from brainfm.finetune.speech_sources import ALIGNMENT_FILE, SpeechRecordings
from scipy.io import wavfile

from brainfm.alignment import AlignmentConfig
from brainfm.processing_config import ProcessingConfig
from brainfm.speech_events import SpeechEventConfig, Word

RATE, SFREQ = 8000, 1000.0
OFFSET, DRIFT = 0.137, 300.0
STEM = "sub-01_ses-01_task-synthetic"


def really(times):
    """Return when was heard what the table has at some times, s."""
    return OFFSET + (1 + 1e-6 * DRIFT) * np.asarray(times)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Ten bursts of noise of 3 s, loud and soft in turn."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for k in range(10):
        loud = np.repeat(rng.uniform(0, 1, 60) ** 3, RATE // 20)
        noise = (0.3 * loud * rng.standard_normal(len(loud))).astype("f4")
        wavfile.write(folder / f"{k}.wav", RATE, noise)
    return folder


@pytest.fixture(scope="module")
def onsets():
    return 1.0 + 4.1 * np.arange(30) + np.random.default_rng(1).uniform(0, 0.8, 30)


@pytest.fixture(scope="module")
def raw(sounds, onsets):
    """EEG of noise, the sound as amplifiers record it, and triggers of 10 ms."""
    n = int(130 * SFREQ)
    rng = np.random.default_rng(2)
    loudness, stim = 0.01 * np.ones(n), np.zeros(n)
    time = np.arange(n) / SFREQ
    for k, onset in enumerate(onsets):
        _, samples = wavfile.read(sounds / f"{k % 10}.wav")
        # Where in the sound each sample of the recording is.
        at = ((time - OFFSET) / (1 + 1e-6 * DRIFT) - onset) * RATE
        heard = np.interp(at, np.arange(len(samples)), np.abs(samples), left=0, right=0)
        loudness += heard
        stim[round(float(really(onset)) * SFREQ) :][:10] = 1
    names = ["Fz", "Cz", "Pz", "Oz"]
    x = np.vstack([1e-5 * rng.standard_normal((4, n)), loudness * rng.choice([-1, 1], n), stim])
    info = mne.create_info([*names, "AUD", "STI"], SFREQ, ["eeg"] * 4 + ["misc", "stim"])
    made = mne.io.RawArray(x, info, verbose="ERROR")
    return made.set_montage("standard_1020")


def words_of(onsets):
    return [
        Word(text="w", onset=float(t), sound=str(k % 10), at=0.0, duration=3.0, sentence="s")
        for k, t in enumerate(onsets)
    ]


def paths(sounds):
    return {str(k): sounds / f"{k}.wav" for k in range(10)}


@pytest.mark.parametrize("how", [{"channel": "AUD"}, {"triggers": "STI"}])
def test_planted_offset_and_drift_are_found_and_taken_out(raw, sounds, onsets, how):
    words = words_of(onsets)
    moved, fit = align_words(words, raw, paths(sounds), SpeechAlignmentConfig(**how), name="r")
    assert fit.offset == pytest.approx(OFFSET, abs=4e-3)
    assert fit.drift == pytest.approx(DRIFT, abs=40)
    assert fit.residual < 5e-3
    np.testing.assert_allclose([w.onset for w in moved], really(onsets), atol=5e-3)
    assert [w.at for w in moved] == [w.at for w in words]
    assert f"offset {fit.offset:+.3f} s, drift {fit.drift:+.1f} parts per million" in told(
        {"r": fit}
    )


def test_what_cannot_be_aligned_is_refused_by_name(raw, sounds, onsets):
    def align(times, **how):
        cfg = SpeechAlignmentConfig(**how)
        return align_words(words_of(times), raw, paths(sounds), cfg, name="s1r1")

    with pytest.raises(ValueError, match=r"s1r1 .*no channel 'AUDIO'; .*sensors: AUD, STI"):
        align(onsets, channel="AUDIO")
    small = AlignmentConfig(most_drift=100.0)
    with pytest.raises(ValueError, match=r"s1r1 .*differ by \d+ parts per million, more than 100"):
        align(onsets, triggers="STI", limits=small)
    with pytest.raises(ValueError, match=r"heard -1\.9\d\d s from there, more than most_shift"):
        align(onsets + 2.1, triggers="STI")
    other = np.sort(np.random.default_rng(5).uniform(1, 125, 30))
    for how in ({"channel": "AUD"}, {"triggers": "STI"}):
        with pytest.raises(ValueError, match=r"s1r1 cannot be aligned: only .* onsets"):
            align(other, **how)
    with pytest.raises(ValueError, match="one of them"):
        SpeechAlignmentConfig()
    with pytest.raises(ValueError, match="most_shift"):
        SpeechAlignmentConfig(channel="AUD", most_shift=0)


def test_a_source_aligns_its_recordings_and_says_so(raw, sounds, onsets, tmp_path, capsys):
    place = tmp_path / "sub-01" / "ses-01"
    place.mkdir(parents=True)
    raw.save(place / f"{STEM}_raw.fif", verbose="ERROR")
    rows = [f"{t:.6f}\t3.0\tsynthetic/speech\t{k % 10}.wav" for k, t in enumerate(onsets)]
    head = "onset\tduration\ttrial_type\tstim_file"
    (place / f"{STEM}_events.tsv").write_text("\n".join([head, *rows]) + "\n")
    source = SpeechRecordings(
        str(tmp_path),
        "simulated",
        audio=str(sounds),
        events=SpeechEventConfig(unit="sentence", block_s=0.0),
        align=SpeechAlignmentConfig(channel="AUD"),
    )
    cache = tmp_path / "cache"
    _, ((_, events),) = source.prepare(cache, ProcessingConfig(sfreq=64.0, h_freq=20.0))
    np.testing.assert_allclose([e.onset for e in events], really(onsets), atol=5e-3)
    said = capsys.readouterr().err
    assert "sound aligned with 1 recordings: offset +0.13" in said
    (fit,) = json.loads((cache / ALIGNMENT_FILE).read_text()).values()
    assert fit["drift"] == pytest.approx(DRIFT, abs=40)
