"""The encode command: what it writes, and one line where it cannot."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.encoder import Encoder
from brainfm.samples import sample_paths


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return save_checkpoint(tiny_model(), tmp_path_factory.mktemp("checkpoint"))


def test_file_holds_what_the_encoder_returns(checkpoint, tmp_path, capsys):
    muse = next(path for path in sample_paths() if path.name == "muse.edf")
    out = tmp_path / "new" / "features.h5"
    assert main(["encode", str(checkpoint), str(muse), "--out", str(out)]) == 0
    encoder = Encoder.from_pretrained(checkpoint)
    features, codes = encoder.encode(muse), encoder.tokenize(muse)
    with h5py.File(out) as file:
        assert np.array_equal(file["values"], features.values)
        assert np.array_equal(file["times"], features.times)
        assert np.array_equal(file["codes"], codes.values)
        assert file["codes"].dtype == np.uint16
        axes = {name: file[name].attrs["axes"] for name in file}
        assert axes == {
            "values": "frames, sources, width",
            "codes": "frames, sources, levels",
            "times": "frames",
        }
        assert file["times"].attrs["unit"].startswith("s from the first sample")
    assert str(features.values.shape) in capsys.readouterr().out


def test_the_same_bytes_twice(checkpoint, tmp_path):
    muse = str(next(path for path in sample_paths() if path.name == "muse.edf"))
    for name in ("a.h5", "b.h5"):
        assert main(["encode", str(checkpoint), muse, "--out", str(tmp_path / name)]) == 0
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert a["values"][()].tobytes() == b["values"][()].tobytes()


def test_epochs_get_a_leading_axis(checkpoint, tmp_path):
    import mne

    raw = mne.io.read_raw(sample_paths("unseen")[0], verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, duration=2.0, verbose="error")[:3]
    epochs.save(tmp_path / "three-epo.fif", verbose="error")
    out = tmp_path / "features.h5"
    assert (
        main(["encode", str(checkpoint), str(tmp_path / "three-epo.fif"), "--out", str(out)]) == 0
    )
    with h5py.File(out) as file:
        # Two seconds are 512 samples, 16 frames of 32.
        assert file["values"].shape[:2] == (3, 16)
        assert file["times"].shape == (16,)


def test_failure_is_one_line_and_leaves_nothing(checkpoint, tmp_path, capsys):
    broken = tmp_path / "broken.edf"
    broken.write_bytes(b"0       " + b"\0" * 100)
    out = tmp_path / "features.h5"
    assert main(["encode", str(checkpoint), str(broken), "--out", str(out)]) == 1
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert "broken.edf" in error
    assert list(tmp_path.glob("*features*")) == []


RECORDINGS = (
    ".fif",
    ".edf",
    ".bdf",
    ".gdf",
    ".set",
    ".vhdr",
    ".con",
    ".sqd",
    ".nedf",
    ".ds",
    ".mff",
)
OPTIONS = {
    "ssvep/**/*_raw.fif": ["--position-unit", "mm", "--unit", "mV"],
    "ssvep/**/*.gdf": ["--unit", "mV as uV"],
    "eeglab/test.bdf": ["--montage", "biosemi128"],
    "formats/test_reduced.edf": ["--montage", "biosemi256", "--unplaced", "drop"],
    "formats/nyu_157ch_5s.sqd": ["--head-transform", "device"],
    "formats/141027_cropped_90Hz_raw.fif": ["--head-transform", "device"],
}
"""What the message of each refused file offers."""


@pytest.mark.slow
@pytest.mark.shared
def test_every_real_recording_is_encoded_or_refused_in_one_line(
    checkpoint, shared_data: Path, tmp_path, capsys
):
    mended = {path: opts for glob, opts in OPTIONS.items() for path in shared_data.glob(glob)}
    inside = [p for p in shared_data.rglob("*") if p.suffix in (".ds", ".mff")]
    written = refused = 0
    for path in sorted(shared_data.rglob("*")):
        if path.suffix not in RECORDINGS or any(folder in path.parents for folder in inside):
            continue
        out = tmp_path / "features.h5"
        status = main(["encode", str(checkpoint), str(path), "--out", str(out)])
        errors = [e for e in capsys.readouterr().err.splitlines() if e.startswith("brainfm encode")]
        if path in mended:
            assert status == 1, path
            assert any(word in errors[0] for word in mended[path] if word.startswith("--")), errors
            status = main(["encode", str(checkpoint), str(path), "--out", str(out), *mended[path]])
            errors = capsys.readouterr().err.splitlines()
        if status == 0:
            with h5py.File(out) as file:
                assert np.isfinite(file["values"][()]).all(), path
            out.unlink()
            written += 1
        else:
            assert len([e for e in errors if e.startswith("brainfm encode")]) == 1, (path, errors)
            refused += 1
    assert written >= 30
    # FIF files of events hold no signal.
    assert refused >= 14


def test_a_mixture_of_layers(checkpoint, tmp_path, capsys):
    muse, out = next(p for p in sample_paths() if p.name == "muse.edf"), tmp_path / "mixture.h5"
    words = ["encode", str(checkpoint), str(muse), "--out", str(out)]
    assert main([*words, "--layer", "mixture"]) == 0
    expected = Encoder.from_pretrained(checkpoint).encode(muse, layer="mixture")
    with h5py.File(out) as file:
        assert np.array_equal(file["values"], expected.values)
        assert file.attrs["layer"] == "mixture"
    assert main([*words, "--layer=9"]) == 1
    assert "layer must lie in [-3, 2]" in capsys.readouterr().err
    assert main([*words, "--layer", "mixtures"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_several_files_become_a_folder_and_a_second_run_continues(checkpoint, tmp_path, capsys):
    for path in sample_paths()[:2]:
        (tmp_path / "in" / path.stem).mkdir(parents=True)
        (tmp_path / "in" / path.stem / path.name).write_bytes(path.read_bytes())
    broken = tmp_path / "in" / "broken.edf"
    broken.write_bytes(b"0       " + b"\0" * 100)
    out = tmp_path / "out"
    words = ["encode", str(checkpoint), str(tmp_path / "in" / "**" / "*.*"), "--out", str(out)]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "2 of 3 recordings" in said.out
    assert len([line for line in said.err.splitlines() if "broken.edf" in line]) == 1
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    assert len(written) == 2
    broken.unlink()
    assert main(words) == 0
    assert "2 of 2 recordings" in (text := capsys.readouterr().out)
    assert "2 of them from before" in text
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.h5")} == written
    assert main([*words, "--pool", "sources"]) == 0
    assert "before" not in capsys.readouterr().out
    encoder = Encoder.from_pretrained(checkpoint)
    for path in sample_paths()[:2]:
        (made,) = out.glob(f"*{path.stem}*")
        with h5py.File(made) as file:
            expected = encoder.encode(path).values
            np.testing.assert_allclose(file["values"], expected.mean(axis=1), atol=1e-6)


@pytest.mark.slow
def test_processes_write_what_one_does(checkpoint, tmp_path):
    names = [str(path) for path in sample_paths()[:3]]
    for n_jobs in (1, 2):
        words = ["encode", str(checkpoint), *names, "--out", str(tmp_path / str(n_jobs))]
        assert main([*words, "--n-jobs", str(n_jobs)]) == 0
    found = sorted((tmp_path / "1").glob("*.h5"))
    assert len(found) == 3
    for path in found:
        with h5py.File(path) as one, h5py.File(tmp_path / "2" / path.name) as two:
            assert np.array_equal(one["codes"], two["codes"])
            np.testing.assert_allclose(one["values"], two["values"], atol=1e-5)


def test_codes_of_a_tokenizer_alone(tiny_model, tmp_path, capsys):
    alone = save_checkpoint(tiny_model(masked=None), tmp_path / "tokenizer")
    muse, out = next(p for p in sample_paths() if p.name == "muse.edf"), tmp_path / "codes.h5"
    words = ["encode", str(alone), str(muse), "--out", str(out)]
    assert main([*words, "--what", "codes"]) == 0
    expected = Encoder.from_pretrained(alone).tokenize(muse)
    with h5py.File(out) as file:
        assert sorted(file) == ["codes", "times"]
        assert np.array_equal(file["codes"], expected.values)
        assert np.array_equal(file["times"], expected.times)
    assert main(words) == 1
    assert "tokenizer only" in capsys.readouterr().err


def test_a_file_name_for_a_folder_is_refused(checkpoint, tmp_path, capsys):
    names = [str(path) for path in sample_paths()[:2]]
    assert main(["encode", str(checkpoint), *names, "--out", str(tmp_path / "x.h5")]) == 1
    assert "--out must be a folder" in capsys.readouterr().err


def test_a_plain_folder_is_all_recordings_below_it(checkpoint, tmp_path, capsys):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    for path in sample_paths()[:2]:
        (folder / path.name).write_bytes(path.read_bytes())
    for name in ("notes.txt", "events-eve.fif", ".hidden.edf", "scores.csv"):
        (folder / name).write_text("nothing")
    out = tmp_path / "out"
    assert main(["encode", str(checkpoint), str(tmp_path / "in"), "--out", str(out)]) == 0
    assert "2 of 2 recordings" in capsys.readouterr().out
    assert len(list(out.glob("*.h5"))) == 2
    (tmp_path / "empty").mkdir()
    assert main(["encode", str(checkpoint), str(tmp_path / "empty"), "--out", str(out)]) == 1
    assert "no recording in it or below" in capsys.readouterr().err


@pytest.mark.parametrize("pool", ["none", "sources"])
def test_epochs_become_mne_epochs_with_their_events(checkpoint, tmp_path, pool):
    import mne

    raw = mne.io.read_raw(sample_paths("unseen")[0], verbose="error")
    events = np.array([[512, 0, 1], [1024, 0, 2], [1536, 0, 1]])
    events[:, 0] += raw.first_samp
    named = {"left": 1, "right": 2}
    epochs = mne.Epochs(
        raw, events, named, tmin=-0.5, tmax=1.5, baseline=None, preload=True, verbose="error"
    )
    source, out = tmp_path / "three-epo.fif", tmp_path / "features-epo.fif"
    epochs.save(source, verbose="error")
    words = ["encode", str(checkpoint), str(source), "--format", "fif", "--pool", pool]
    assert main([*words, "--out", str(out)]) == 0
    made = mne.read_epochs(out, verbose="error")
    found = Encoder.from_pretrained(checkpoint).encode(source)
    assert np.array_equal(made.events[:, 2], epochs.events[:, 2])
    assert made.event_id == named
    wanted = np.stack([f.values for f in found])
    wanted = wanted.mean(axis=2) if pool == "sources" else wanted.reshape(*wanted.shape[:2], -1)
    np.testing.assert_allclose(made.get_data(), wanted.transpose(0, 2, 1), atol=1e-6)
    # The first frame's centre is 1/16 s after the begin of the epoch, half a frame: FIF rounds it.
    assert abs(made.times[0] - (-0.5 + 1 / 16)) <= 1 / 16
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_recording_becomes_mne_raw(checkpoint, tmp_path, capsys):
    import mne

    muse = next(path for path in sample_paths() if path.name == "muse.edf")
    words = ["encode", str(checkpoint), str(muse), "--format", "fif"]
    assert main([*words, "--out", str(tmp_path / "f_raw.fif")]) == 0
    made = mne.io.read_raw(tmp_path / "f_raw.fif", verbose="error")
    values = Encoder.from_pretrained(checkpoint).encode(muse).values
    np.testing.assert_allclose(made.get_data(), values.reshape(len(values), -1).T, atol=1e-6)
    assert made.info["sfreq"] == pytest.approx(8.0)
    assert main([*words, "--out", str(tmp_path / "f.h5")]) == 1
    assert "ends in .fif" in capsys.readouterr().err
    assert main([*words[:2], str(muse), str(muse), *words[3:], "--out", str(tmp_path / "d")]) == 1
    assert "the features of one file" in capsys.readouterr().err
