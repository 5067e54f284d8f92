"""Synthetic runs of BOLD with planted patterns, through the real command."""

import json

import numpy as np
import pytest
import yaml
from brainfm.finetune.recorded_events import EventConfig
from brainfm.finetune.voxel_images import VoxelImages
from brainfm.finetune.voxel_sources import AS_THEY_ARE

from brainfm.cli import main
from brainfm.processing_config import ProcessingConfig
from brainfm.voxel_series import standardised_run

nib = pytest.importorskip("nibabel", reason="reading NIfTI needs nibabel")

T_R, N_VOLUMES, GRID, BLOCK_S = 2.0, 60, (5, 4, 3), 10.0
ONSETS = tuple(20.0 * k + 4.0 for k in range(5))
DELAY_S = 4.0
"""After which blocks are seen in the synthetic BOLD, for as long as they last."""


def write_runs(folder, *, snr=1.5, runs=6, subject="01"):
    """Two conditions that differ in their pattern over the voxels of a head, which is bright."""
    patterns = np.random.default_rng(7).standard_normal((2, *GRID))
    head = np.zeros(GRID)
    head[1:, 1:, 1:] = 1
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    folder.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(head.astype(np.uint8), affine), folder / "mask.nii.gz")
    labels = (head * (1 + np.arange(GRID[0])[:, None, None])).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, affine), folder / "atlas.nii.gz")
    for run in range(1, runs + 1):
        rng = np.random.default_rng([run, int(subject)])
        bold = rng.standard_normal((*GRID, N_VOLUMES)) + 3 * np.linspace(0, 1, N_VOLUMES)
        rows = ["onset\tduration\ttrial_type"]
        for onset, kind in zip(ONSETS, rng.permutation([0, 1, 0, 1, run % 2]), strict=True):
            first = round((onset + DELAY_S) / T_R)
            bold[..., first : first + round(BLOCK_S / T_R)] += snr * patterns[kind][..., None]
            rows.append(f"{onset}\t{BLOCK_S}\t{('face', 'house')[kind]}")
        values = (1000 * head[..., None] + 20 * bold).astype(np.float32)
        stem = f"sub-{subject}_task-synthetic_run-{run:02d}"
        nib.save(nib.Nifti1Image(values, affine), folder / f"{stem}_bold.nii.gz")
        (folder / f"{stem}_events.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_runs(tmp_path_factory.mktemp("voxels") / "bold")


def source(folder, **changes):
    events = EventConfig(kind="table", file="{folder}/{stem}_events.tsv")
    given = {"files": ["*_bold.nii.gz"], "t_r": T_R, "root": str(folder), "events": events}
    return VoxelImages(**(given | changes))


def prepared(folder, cache, **changes):
    return source(folder, **changes).prepare(cache, AS_THEY_ARE)


def test_runs_become_recordings_whose_channels_are_voxels(folder, tmp_path):
    corpus, cuts = prepared(folder, tmp_path, mask="mask.nii.gz")
    info, events = cuts[0]
    assert (info.subject, info.run, info.sfreq, info.n_times) == ("01", "01", 0.5, N_VOLUMES)
    assert dict(info.types) == {"voxel": 24}
    assert [event.onset for event in events] == list(ONSETS)
    x = corpus.read(0)
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(1), 1, atol=1e-3)
    assert np.abs(x @ np.linspace(-1, 1, N_VOLUMES)).max() < 0.1
    sensors = corpus.sensors(0)
    assert sensors.names[0] == "1-1-1"
    np.testing.assert_allclose(sensors.positions[0], 0.003)
    # The head alone is bright: without a mask the same voxels are found.
    alone, _ = prepared(folder, tmp_path)
    np.testing.assert_array_equal(alone.read(0), x)


def test_regions_of_an_atlas_take_the_place_of_voxels(folder, tmp_path):
    pytest.importorskip("nilearn", reason="atlases need nilearn")
    voxels, _ = prepared(folder, tmp_path, mask="mask.nii.gz")
    regions, _ = prepared(folder, tmp_path, atlas="atlas.nii.gz")
    assert regions.n_channels(0) == 4
    assert voxels.n_channels(0) == 24
    image = np.asarray(nib.load(sorted(folder.glob("*_bold.nii.gz"))[0]).dataobj)
    first = standardised_run(image[1, 1:, 1:].mean((0, 1))[:, None])
    np.testing.assert_allclose(regions.read(0)[0], first[:, 0], atol=2e-3)
    np.testing.assert_allclose(regions.sensors(0).positions[0], [0.003, 0.006, 0.0045])


def test_volumes_that_are_skipped_move_the_events(folder, tmp_path):
    _, cuts = prepared(folder, tmp_path, skip_volumes=3)
    assert cuts[0][0].n_times == N_VOLUMES - 3
    # The first block began before the first volume that is left.
    assert [event.onset for event in cuts[0][1]] == [t - 6.0 for t in ONSETS[1:]]


def test_prepared_runs_are_used_until_a_file_changes(tmp_path):
    made = write_runs(tmp_path / "bold", runs=2)
    first, _ = prepared(made, tmp_path / "cache")
    again, _ = prepared(made, tmp_path / "cache")
    assert again.path == first.path
    table = made / "sub-01_task-synthetic_run-01_events.tsv"
    table.write_text(table.read_text().replace("\tface", "\tcat"))
    _, cuts = prepared(made, tmp_path / "cache")
    assert "cat" in {event.name for event in cuts[0][1]}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"files": ["*_none.nii.gz"]}, FileNotFoundError, "no file matches"),
        ({"mask": "none.nii.gz"}, FileNotFoundError, r"none\.nii\.gz"),
        ({"mask": "small.nii.gz"}, ValueError, "of the mask is not the grid"),
        ({"atlas": "moved.nii.gz"}, ValueError, "of the atlas is not the grid"),
        ({"skip_volumes": 60}, ValueError, "60 volumes, 60 of them to skip"),
    ],
)
def test_files_that_do_not_fit_are_told_in_words(folder, tmp_path, changes, error, message):
    pytest.importorskip("nilearn", reason="atlases need nilearn")
    nib.save(nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)), folder / "small.nii.gz")
    moved = np.diag([3.0, 3.0, 3.0, 1.0])
    moved[0, 3] = 500
    nib.save(nib.Nifti1Image(np.ones(GRID, np.int16), moved), folder / "moved.nii.gz")
    with pytest.raises(error, match=message):
        prepared(folder, tmp_path, **changes)


def test_settings_that_make_no_sense_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"root .*nowhere is no folder"):
        source(folder, root=str(tmp_path / "nowhere"))
    for changes, message in (
        ({"t_r": 0.0}, "t_r must be positive"),
        ({"events": None}, "needs events .* or conditions"),
        ({"mask": "a", "atlas": "b"}, "not both"),
        ({"events": EventConfig()}, "are in tables"),
        ({"drift": -1}, "0 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            source(folder, **changes)
    with pytest.raises(ValueError, match=r"set model\.backbone to brainfm\.finetune\.voxels"):
        source(folder).prepare(tmp_path, ProcessingConfig())
    with pytest.raises(ValueError, match="cannot be one of several sources"):
        source(folder).recordings()


def settings(folder, **source_changes):
    given = {
        "files": ["*_bold.nii.gz"],
        "t_r": T_R,
        "root": str(folder),
        "events": {"kind": "table", "file": "{folder}/{stem}_events.tsv"},
        "synthetic": True,
    }
    return {
        "data": {
            "source": {
                "class_path": "brainfm.finetune.voxel_images.VoxelImages",
                "init_args": given | source_changes,
            },
            "trials": {"window": [DELAY_S, DELAY_S + BLOCK_S]},
            "split": {"by": "run", "folds": 2},
        },
        "model": {
            "backbone": {"class_path": "brainfm.finetune.voxels.Voxels"},
            "head": {
                "class_path": "brainfm.finetune.classification.Classification",
                "init_args": {"pooling": {"kind": "mean"}},
            },
            "adaptation": {"kind": "ridge"},
        },
        "trainer": {"accelerator": "cpu", "devices": 1},
    }


def accuracy(folder, out):
    config = out.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(settings(folder)))
    assert main(["finetune", "fit", "--config", str(config), "--out", str(out)]) == 0
    from brainfm.finetune.decoded_run import load_run

    run = load_run(out)
    output = run.pooled([fold.output for fold in run.folds])
    target = run.pooled([fold.target for fold in run.folds])
    return float((output.argmax(1) == target).mean()), json.loads((out / "run.json").read_text())


@pytest.mark.slow
def test_planted_patterns_are_decoded_and_only_those(folder, tmp_path):
    found, record = accuracy(folder, tmp_path / "planted")
    assert found >= 0.9
    assert record["name"] == "Voxels, ridge"
    assert record["synthetic"]
    words = ["--controls", "nearest_neighbour", "--permutations", "99", "--resamples", "99"]
    assert main(["evaluate", str(tmp_path / "planted"), *words]) == 0
    judged = json.loads((tmp_path / "planted/evaluation/evaluation.json").read_text())
    assert set(judged["baselines"]) == {"voxel_means", "voxel_lda"}
    beside = {**judged["baselines"], **judged["controls"]}
    # The pattern is the mean over the window, which no control may take away.
    assert all(one["score"]["value"] > 0.7 for one in beside.values())
    assert judged["left_out"]["sensor maps"] == "channels are voxels"
    null = write_runs(tmp_path / "null", snr=0.0)
    assert accuracy(null, tmp_path / "nothing")[0] <= 0.7  # 21 of 30: p = .02


def test_events_beyond_the_last_volume_name_the_run(folder, tmp_path, capsys):
    made = write_runs(tmp_path / "bold")
    table = made / "sub-01_task-synthetic_run-01_events.tsv"
    table.write_text(table.read_text() + "119.0\t10\tface\n")
    config = tmp_path / "beyond.yaml"
    config.write_text(yaml.safe_dump(settings(made)))
    assert main(["finetune", "fit", "--config", str(config), "--out", str(tmp_path / "r")]) == 1
    said = capsys.readouterr().err
    assert "run-01" in said
    assert "reaches beyond the recording, which lasts 120 s" in said
