"""Which courses, responses and maps of a run a report holds, and why others are missing."""

from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from brainfm.finetune.bold_report import add_bold_pictures, chosen_regions, middle_part
from brainfm.finetune.predictions import Predictions
from brainfm.finetune.series_measures import Series

from brainfm.report_page import Page

nibabel = pytest.importorskip("nibabel", reason="pip install 'brainfm-toolkit[fmri]'")
NOISE = (0.1, 1.0, 3.0)
"""In the predictions of three recordings."""


@pytest.fixture
def run(tmp_path):
    """What pictures need of a run: three recordings of 50 volumes, two regions, no checkpoints."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((150, 2))
    output = truth + np.repeat(NOISE, 50)[:, None] * truth.std() * rng.standard_normal((150, 2))
    recording = np.repeat(["a", "b", "c"], 50)
    fold = Predictions(
        trial=np.arange(150),
        target=np.arange(150),
        output=output,
        truth=truth,
        gallery=np.zeros(0, np.int64),
        rivals=np.zeros((150, 0), np.int64),
    )
    record = SimpleNamespace(
        kind="values", series=True, onsets=tuple(2.0 * np.tile(np.arange(50), 3)), units=("A", "B")
    )
    return SimpleNamespace(
        path=tmp_path,
        record=record,
        folds=(fold,),
        trial=np.arange(150),
        fold=np.zeros(150, np.int64),
        subjects=recording,
        shuffled_within=recording,
        pooled=np.concatenate,
        column=lambda name: recording,
    )


def settings(run, atlas):
    given = {"file": "b.nii.gz" if atlas else "b.tsv", "t_r": 2.0, "root": str(run.path)}
    targets = {
        "class_path": "brainfm.finetune.bold_targets.BoldTargets",
        "init_args": given | ({"atlas": "atlas.nii.gz"} if atlas else {}),
    }
    (run.path / "config.yaml").write_text(yaml.safe_dump({"data": {"targets": targets}}))


def test_regions_are_shown_from_the_best_to_the_worst():
    r = np.array([0.1, 0.9, np.nan, -0.3, 0.5])
    assert chosen_regions(r, 9) == [1, 4, 0, 3, 2]
    assert chosen_regions(r, 3) == [1, 0, 2]


def test_the_recording_that_is_shown_is_neither_the_best_nor_the_worst(run):
    series = Series.of(run)
    part = middle_part(series)
    assert run.column("recording")[series.parts[part][0]] == "b"


def test_a_run_with_an_atlas_has_courses_and_a_map(run):
    settings(run, atlas=True)
    atlas = np.zeros((6, 6, 6), np.int16)
    atlas[1:3, 1:5, 1:5], atlas[3:5, 1:5, 1:5] = 1, 2
    nibabel.save(nibabel.Nifti1Image(atlas, np.eye(4)), run.path / "atlas.nii.gz")
    page = Page()
    add_bold_pictures(page, run)
    assert [entry.title for entry in page.entries] == ["Measured and predicted", "r on the brain"]
    assert "Test volumes of b, fold 0" in page.entries[0].caption
    assert "does not say that it is in MNI space" in page.entries[1].caption
    assert list(page.left_out) == ["responses of regions"]
    (run.path / "atlas.nii.gz").unlink()
    page = Page()
    add_bold_pictures(page, run)
    assert "not there any more" in page.left_out["map of r"]


def test_a_run_of_a_table_says_that_it_has_no_map(run):
    settings(run, atlas=False)
    page = Page()
    add_bold_pictures(page, run)
    assert "no atlas says where they are" in page.left_out["map of r"]
    assert "holds no checkpoint" in page.left_out["responses of regions"]
