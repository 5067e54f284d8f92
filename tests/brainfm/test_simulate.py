"""The command: what it writes, that it can be repeated, and what it refuses."""

import json
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from brainfm import simulate
from brainfm.command_parser import command_parser
from brainfm.event_tables import events_from_table
from brainfm.processing import process
from brainfm.recordings import read_recording

SMALL = ["--montage", "biosemi16", "--duration", "12", "--sfreq", "128", "--subjects", "2"]
STEM = "sub-01_ses-01_task-synthetic"


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two noises whose loudness goes up and down three times a second."""
    folder = tmp_path_factory.mktemp("audio")
    time = np.arange(16000) / 8000
    rng = np.random.default_rng(0)
    for k in range(2):
        wave = rng.uniform(-1, 1, 16000) * np.sin(np.pi * 3 * (time + k / 5)) ** 2
        wavfile.write(folder / f"{k}.wav", 8000, (wave * 20000).astype(np.int16))
    return [str(path) for path in sorted(folder.iterdir())]


def simulated(out: Path, *words: str) -> Path:
    parser = command_parser("simulate", simulate)
    assert simulate.run(parser.parse_args([*SMALL, *words, "--out", str(out)])) == 0
    return out


def samples_of(folder: Path, subject: int = 1, session: int = 1) -> np.ndarray:
    name = f"sub-{subject:02d}_ses-{session:02d}_task-synthetic_raw.fif"
    path = folder / f"sub-{subject:02d}" / f"ses-{session:02d}" / name
    return np.asarray(mne.io.read_raw_fif(path, verbose="ERROR").get_data())


def test_the_folder_holds_signal_events_bold_and_truth(
    tmp_path: Path, audio: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = simulated(
        tmp_path / "set", "--audio", *audio, "--meg", "neuromag", "--bold-rois", "2", "--snr", "3"
    )
    told = capsys.readouterr().out
    assert "2 synthetic recordings" in told
    assert "eeg 3.0 dB" in told
    place = out / "sub-01" / "ses-01"
    raw = mne.io.read_raw_fif(place / f"{STEM}_raw.fif", verbose="ERROR")
    assert "synthetic" in raw.info["description"]
    assert raw.get_channel_types(unique=True) == ["grad", "mag", "eeg"]

    truth = np.load(out / "truth" / f"{STEM}_truth.npz", allow_pickle=False)
    about = json.loads((out / "truth" / f"{STEM}_truth.json").read_text())
    assert set(about["arrays"]) == set(truth.files)
    assert about["components"] == ["speech-0", "rhythm-0", "rhythm-1"]
    assert about["channels"] == raw.ch_names
    assert about["snr_made_db"]["eeg"] == pytest.approx(3.0)
    assert truth["courses"].shape == (3, raw.n_times)
    heard = about["silences_s"]
    assert heard == pytest.approx([1.0] * len(heard), abs=0.01)
    course = np.convolve(truth["drives"][0], truth["kernels"][0])[: raw.n_times]
    np.testing.assert_allclose(course, truth["courses"][0], atol=1e-5 * np.abs(course).max())

    events = pd.read_csv(place / f"{STEM}_events.tsv", sep="\t")
    assert events["onset"].tolist() == pytest.approx(raw.annotations.onset.tolist(), abs=1e-5)
    described = [f"{t}/{c}" for t, c in zip(events.trial_type, events.content_id, strict=True)]
    assert described == raw.annotations.description.tolist()
    assert set(events["stim_file"]) == {"0.wav", "1.wav"}
    read = events_from_table(
        place / f"{STEM}_events.tsv", stimulus="stim_file", stimulus_folder=Path(audio[0]).parent
    )
    assert [event.stimulus for event in read] == events["content_id"].tolist()

    bold = pd.read_csv(place / f"{STEM}_bold.tsv", sep="\t")
    assert bold["time"].tolist() == [0, 2, 4, 6, 8, 10]
    assert json.loads((place / f"{STEM}_bold.json").read_text())["RepetitionTime"] == 2.0


def test_everything_written_says_that_it_is_synthetic(tmp_path: Path, audio: list[str]) -> None:
    out = simulated(tmp_path / "set", "--audio", *audio, "--bold-rois", "1")
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == 2 * 6 + 4
    silent = [
        path.name
        for path in files
        if "synthetic" not in path.name and "synthetic" not in path.read_text()
    ]
    assert silent == []
    assert not list(tmp_path.glob(".*"))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    tmp_path: Path, audio: list[str]
) -> None:
    words = ["--audio", *audio, "--speech", "mel", "--mel-bands", "3"]
    one = simulated(tmp_path / "one", *words)
    again = simulated(tmp_path / "again", *words, "--subjects", "1", "--sessions", "2")
    other = simulated(tmp_path / "other", *words, "--seed", "1", "--subjects", "1")
    assert samples_of(one).tobytes() == samples_of(again).tobytes()
    truths = [
        (folder / "truth" / f"{STEM}_truth.npz").read_bytes() for folder in (one, again, other)
    ]
    assert truths[0] == truths[1] != truths[2]
    fields = [
        np.load(folder / "truth" / f"{STEM}_truth.npz")["lead_field"] for folder in (one, other)
    ]
    assert not np.allclose(*fields)
    for different in (samples_of(other), samples_of(one, 2), samples_of(again, 1, 2)):
        assert abs(np.corrcoef(samples_of(one)[3], different[3])[0, 1]) < 0.5


def test_our_own_reading_and_cleaning_take_the_recordings(tmp_path: Path, audio: list[str]) -> None:
    words = ["--audio", *audio, "--meg", "neuromag", "--duration", "20", "--subjects", "1"]
    out = simulated(tmp_path / "set", *words)
    recording = read_recording(out / "sub-01" / "ses-01" / f"{STEM}_raw.fif")
    assert recording.subject == "01"
    assert recording.line_freq == 50
    assert set(recording.sensors.types) == {"eeg", "mag", "planar"}
    assert not recording.excluded
    assert len(recording.annotations) == 7
    processed = process(recording)
    assert processed.good.mean() > 0.95
    assert np.isfinite(processed.array()).all()


def test_pictures_are_shown_on_chosen_electrodes(tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", np.random.default_rng(0).standard_normal((5, 8)))
    words = ["--image-features", str(tmp_path / "clip.npy"), "--channels", "Oz", "Cz", "Fz"]
    out = simulated(tmp_path / "set", *words, "--subjects", "1", "--image-components", "2")
    assert samples_of(out).shape == (3, 12 * 128)
    truth = np.load(out / "truth" / f"{STEM}_truth.npz", allow_pickle=False)
    assert truth["image_weights"].shape == (5, 3)


def test_what_cannot_be_made_is_refused_before_anything_is_written(
    tmp_path: Path, audio: list[str]
) -> None:
    def refusal(*words: str) -> str:
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            simulated(tmp_path / "new", *words)
        assert not (tmp_path / "new").exists()
        return str(caught.value)

    assert "--audio, --image-features or --bold-rois" in refusal()
    assert "near: biosemi" in refusal("--audio", *audio, "--montage", "biosemi65")
    assert "no electrodes named Xx" in refusal("--audio", *audio, "--channels", "Xx")
    assert "no audio file" in refusal("--audio", str(tmp_path / "gone.wav"))
    assert "above 0, got -5" in refusal("--audio", *audio, "--duration", "-5")
    assert "--null" in refusal("--audio", *audio, "--snr=-.inf")
    assert "holds no sound" in refusal("--audio", *audio, "--gap", "20")
    assert not list(tmp_path.glob(".*"))


def test_a_folder_in_use_is_left_alone_and_an_empty_one_is_filled(
    tmp_path: Path, audio: list[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ValueError, match="not an empty folder"):
        simulated(tmp_path / "mine", "--audio", *audio)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    out = simulated(tmp_path / "empty", "--audio", *audio, "--subjects", "1", "--null")
    about = json.loads((out / "truth" / f"{STEM}_truth.json").read_text())
    assert about["null"] is True
    assert about["snr_made_db"] == {"eeg": None}
