"""The bundled recordings: real, small, licensed, readable, and without a name."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import pytest

from brainfm.recordings import read_recording
from brainfm.samples import SAMPLES, Sample, sample_paths

EXPECTED = {
    # file: (seconds, sampling rate in Hz, channels by MNE type)
    "neuromag_1_raw.fif": (13.0, 200.0, {"grad": 204, "mag": 102, "eeg": 60, "eog": 1, "stim": 1}),
    "neuromag_2_raw.fif": (
        10.975,
        200.0,
        {"grad": 204, "mag": 102, "eeg": 60, "eog": 1, "stim": 1},
    ),
    "eegmmidb_1.edf": (60.0, 160.0, {"eeg": 64}),
    "eegmmidb_2.edf": (60.0, 160.0, {"eeg": 64}),
    "hypyp_1.edf": (40.0, 200.0, {"eeg": 31}),
    "hypyp_2.edf": (40.0, 200.0, {"eeg": 31}),
    "eeglab_raw.fif": (60.0, 128.0, {"eeg": 30, "eog": 2}),
    "muse.edf": (60.0, 256.0, {"eeg": 4}),
}


def read(sample: Sample) -> mne.io.BaseRaw:
    return mne.io.read_raw(sample.path, preload=True, verbose="error")


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample.file)
def sample(request: pytest.FixtureRequest) -> Sample:
    found: Sample = request.param
    return found


def test_the_table_is_the_folder(samples: Path) -> None:
    inside = {p.name for p in samples.iterdir() if p.suffix in (".fif", ".edf")}
    assert inside == {sample.file for sample in SAMPLES} == set(EXPECTED)
    assert sample_paths() == [samples / sample.file for sample in SAMPLES]


def test_they_take_8_megabytes_at_most_with_their_licences(samples: Path) -> None:
    assert sum(p.stat().st_size for p in samples.iterdir() if p.is_file()) <= 8_000_000


def test_roles_share_no_recording_and_unseen_devices_are_unseen() -> None:
    files = [set(sample_paths(role)) for role in ("train", "held-out", "unseen")]
    assert set.union(*files) == set(sample_paths())
    assert sum(map(len, files)) == len(SAMPLES)
    trained = {s.device for s in SAMPLES if s.role == "train"}
    assert {s.device for s in SAMPLES if s.role == "held-out"} <= trained
    assert not {s.device for s in SAMPLES if s.role == "unseen"} & trained
    assert len({s.device for s in SAMPLES}) >= 3
    with pytest.raises(ValueError, match="role must be one of"):
        sample_paths("test")  # type: ignore[arg-type]


def test_source_and_licence_lie_beside_it(sample: Sample, samples: Path) -> None:
    readme = (samples / "README.md").read_text()
    licence = samples / f"LICENSE_{sample.group}.txt"
    assert f"`{sample.file}`" in readme
    assert f"`{licence.name}`" in readme
    assert licence.stat().st_size > 500


def test_content_is_what_the_readme_says(sample: Sample) -> None:
    raw = read(sample)
    seconds, sfreq, types = EXPECTED[sample.file]
    found = raw.get_channel_types()
    assert raw.info["sfreq"] == sfreq
    assert raw.n_times == round(seconds * sfreq)
    assert {kind: found.count(kind) for kind in set(found)} == types


def test_it_reads_without_any_option_and_every_sensor_has_its_place(sample: Sample) -> None:
    recording = read_recording(sample.path)
    seconds, sfreq, types = EXPECTED[sample.file]
    assert recording.sfreq == sfreq
    assert recording.n_times == round(seconds * sfreq)
    kinds = recording.sensors.types.tolist()
    found = {kind: kinds.count(kind) for kind in set(kinds)}
    brain = {"grad": "planar", "mag": "mag", "eeg": "eeg"}
    assert found == {brain[kind]: n for kind, n in types.items() if kind in brain}
    # Helmet and scalp: 5 to 20 cm from the middle of the head.
    distance = np.linalg.norm(recording.sensors.positions, axis=1)
    assert distance.min() > 0.05
    assert distance.max() < 0.2
    assert recording.read(100, 300).shape == (len(kinds), 200)


def test_signals_are_real_and_in_si_units(sample: Sample) -> None:
    raw = read(sample)
    assert np.isfinite(raw.get_data()).all()
    # Spread above 1 Hz of a waking head: microvolts, picotesla per centimetre, hundreds of fT.
    limits = {"eeg": (2e-6, 1e-4), "grad": (1e-12, 5e-11), "mag": (5e-14, 2e-12)}
    for kind, (low, high) in limits.items():
        if kind in raw.get_channel_types():
            data = raw.copy().pick(kind, exclude="bads").filter(1.0, None, verbose="error")
            spread = np.median(data.get_data().std(axis=1))
            assert low < spread < high, f"{kind}: {spread:.2e}"
            assert (data.get_data().std(axis=1) > 0).all()


def test_nothing_points_at_a_person_or_a_machine(sample: Sample) -> None:
    raw = read(sample)
    subject = dict(raw.info["subject_info"] or {})
    assert set(subject) <= {"his_id", "sex", "last_name"}
    assert subject.get("his_id", "X") == subject.get("last_name", "X") == "X"
    for field in ("experimenter", "description", "proj_name", "device_info", "helium_info"):
        assert raw.info[field] is None, field
    if sample.group != "eegmmidb":  # kept as PhysioNet published it
        assert raw.info["meas_date"] == datetime(2000, 1, 1, tzinfo=UTC)
    if raw.info["file_id"] is not None:
        assert not np.any(raw.info["file_id"]["machid"])


def test_neuromag_keeps_head_position_digitisation_and_triggers() -> None:
    first, second = (read(s) for s in SAMPLES if s.group == "neuromag")
    for raw in (first, second):
        assert raw.info["line_freq"] == 60.0
        assert raw.info["bads"] == ["MEG 2443", "EEG 053"]
        assert len(raw.info["dig"]) == 146
        turn = raw.info["dev_head_t"]["trans"][:3, :3]
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
        assert not np.allclose(turn, np.eye(3), atol=0.01)
    codes = [
        mne.find_events(raw, shortest_event=1, verbose="error")[:, 2].tolist()
        for raw in (first, second)
    ]
    assert codes[0] == [2, 3, 1, 4, 2, 3, 1, 4, 2, 3, 1, 4, 2, 3]
    assert codes[1] == [1, 5, 2, 32, 3, 1, 4, 2, 3, 1, 4, 2, 3, 1, 4, 2, 3]


@pytest.mark.slow
@pytest.mark.shared
def test_they_can_be_made_again_byte_for_byte(
    shared_data: Path, samples: Path, root: Path, tmp_path: Path
) -> None:
    script = root / "tests" / "make_samples.py"
    command = [sys.executable, script, "--source", shared_data, "--out", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    for sample in SAMPLES:
        assert (tmp_path / sample.file).read_bytes() == sample.path.read_bytes(), sample.file
