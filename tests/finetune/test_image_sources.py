"""Tiny synthetic folders in the layouts of published data sets of people who looked at pictures."""

import pickle

import mne
import numpy as np
import pytest
import yaml
from brainfm.finetune.image_sources import ImageRecordings
from brainfm.finetune.image_targets import ImageTargets
from brainfm.finetune.object_arrays import read_object_mapping
from matplotlib.image import imsave
from shown_commands import documented

from brainfm.cli import main
from brainfm.recording_info import RecordingInfo
from brainfm.samples import sample_paths
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import content_id
from brainfm.trials import TrialConfig

CHANNELS = ["Oz", "O1", "O2"]


def noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, np.random.default_rng(seed).integers(0, 255, (12, 12, 3)).astype(np.uint8))


def things_eeg2(root, shown=((100, 2), (300, 1), (500, 99999), (700, 3)), tested=1):
    """Two people, one session; three training pictures of two concepts, one or two for testing."""
    images = root / "images"
    train = [("00001_aardvark", "aardvark_01b.jpg"), ("00001_aardvark", "aardvark_02s.jpg"),
             ("00002_abacus", "abacus_03s.jpg")]  # fmt: skip
    test = [("00001_aircraft", "aircraft_06s.jpg"), ("00002_antelope", "antelope_01b.jpg")][:tested]
    meta = {}
    for part, listed in (("training", train), ("test", test)):
        for k, (concept, file) in enumerate(listed):
            picture(images / f"{part}_images" / concept / file, hash_of(part, k))
        short = "train" if part == "training" else "test"
        meta[f"{short}_img_concepts"] = [concept for concept, _ in listed]
        meta[f"{short}_img_files"] = [file for _, file in listed]
    np.save(images / "image_metadata.npy", meta)
    for subject in ("01", "02"):
        folder = root / f"sub-{subject}" / "ses-01"
        folder.mkdir(parents=True)
        for part, events in (("training", shown), ("test", ((50, 1), (150, tested)))):
            stim = np.zeros((1, 1000))
            for sample, number in events:
                stim[0, sample] = number
            stored = {
                "raw_eeg_data": np.concatenate(
                    [1e-5 * noise((3, 1000), hash_of(part, int(subject))), stim]
                ),
                "ch_names": [*CHANNELS, "stim"],
                "ch_types": ["eeg"] * 3 + ["stim"],
                "sfreq": 1000,
                "highpass": 0.01,
                "lowpass": 100,
            }
            np.save(folder / f"raw_eeg_{part}.npy", stored)
    return images


def hash_of(part, k):
    return {"training": 10, "test": 20}[part] + k


def things_meg(root):
    """One person, one run: a picture, one to be caught, a picture of the test."""
    images = root / "object_images"
    for k, name in enumerate(("cat/cat_01b.jpg", "dog/dog_05n.jpg")):
        picture(images / name, k)
    folder = root / "sub-BIGMEG1" / "ses-02" / "meg"
    folder.mkdir(parents=True)
    stem = "sub-BIGMEG1_ses-02_task-main_run-03"
    like = mne.io.read_info(
        next(p for p in sample_paths() if p.name == "neuromag_1_raw.fif"), verbose="ERROR"
    )
    info = mne.pick_info(like, mne.pick_types(like, meg=True)[:9])
    with info._unlock():
        info["sfreq"], info["lowpass"] = 200.0, 40.0
    raw = mne.io.RawArray(1e-12 * noise((9, 2000)), info, verbose="ERROR")
    raw.save(folder / f"{stem}_meg.fif", verbose="ERROR")
    rows = [("onset", "sample", "value")] + [(s / 200, s, 1) for s in (400, 800, 1200)]
    text = "\n".join("\t".join(map(str, row)) for row in rows)
    (folder / f"{stem}_events.tsv").write_text(text + "\n")
    (root / "sourcedata").mkdir()
    shown = [
        "2,3,exp,images_meg/cat/cat_01b.jpg",
        "2,3,catch,images_catch_meg/catch_7.jpg",
        "2,3,test,images_test_meg/dog_05n.jpg",
        "1,3,exp,images_meg/dog/dog_05n.jpg",
    ]
    header = "session_nr,run_nr,trial_type,image_path"
    (root / "sourcedata" / "sample_attributes_P1.csv").write_text("\n".join([header, *shown]))
    return images


def test_things_eeg2_tells_which_picture_was_shown_when(tmp_path):
    images = things_eeg2(tmp_path)
    found = ImageRecordings(str(tmp_path), "things_eeg2", str(images)).recordings()
    labels = [(f.source.subject, f.source.session, f.source.task) for f in found]
    assert sorted(labels) == [
        ("01", "01", "test"), ("01", "01", "training"),
        ("02", "01", "test"), ("02", "01", "training"),
    ]  # fmt: skip
    training = next(f for f in found if f.source.task == "training")
    assert training.source.dataset == "things_eeg2-training"
    events = training.events()
    # The picture that was to be counted is none of them.
    assert [(e.onset, e.name) for e in events] == [
        (0.1, "aardvark"), (0.3, "aardvark"), (0.7, "abacus"),
    ]  # fmt: skip
    files = [
        "training_images/00001_aardvark/aardvark_02s.jpg",
        "training_images/00001_aardvark/aardvark_01b.jpg",
        "training_images/00002_abacus/abacus_03s.jpg",
    ]
    assert [e.stimulus for e in events] == [
        content_id((images / file).read_bytes()) for file in files
    ]
    assert events[0].group == events[1].group == content_id("aardvark") != events[2].group
    recording = training.source.open()
    assert recording.sfreq == 1000
    assert list(recording.sensors.names) == CHANNELS
    assert recording.read(0, 1000).shape == (3, 1000)
    np.testing.assert_allclose(recording.read(0, 1000), 1e-5 * noise((3, 1000), 11), rtol=1e-5)


def test_things_meg_tells_which_picture_was_shown_when(tmp_path):
    images = things_meg(tmp_path)
    (found,) = ImageRecordings(str(tmp_path), "things_meg", str(images)).recordings()
    source = found.source
    assert (source.subject, source.session, source.run) == ("BIGMEG1", "02", "03")
    events = found.events()
    assert [(e.onset, e.name) for e in events] == [(2.0, "cat"), (6.0, "dog")]
    assert events[0].stimulus == content_id((images / "cat/cat_01b.jpg").read_bytes())
    assert source.open().read(0, 10).shape == (9, 10)


def test_events_and_targets_speak_of_the_same_pictures(tmp_path):
    images = things_eeg2(tmp_path)
    cuts = []
    for found in ImageRecordings(str(tmp_path), "things_eeg2", str(images)).recordings():
        info = RecordingInfo(
            id=found.source.id, dataset="d", subject=found.source.subject, sfreq=1000.0,
            n_times=1000, digest=found.source.id,
        )  # fmt: skip
        cuts.append((info, found.events()))
    trials = make_trials(cuts, TrialConfig(window=(0.0, 0.2)))
    targets = ImageTargets([str(images)]).make(trials)
    # Three training pictures and one of the test, for both people.
    assert (len(trials), len(targets.ids)) == (10, 4)
    assert targets.values.shape == (4, 64)
    assert np.isfinite(targets.values).all()


def test_what_is_missing_is_said(tmp_path):
    images = things_eeg2(tmp_path)
    with pytest.raises(ValueError, match="layout must be one of things_eeg2, things_meg"):
        ImageRecordings(str(tmp_path), "things", str(images))
    with pytest.raises(ValueError, match="no recording of 07 in the layout"):
        ImageRecordings(str(tmp_path), "things_eeg2", str(images), subjects=["07"]).recordings()
    with pytest.raises(ValueError, match=r"images .* is no folder"):
        ImageRecordings(str(tmp_path), "things_eeg2", str(tmp_path / "no"))
    source = ImageRecordings(str(tmp_path), "things_eeg2", str(images))
    (images / "training_images" / "00002_abacus" / "abacus_03s.jpg").unlink()
    found = next(f for f in source.recordings() if f.source.task == "training")
    with pytest.raises(FileNotFoundError, match=r"has no picture 00002_abacus/abacus_03s.jpg"):
        found.events()
    (images / "image_metadata.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"image_metadata.npy is missing"):
        found.events()


def test_a_subject_without_pictures_is_named(tmp_path):
    # Only the pictures to be caught were shown.
    images = things_eeg2(tmp_path, shown=((500, 99999),))
    found = next(
        f
        for f in ImageRecordings(str(tmp_path), "things_eeg2", str(images)).recordings()
        if f.source.task == "training"
    )
    with pytest.raises(ValueError, match=r"sub-01.*raw_eeg_training.npy: shows no picture"):
        found.events()


def test_a_number_that_no_picture_has_is_refused(tmp_path):
    images = things_eeg2(tmp_path, shown=((100, 4), (200, 1)))
    source = ImageRecordings(str(tmp_path), "things_eeg2", str(images))
    found = next(f for f in source.recordings() if f.source.task == "training")
    with pytest.raises(ValueError, match=r"picture 4, but .* knows 3"):
        found.events()


class Evil:
    def __reduce__(self):
        return print, ("this ran",)


def test_a_file_that_holds_more_than_arrays_is_not_run(tmp_path, capsys):
    path = tmp_path / "a.npy"
    np.save(path, {"a": np.arange(3), "b": ["x", np.str_("y")], "c": np.float64(2)})
    found = read_object_mapping(path, "a", "b")
    assert found["a"].tolist() == [0, 1, 2]
    assert (found["b"], float(found["c"])) == (["x", "y"], 2.0)
    with pytest.raises(ValueError, match="has no d"):
        read_object_mapping(path, "d")
    np.save(path, {"a": Evil()})
    with pytest.raises(ValueError, match=r"asks for builtins.print, which is no array"):
        read_object_mapping(path)
    np.save(path, np.arange(4))
    with pytest.raises(ValueError, match="no mapping"):
        read_object_mapping(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="cannot be read as a mapping of arrays"):
        read_object_mapping(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("name", "by"), [("things_eeg2", "dataset"), ("things_meg", "group")])
def test_a_preset_names_its_gallery_and_parses(name, by, capsys):
    words = ["--config", f"images_{name}", "--out", "unused", "--print_config"]
    assert main(["finetune", "fit", *words]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    data = found["data"]
    assert data["source"]["init_args"]["layout"] == name
    assert data["source"]["init_args"]["together"] == "concept"
    assert data["split"]["by"] == by
    assert data["targets"]["init_args"]["gallery"] == "exact_image"
    assert found["model"]["head"]["class_path"].endswith("Retrieval")


@pytest.mark.slow
def test_the_lines_of_the_page_run_on_a_synthetic_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    things_eeg2(tmp_path / "things", tested=2)
    put = {"DIR": str(tmp_path / "things"), "FOLDER_OF_CLIP_OR_DINOV2": "small"}
    line = documented("docs/images.md: brainfm finetune fit", **put)
    few = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--data.trials.window=[0,.2]"]
    assert main([*line, *few]) == 0
    few = ["--controls", "prior_only", "--baselines", "none", "--occlusion-trials", "0"]
    assert main([*documented("docs/images.md: brainfm evaluate"), *few]) == 0
    assert (tmp_path / "runs/eeg2/evaluation/report.html").exists()
