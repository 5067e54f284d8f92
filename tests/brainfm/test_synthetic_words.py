"""Words of sounds: read, checked against their sound, and found again in a data set."""

import numpy as np
import pytest
from brainfm.finetune.speech_sources import SpeechRecordings
from scipy.io import wavfile

from brainfm.simulation_config import SimulationConfig
from brainfm.simulation_run import simulate_dataset
from brainfm.speech_events import SpeechEventConfig
from brainfm.synthetic_words import TimedWord, words_beside, words_of_sounds, write_words

TABLE = "onset\tduration\ttext\n0.6\t0.3\ttwo\n0.1\t0.4\tOne\n"


@pytest.fixture
def sound(tmp_path):
    """A second of noise with two words."""
    path = tmp_path / "sounds" / "a.wav"
    path.parent.mkdir()
    wavfile.write(path, 8000, 0.1 * np.random.default_rng(0).standard_normal(8000).astype("f4"))
    path.with_suffix(".words.tsv").write_text(TABLE)
    return path


def test_words_are_read_by_onset_and_written_again(sound, tmp_path):
    found = words_beside(sound, 1.0)
    assert found == (
        TimedWord(text="One", onset=0.1, duration=0.4),
        TimedWord(text="two", onset=0.6, duration=0.3),
    )
    assert words_beside(sound.with_name("b.wav"), 1.0) == ()
    write_words(tmp_path, {"a.wav": found, "b.wav": ()})
    assert words_of_sounds(tmp_path) == {"a.wav": list(found)}
    assert words_of_sounds(sound.parent) == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0.6\t0.5\ttwo", r"word 'two' lasts from 0\.6 to 1\.1 s, but a\.wav from 0 to 1 s"),
        ("0.3\t0.3\ttwo", r"word 'two' begins at 0\.3 s, before 'One' ends"),
        ("0.6\t0\ttwo", "line 3 must hold one word that lasts longer than 0 s"),
        ("0.6\t0.3\ttwo three", "line 3 must hold one word"),
        ("0.6\tx\ttwo", "line 3 has a time that is no number"),
    ],
)
def test_a_table_that_does_not_fit_its_sound_is_refused(sound, line, message):
    path = sound.with_suffix(".words.tsv")
    path.write_text(f"onset\tduration\ttext\n0.1\t0.4\tOne\n{line}\n")
    with pytest.raises(ValueError, match=message):
        words_beside(sound, 1.0)
    path.write_text("onset\ttext\n0.1\tOne\n")
    with pytest.raises(ValueError, match=r"no column 'duration'; its columns: onset, text"):
        words_beside(sound, 1.0)


def test_simulated_people_hear_words_and_sentences_with_texts(sound, tmp_path):
    cfg = SimulationConfig(
        subjects=1, duration=4.0, sfreq=100.0, gap=0.5, jitter=0.2, line_freq=0.0
    )
    simulate_dataset(tmp_path / "set", cfg, audio=[sound], channels=["Fz", "Cz", "Pz"])

    def events(unit):
        known = SpeechEventConfig(unit=unit, block_s=0.0)
        made = SpeechRecordings(
            str(tmp_path / "set"), "simulated", audio=str(sound.parent), events=known
        )
        (found,) = made.recordings()
        return found.events

    words, texts = events("word"), events("text")
    # The second playing ends at 3.2 s at the latest, the third begins by 3.9 s.
    assert [e.name for e in words][:4] == ["one", "two", "one", "two"]
    assert words[1].onset - words[0].onset == pytest.approx(0.5, abs=1e-6)
    assert len({e.group for e in words}) == 1
    assert [e.name for e in texts][:2] == ["one two", "one two"]
    assert texts[0].onset == words[0].onset
    assert texts[0].duration == pytest.approx(0.8)
