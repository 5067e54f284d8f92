"""Responses of voxels to pictures, from tiny synthetic folders in published layouts."""

import h5py
import numpy as np
import pytest
import yaml
from brainfm.finetune.image_targets import ImageTargets
from brainfm.finetune.picture_features import PictureFeatures
from brainfm.finetune.voxel_pictures import PictureVoxels
from brainfm.finetune.voxel_sources import AS_THEY_ARE
from matplotlib.image import imsave
from scipy.io import savemat
from shown_commands import documented

from brainfm.cli import main
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import content_id
from brainfm.trials import TrialConfig

nib = pytest.importorskip("nibabel", reason="reading NIfTI needs nibabel")


def things_fmri(root, subject="01", n_voxels=6):
    """Six training pictures, two for testing shown twice, two sessions, a catch trial."""
    folder, images = root / "betas_csv", root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    train = [f"{name}_0{k}b.jpg" for name in ("cat", "dog", "cow") for k in (1, 2)]
    test = ["owl_01s.jpg", "bee_01s.jpg"]
    for k, name in enumerate([*train, *test]):
        path = images / name.rsplit("_", 1)[0] / name.replace(".jpg", ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 255, (12, 12, 3))
        imsave(path, pixels.astype(np.uint8))
        path.rename(path.with_suffix(".jpg"))
    rows = [("train", 1 + k // 3, name) for k, name in enumerate(train)]
    rows += [("test", session, name) for session in (1, 2) for name in test]
    rows.insert(3, ("catch", 1, "x.jpg"))
    lines = [",".join(map(str, row)) for row in rows]
    table = folder / f"sub-{subject}_StimulusMetadata.csv"
    table.write_text("\n".join(["trial_type,session,stimulus", *lines]) + "\n")
    x = np.random.default_rng(int(subject)).standard_normal((n_voxels, len(rows)))
    with h5py.File(folder / f"sub-{subject}_ResponseData.h5", "w") as file:
        file["ResponseData/block0_values"] = x
        file["ResponseData/block1_values"] = np.arange(n_voxels)[:, None]
    voxels = [f"{k},{int(k < 2)},{int(k == 5)}" for k in range(n_voxels)]
    (folder / f"sub-{subject}_VoxelMetadata.csv").write_text(
        "\n".join(["voxel_id,V1,FFA", *voxels]) + "\n"
    )
    return images


def nsd(root, n_pictures=9):
    """Two sessions of six trials; two of the pictures are those that all people saw."""
    experiments = root / "nsddata/experiments/nsd"
    experiments.mkdir(parents=True)
    savemat(
        experiments / "nsd_expdesign.mat",
        {
            "masterordering": np.array([[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4]]),
            "subjectim": np.arange(1, 9)[None],
            "sharedix": np.array([[2, 8]]),
        },
    )
    mask = np.zeros((2, 3, 4), dtype=np.uint8)
    mask[0, 1] = 1
    folder = root / "nsddata/ppdata/subj01/func1pt8mm/roi"
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(mask, np.eye(4)), folder / "nsdgeneral.nii.gz")
    folder = root / "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    folder.mkdir(parents=True)
    for session in (1, 2):
        betas = np.random.default_rng(session).integers(-3000, 3000, (6, 4, 3, 2))
        with h5py.File(folder / f"betas_session{session:02d}.hdf5", "w") as file:
            file["betas"] = betas.astype(np.int16)
    features = np.random.default_rng(0).standard_normal((n_pictures, 5)).astype(np.float32)
    np.save(root / "clip.npy", features)


def table(root, n=8, **columns):
    given = {"picture": [f"p{k}.png" for k in range(n)], **columns}
    np.save(root / "sub-01_responses.npy", np.random.default_rng(0).normal(size=(n, 3)))
    rows = [
        "\t".join(given),
        *("\t".join(map(str, row)) for row in zip(*given.values(), strict=True)),
    ]
    (root / "sub-01_trials.tsv").write_text("\n".join(rows) + "\n")


def prepared(cache, *args, **settings):
    return PictureVoxels(*args, **settings).prepare(cache, AS_THEY_ARE)


def test_responses_to_things_are_a_second_each_and_known_by_their_picture(tmp_path):
    images = things_fmri(tmp_path)
    corpus, cuts = prepared(
        tmp_path / "cache", str(tmp_path), "things_fmri", ["01"], images=str(images)
    )
    assert [(info.dataset, info.session) for info, _ in cuts] == [
        ("things_fmri-test", "1"),
        ("things_fmri-test", "2"),
        ("things_fmri-train", "1"),
        ("things_fmri-train", "2"),
    ]
    info, events = cuts[2]
    assert (info.sfreq, info.n_times, dict(info.types)) == (1.0, 3, {"voxel": 6})
    assert [(e.onset, e.name) for e in events] == [(0.0, "cat"), (1.0, "cat"), (2.0, "dog")]
    assert events[0].stimulus == content_id((images / "cat/cat_01b.jpg").read_bytes())
    assert events[0].group == events[1].group != events[2].group
    # Standardised by the training of the session.
    x = corpus.read(2)
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(1), 1, atol=1e-2)
    trials = make_trials(cuts, TrialConfig())
    targets = ImageTargets([str(images)]).make(trials)
    assert targets.values.shape[0] == 8


def test_presentations_are_averaged_and_regions_chosen(tmp_path):
    things_fmri(tmp_path)
    corpus, cuts = prepared(
        tmp_path / "cache", str(tmp_path), "things_fmri", ["01"], mask="V1 FFA", average=True
    )
    assert [(info.dataset, len(events)) for info, events in cuts] == [
        ("things_fmri-test", 2),
        ("things_fmri-train", 6),
    ]
    assert corpus.n_channels(0) == 3
    with pytest.raises(ValueError, match=r"no region 'V9'; columns: voxel_id, V1, FFA"):
        prepared(tmp_path / "cache", str(tmp_path), "things_fmri", ["01"], mask="V9")


def test_pictures_of_nsd_have_features_in_a_table(tmp_path):
    nsd(tmp_path)
    _, cuts = prepared(tmp_path / "cache", str(tmp_path), "nsd", ["01"], sessions=[1, 2])
    trials = make_trials(cuts, TrialConfig())
    targets = PictureFeatures(str(tmp_path / "clip.npy")).make(trials)
    assert len(targets.ids) == 8
    stored = np.load(tmp_path / "clip.npy")
    shown = [event.name for _, events in cuts for event in events]
    np.testing.assert_array_equal(
        targets.values[targets.rows], stored[[int(name) for name in shown]]
    )
    with pytest.raises(ValueError, match=r"needs data.source.init_args.sessions"):
        prepared(tmp_path / "cache", str(tmp_path), "nsd", ["01"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["images_things_fmri", "images_nsd"])
def test_the_presets_run_on_synthetic_folders_of_the_published_layout(name, tmp_path, capsys):
    root = str(tmp_path)
    if name == "images_nsd":
        nsd(tmp_path)
        put = {"DIR": root, "CLIP.npy": str(tmp_path / "clip.npy")}
        words = documented("docs/fmri.md: brainfm finetune fit --config images_nsd", **put)
        words += ["--data.source.init_args.sessions", "[1,2]"]
    else:
        put = {"DIR": root, "IMAGES": str(things_fmri(tmp_path))}
        words = documented("docs/fmri.md: brainfm finetune fit --config images_things_fmri", **put)
        words += ["--data.targets.init_args.cache", "", "--data.targets.init_args.model", "small"]
    words += ["--trainer.accelerator", "cpu", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "fold 1 of 2" in said
    held = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert held["model"]["adaptation"]["kind"] == "ridge"


def test_what_is_missing_is_told_in_words(tmp_path):
    cache, root = tmp_path / "cache", str(tmp_path)
    images = things_fmri(tmp_path)
    (images / "cat/cat_01b.jpg").unlink()
    for error, message, settings in (
        (FileNotFoundError, r"no file .*sub-07.* of subject 07", {"subjects": ["07"]}),
        (FileNotFoundError, r"has no picture cat_01b\.jpg", {"images": str(images)}),
        (FileNotFoundError, "images .*none is no folder", {"images": root + "/none"}),
        (ValueError, "layout must be one of", {"layout": "things"}),
        (ValueError, "subjects names nobody", {"subjects": []}),
    ):
        given = {"root": root, "layout": "things_fmri", "subjects": ["01"]} | settings
        with pytest.raises(error, match=message):
            prepared(cache, **given)


def test_tables_of_responses_that_do_not_fit_are_refused(tmp_path):
    table(tmp_path, session=[1, 1, 1, 1, 2, 2, 2, 2])
    _, cuts = prepared(tmp_path / "cache", str(tmp_path), "table", ["01"])
    assert [(info.dataset, info.session, len(events)) for info, events in cuts] == [
        ("table", "1", 4),
        ("table", "2", 4),
    ]
    table(tmp_path, n=5, part=["train", "train", "test", "train", "exam"])
    with pytest.raises(ValueError, match="part must be train or test, got 'exam'"):
        prepared(tmp_path / "cache", str(tmp_path), "table", ["01"])
    np.save(tmp_path / "sub-01_responses.npy", np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"responses \(4, 3\) for the 5 trials"):
        prepared(tmp_path / "cache", str(tmp_path), "table", ["01"])


def test_features_that_do_not_fit_are_refused(tmp_path):
    table(tmp_path)
    _, cuts = prepared(tmp_path / "cache", str(tmp_path), "table", ["01"])
    trials = make_trials(cuts, TrialConfig())
    file, names = tmp_path / "features.npy", tmp_path / "names.txt"
    with pytest.raises(FileNotFoundError, match=r"no file .*features\.npy"):
        PictureFeatures(str(file)).make(trials)
    np.save(file, np.zeros((8, 2), np.float32))
    with pytest.raises(ValueError, match="8 of 8 trials show a picture without features"):
        PictureFeatures(str(file)).make(trials)
    names.write_text("\n".join(f"p{k}.png" for k in range(7)))
    with pytest.raises(ValueError, match="7 names for 8 rows"):
        PictureFeatures(str(file), str(names)).make(trials)
