"""Sounds as drives of synthetic brains."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_speech import (
    FRAME_RATE,
    mel_bank,
    present_sounds,
    read_sounds,
    read_wav,
    sound_features,
    speech_drive,
)

RATE = 8000


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    wavfile.write(path, rate, (samples * 32767).astype(np.int16))
    return path


def burst(at: float, seconds: float = 1.0, hertz: float = 500.0) -> np.ndarray:
    """A tone that begins in silence after ``at`` s."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.where(time >= at, 0.5 * np.sin(2 * np.pi * hertz * time), 0.0)


def test_the_envelope_rises_where_the_sound_does_and_is_zero_in_silence() -> None:
    envelope = sound_features(burst(0.5), RATE, n_bands=1)[0]
    times = np.arange(len(envelope)) / FRAME_RATE
    assert len(envelope) == 201
    assert not envelope[times < 0.48].any()
    assert times[np.argmax(np.diff(envelope))] == pytest.approx(0.5, abs=0.02)
    louder = sound_features(2 * burst(0.5), RATE, n_bands=1)[0]
    np.testing.assert_allclose(louder[150], envelope[150] * 2**0.6)


def test_a_tone_excites_the_mel_band_of_its_frequency() -> None:
    rows = [
        int(np.argmax(sound_features(burst(0.0, hertz=f), RATE, n_bands=6).sum(axis=1)))
        for f in (150.0, 600.0, 3000.0)
    ]
    assert rows == sorted(set(rows))
    bank = mel_bank(16000, 400, 40)
    assert bank.shape == (40, 201)
    assert (bank.sum(axis=1) > 0).all()


def test_all_sounds_are_played_before_one_is_repeated(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{k}.wav", burst(0.0, 1.0, 300.0 + k)) for k in range(4)]
    cfg = SimulationConfig(duration=13.2, gap=0.5, sfreq=100.0)
    played = present_sounds(read_sounds(paths, cfg), cfg, generator=np.random.default_rng(0))
    assert sorted(p.stimulus for p in played[:4]) == [0, 1, 2, 3]
    assert sorted(p.stimulus for p in played[4:8]) == [0, 1, 2, 3]
    np.testing.assert_allclose([p.onset for p in played], 0.5 + 1.5 * np.arange(9))
    assert played[-1].duration == pytest.approx(13.2 - 12.5)


def test_with_jitter_times_tell_nothing_of_the_sounds(tmp_path: Path) -> None:
    lengths = np.linspace(0.2, 1.0, 9)
    paths = [
        write(tmp_path / f"{k}.wav", burst(0.0, seconds, 300.0 + k))
        for k, seconds in enumerate(lengths)
    ]

    def told(**settings: float) -> tuple[float, np.ndarray]:
        """Correlation of a sound's length with the time until the next, and these times."""
        cfg = SimulationConfig(duration=800.0, sfreq=100.0, gap=0.3, **settings)
        played = present_sounds(read_sounds(paths, cfg), cfg, generator=np.random.default_rng(0))
        until = np.diff([p.onset for p in played])
        length = lengths[[p.stimulus for p in played[:-1]]]
        return float(np.corrcoef(length, until)[0, 1]), until

    fixed, _ = told()
    assert fixed == pytest.approx(1.0, abs=0.01)
    hidden, until = told(jitter=0.4)
    # 500 pairs: a correlation of .15 is 3.3 standard errors.
    assert abs(hidden) < 0.15
    assert until.min() >= 1.3 - 0.01
    assert until.max() <= 1.7 + 0.02
    assert until.std() == pytest.approx(0.4 / np.sqrt(12), rel=0.1)


def test_the_drive_holds_each_sound_at_its_time(tmp_path: Path) -> None:
    cfg = SimulationConfig(duration=4.0, sfreq=100.0, gap=1.0)
    sounds = read_sounds([write(tmp_path / "a.wav", burst(0.5))], cfg)
    played = present_sounds(sounds, cfg, generator=np.random.default_rng(0))
    drive = speech_drive(sounds, played, cfg)[0]
    assert drive.shape == (400,)
    assert not drive[:145].any()
    assert drive[155:200].min() > 1
    assert not drive[202:345].any()


def test_the_same_sound_has_the_same_content_under_any_name(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.wav", burst(0.2)) for name in "ab"]
    paths.append(write(tmp_path / "c.wav", burst(0.3)))
    ids = [sound.content_id for sound in read_sounds(paths, SimulationConfig())]
    assert ids[0] == ids[1] != ids[2]


def test_stereo_and_float_files_are_read_alike(tmp_path: Path) -> None:
    tone = burst(0.1)
    wavfile.write(tmp_path / "f.wav", RATE, np.stack([tone, tone], axis=1).astype(np.float32))
    integers, _ = read_wav(write(tmp_path / "i.wav", tone))
    floats, rate = read_wav(tmp_path / "f.wav")
    assert rate == RATE
    np.testing.assert_allclose(floats, integers, atol=1e-4)


def test_sounds_that_cannot_be_used_are_named_with_the_reason(tmp_path: Path) -> None:
    cfg = SimulationConfig()
    with pytest.raises(FileNotFoundError, match=r"no audio file .*gone\.wav"):
        read_sounds([tmp_path / "gone.wav"], cfg)
    (tmp_path / "song.mp3").write_bytes(b"ID3" + bytes(100))
    with pytest.raises(ValueError, match=r"song\.mp3: cannot be read as WAV.*ffmpeg"):
        read_sounds([tmp_path / "song.mp3"], cfg)
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.wav: cannot be read as WAV"):
        read_sounds([tmp_path / "empty.wav"], cfg)
    with pytest.raises(ValueError, match=r"0\.1 s at 4000 Hz"):
        read_sounds([write(tmp_path / "short.wav", burst(0.0, 0.05))], cfg)
    with pytest.raises(ValueError, match="silent"):
        read_sounds([write(tmp_path / "still.wav", np.zeros(RATE))], cfg)
    (tmp_path / "other").mkdir()
    twins = [write(tmp_path / "x.wav", burst(0.1)), write(tmp_path / "other/x.wav", burst(0.2))]
    with pytest.raises(ValueError, match=r"two different sounds are named x\.wav"):
        read_sounds(twins, cfg)
